//! Who a node is: an Ed25519 key, kept in a file that only its owner may read.

use std::{
    fmt,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use data_encoding::BASE64URL_NOPAD;
use libp2p::{PeerId, identity::Keypair};
use p2pnode_wire::ids::PeerKey;
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

/// Written before the key in its text form, so that it is recognised where it should not be.
const PREFIX: &str = "p2pkey1_";

/// Bytes of SHA-256 after the key in its text form: a slip of the finger is found.
const CHECK: usize = 4;

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The key file can be read by others.
    #[error("{path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`, and make a new key if others may have read it", path = .path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key file is damaged.
    #[error("{path} holds no key ({found} bytes where 32 were expected): restore it from a copy, or move it away to get a new identity", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: usize,
    },
    /// The key file cannot be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is a key already.
    #[error("{path} exists already; it was not overwritten", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The text is no exported key.
    #[error("this is no exported key: {0}")]
    Text(&'static str),
}

/// An Ed25519 key. Never printed; [`Identity::export`] is the only way out.
#[derive(Clone)]
pub struct Identity {
    seed: Zeroizing<[u8; 32]>,
    keypair: Keypair,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, [redacted])", self.peer_id())
    }
}

impl Identity {
    /// A fresh key from the system's randomness.
    pub fn generate() -> Self {
        Self::from_seed(rand::random())
    }

    /// The key of a seed; the same seed is the same node.
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let kept = Zeroizing::new(seed);
        let keypair = Keypair::ed25519_from_bytes(&mut seed).expect("32 bytes are an Ed25519 seed");
        Self { seed: kept, keypair }
    }

    /// The key in `path`; made, with mode 0600, if there is none.
    ///
    /// # Errors
    /// [`IdentityError`]; a file that others may read is refused.
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        if let Some(identity) = Self::load(path)? {
            return Ok(identity);
        }
        let identity = Self::generate();
        match identity.save(path) {
            // Somebody else was faster; theirs is the one that counts.
            Err(IdentityError::Exists { .. }) => Self::load(path)?.ok_or_else(|| vanished(path)),
            Err(error) => Err(error),
            Ok(()) => Ok(identity),
        }
    }

    /// The key in `path`, if there is one.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(path: &Path) -> Result<Option<Self>, IdentityError> {
        let io = |source: std::io::Error| IdentityError::Io { path: path.to_owned(), source };
        let file = match rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(io(error.into())),
        };
        let mode = mode_of(&file).map_err(io)?;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Mode { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(64).read_to_end(&mut bytes).map_err(io)?;
        let seed: [u8; 32] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| IdentityError::Damaged { path: path.to_owned(), found: bytes.len() })?;
        Ok(Some(Self::from_seed(seed)))
    }

    /// Writes the key to `path` with mode 0600, whole or not at all; never over an existing file.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let io = |at: &Path, source: std::io::Error| IdentityError::Io { path: at.to_owned(), source };
        create_private_dir(folder).map_err(|e| io(folder, e))?;
        let temporary = path.with_extension(format!("new-{}", std::process::id()));
        let written = self.write_new(&temporary).map_err(|e| io(&temporary, e));
        let placed = written.and_then(|()| match std::fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(IdentityError::Exists { path: path.to_owned() })
            }
            Err(error) => Err(io(path, error)),
            Ok(()) => Ok(()),
        });
        // A leftover is harmless: it is private, and the next attempt uses another name.
        let _ = std::fs::remove_file(&temporary);
        placed?;
        File::open(folder).and_then(|dir| dir.sync_all()).map_err(|e| io(folder, e))
    }

    fn write_new(&self, path: &Path) -> std::io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(self.seed.as_slice())?;
        file.sync_all()
    }

    /// The key as text, to be kept like a password: a prefix, the seed and a check in base64.
    pub fn export(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.seed.to_vec());
        bytes.extend_from_slice(&check(self.seed.as_slice()));
        Zeroizing::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    /// The id that others know this node by.
    pub fn peer_id(&self) -> PeerId {
        self.keypair.public().to_peer_id()
    }

    /// The id on the wire.
    pub fn peer_key(&self) -> PeerKey {
        PeerKey(self.signing_key().verifying_key().to_bytes())
    }

    pub(crate) fn keypair(&self) -> Keypair {
        self.keypair.clone()
    }

    pub(crate) fn signing_key(&self) -> ed25519_dalek::SigningKey {
        ed25519_dalek::SigningKey::from_bytes(&self.seed)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(IdentityError::Text("it does not begin with p2pkey1_"))?;
        let bytes = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| IdentityError::Text("it is not base64"))?;
        let bytes = Zeroizing::new(bytes);
        let (seed, found) = bytes.split_at_checked(32).ok_or(IdentityError::Text("it was cut off"))?;
        if found != check(seed) {
            return Err(IdentityError::Text("its check does not match: was the end cut off?"));
        }
        Ok(Self::from_seed(seed.try_into().expect("split at 32")))
    }
}

fn vanished(path: &Path) -> IdentityError {
    IdentityError::Io { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() }
}

fn check(seed: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    Sha256::digest([b"p2pnode/key/1", seed].concat()).iter().take(CHECK).copied().collect()
}

fn mode_of(file: &File) -> std::io::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o7777)
}

/// Makes a folder, and those above it, that only its owner may enter.
pub(crate) fn create_private_dir(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a/b/identity.key");
        let first = Identity::load_or_create(&path).expect("made");
        let again = Identity::load_or_create(&path).expect("read");
        assert_eq!(first.peer_id(), again.peer_id());
        let mode = std::fs::metadata(&path).expect("there").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        let names: Vec<_> = std::fs::read_dir(dir.path().join("a/b")).expect("a folder").collect();
        assert_eq!(names.len(), 1, "no leftovers");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        Identity::load_or_create(&path).expect("made");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
        let text = Identity::load_or_create(&path).expect_err("refused").to_string();
        assert!(text.contains("0644") && text.contains("chmod 600"), "{text}");
    }

    #[test]
    fn a_damaged_key_and_a_link_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        std::fs::write(&path, b"short").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("changed");
        assert!(matches!(Identity::load(&path), Err(IdentityError::Damaged { found: 5, .. })));
        let link = dir.path().join("link.key");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(matches!(Identity::load(&link), Err(IdentityError::Io { .. })));
    }

    #[test]
    fn export_and_import_find_slips() {
        let identity = Identity::generate();
        let text = identity.export();
        let back: Identity = text.parse().expect("its own text");
        assert_eq!(back.peer_id(), identity.peer_id());
        assert!(text[..text.len() - 1].parse::<Identity>().is_err());
        let seed = BASE64URL_NOPAD.encode(identity.seed.as_slice());
        assert!(!format!("{identity:?}").contains(&seed));
    }
}
