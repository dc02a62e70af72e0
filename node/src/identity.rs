//! Who a node is: an Ed25519 key, kept in a file that only its owner may read.

use std::{
    fmt,
    fs::File,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use data_encoding::BASE64URL_NOPAD;
use libp2p::{PeerId, identity::Keypair};
use p2pnode_wire::ids::PeerKey;
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
use rustix::fs::{CWD, RenameFlags};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Written before the key in its text form, so that it is recognised where it should not be.
const PREFIX: &str = "p2pkey1_";

/// Bytes of SHA-256 after the key in its text form: a slip of the finger is found.
const CHECK: usize = 4;

/// Bytes read of a key file: more than a key has, so that a longer one is noticed.
const READ_MAX: usize = 64;

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
        /// Its size; from 64 bytes on it is not counted further.
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
    /// A fresh key.
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
        // A pipe in its place must not make us wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(io(std::io::Error::other("a link is no place for a key"))),
            Err(error) => return Err(io(error.into())),
        };
        let about = file.metadata().map_err(io)?;
        if !about.is_file() {
            return Err(io(std::io::Error::other("this is no ordinary file")));
        }
        let mode = about.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Mode { path: path.to_owned(), mode });
        }
        // All at once: a vector that grows leaves copies of the key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(READ_MAX));
        file.take(READ_MAX as u64).read_to_end(&mut bytes).map_err(io)?;
        let damaged = |_| IdentityError::Damaged { path: path.to_owned(), found: bytes.len() };
        let seed = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).map_err(damaged)?);
        Ok(Some(Self::from_seed(*seed)))
    }

    /// Writes the key to `path` with mode 0600, whole or not at all; never over an existing file. Folders that are
    /// missing are made with mode 0700.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let io = |at: &Path, source: std::io::Error| IdentityError::Io { path: at.to_owned(), source };
        create_private_dir(folder).map_err(|e| io(folder, e))?;
        let temporary = path.with_extension(format!("new-{:016x}", rand::random::<u64>()));
        let written = self.write_new(&temporary).map_err(|e| io(&temporary, e));
        let placed = written.and_then(|()| match place(&temporary, path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(IdentityError::Exists { path: path.to_owned() })
            }
            other => other.map_err(|error| io(path, error)),
        });
        if placed.is_err() {
            // What could not be written cannot always be removed either; it is private in any case.
            let _ = std::fs::remove_file(&temporary);
        }
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
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.seed.len() + CHECK));
        bytes.extend_from_slice(self.seed.as_slice());
        bytes.extend_from_slice(&check(&self.seed));
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + BASE64URL_NOPAD.encode_len(bytes.len())));
        text.push_str(PREFIX);
        BASE64URL_NOPAD.encode_append(&bytes, &mut text);
        text
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
        let (seed, found) = bytes.split_first_chunk().ok_or(IdentityError::Text("it was cut off"))?;
        if found != check(seed) {
            return Err(IdentityError::Text("its check does not match: a sign is wrong, or the end was cut off"));
        }
        Ok(Self::from_seed(*seed))
    }
}

fn vanished(path: &Path) -> IdentityError {
    IdentityError::Io { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() }
}

fn check(seed: &[u8; 32]) -> [u8; CHECK] {
    let digest = Sha256::new().chain_update("p2pnode/key/1").chain_update(seed).finalize();
    std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default())
}

/// Moves a file to where none is yet. A plain rename would replace the key that somebody else has put there meanwhile.
fn place(from: &Path, to: &Path) -> std::io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can; those that cannot may have hard links, which never replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        other => return other.map_err(Into::into),
    }
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}

/// Makes a folder, and those above it, that only its owner may enter.
pub(crate) fn create_private_dir(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn private(path: &Path) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("changed");
    }

    fn leftovers(dir: &Path) -> usize {
        std::fs::read_dir(dir).expect("a folder").count()
    }

    #[test]
    fn a_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a/b/identity.key");
        let first = Identity::load_or_create(&path).expect("made");
        let again = Identity::load_or_create(&path).expect("read");
        assert_eq!(first.peer_id(), again.peer_id());
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&dir.path().join("a")), 0o700);
        assert_eq!(leftovers(&dir.path().join("a/b")), 1);
    }

    #[test]
    fn all_who_begin_at_once_have_the_same_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        let make = || Identity::load_or_create(&path).map(|identity| identity.peer_id()).map_err(|e| e.to_string());
        let ids: HashSet<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(leftovers(dir.path()), 1);
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        let first = Identity::load_or_create(&path).expect("made");
        let error = Identity::generate().save(&path).expect_err("there is one");
        assert!(matches!(error, IdentityError::Exists { .. }), "{error}");
        assert_eq!(Identity::load(&path).expect("read").map(|i| i.peer_id()), Some(first.peer_id()));
        assert_eq!(leftovers(dir.path()), 1);
        let link = dir.path().join("link.key");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &link).expect("linked");
        assert!(matches!(Identity::generate().save(&link), Err(IdentityError::Exists { .. })));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        Identity::load_or_create(&path).expect("made");
        for mode in [0o644, 0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("changed");
            let text = Identity::load_or_create(&path).expect_err("refused").to_string();
            let fix = format!("chmod 600 {}", path.display());
            assert!(text.contains(&format!("{mode:04o}")) && text.contains(&fix), "{text}");
        }
        private(&path);
        Identity::load_or_create(&path).expect("private again");
    }

    #[test]
    fn a_damaged_key_and_what_is_no_file_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("identity.key");
        for (bytes, size) in [(&b"short"[..], 5), (&[7; 33], 33), (&[7; 5_000], READ_MAX), (b"", 0)] {
            std::fs::write(&path, bytes).expect("written");
            private(&path);
            let error = Identity::load(&path).expect_err("damaged");
            assert!(matches!(error, IdentityError::Damaged { found, .. } if found == size), "{error}");
        }
        let link = dir.path().join("link.key");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(Identity::load(&link).expect_err("a link").to_string().contains("link"));
        let folder = dir.path().join("folder.key");
        std::fs::create_dir(&folder).expect("made");
        assert!(matches!(Identity::load(&folder), Err(IdentityError::Io { .. })));
        assert!(matches!(Identity::load(&path.join("below")), Err(IdentityError::Io { .. })));
    }

    #[test]
    fn export_and_import_find_slips() {
        let identity = Identity::generate();
        let text = identity.export();
        let back: Identity = format!("  {}\n", *text).parse().expect("its own text");
        assert_eq!(back.peer_id(), identity.peer_id());
        for at in PREFIX.len()..text.len() {
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let slip = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert!(slip.parse::<Identity>().is_err(), "sign {at}");
            assert!(text[..at].parse::<Identity>().is_err(), "cut at {at}");
        }
        assert!("".parse::<Identity>().is_err() && "p2pkey1_".parse::<Identity>().is_err());
    }

    #[test]
    fn the_secret_is_never_printed() {
        let identity = Identity::generate();
        let shown = format!("{identity:?}");
        let seed = identity.seed.as_slice();
        let spellings = [BASE64URL_NOPAD.encode(seed), data_encoding::HEXLOWER.encode(seed), format!("{seed:?}")];
        assert!(spellings.iter().all(|spelling| !shown.contains(spelling.as_str())) && shown.contains("[redacted]"));
    }

    #[test]
    fn all_its_ids_are_one() {
        let identity = Identity::generate();
        assert_eq!(p2pnode_behaviours::peer_of(&identity.peer_key()), Some(identity.peer_id()));
        assert_eq!(identity.keypair().public().to_peer_id(), identity.peer_id());
    }
}
