//! Where a node keeps things, and that only one uses them at a time.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, IdentityError, create_private_dir};

/// Profiles tried for one that is free.
const MAX_PROFILES: usize = 100;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Another process uses it.
    #[error("profile \"{name}\" is in use by process {pid}")]
    Running {
        /// Its name.
        name: String,
        /// Who uses it.
        pid: u32,
    },
    /// Its key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No home folder is known.
    #[error("no home folder is known: HOME is not set. Set HOME, or P2PNODE_HOME to the folder to use")]
    NoHome,
    /// A folder cannot be written.
    #[error("{path}: {source}. Make it writable, or set P2PNODE_HOME to another folder", path = .path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder that must be private is not.
    #[error("{path} {reason}: remove it, or set XDG_RUNTIME_DIR or P2PNODE_HOME to a folder of your own", path = .path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The name is not one.
    #[error("\"{0}\" is no name for a profile: use letters, digits, `.`, `_` and `-`, at most 64")]
    Name(String),
    /// All numbered profiles are in use.
    #[error("{MAX_PROFILES} profiles are in use already")]
    AllInUse,
}

/// The folders, by XDG on Linux and macOS alike, or all below one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    data: PathBuf,
    state: PathBuf,
    runtime: PathBuf,
}

impl Paths {
    /// `$P2PNODE_HOME` if set, else the XDG folders.
    ///
    /// # Errors
    /// [`ProfileError::NoHome`].
    pub fn discover() -> Result<Self, ProfileError> {
        if let Some(home) = std::env::var_os("P2PNODE_HOME").filter(|h| !h.is_empty()) {
            return Self::in_folder(PathBuf::from(home));
        }
        let xdg = etcetera::base_strategy::Xdg::new().map_err(|_| ProfileError::NoHome)?;
        let state = xdg.state_dir().unwrap_or_else(|| xdg.data_dir());
        let runtime = match xdg.runtime_dir() {
            Some(dir) => dir.join("p2pnode"),
            None => shared_runtime(),
        };
        Ok(Self { data: xdg.data_dir().join("p2pnode"), state: state.join("p2pnode"), runtime })
    }

    /// Everything below one folder.
    ///
    /// # Errors
    /// None today.
    pub fn in_folder(folder: impl AsRef<Path>) -> Result<Self, ProfileError> {
        let folder = folder.as_ref();
        Ok(Self { data: folder.join("data"), state: folder.join("state"), runtime: folder.join("run") })
    }

    /// Waits until no other node of this user is choosing its port; free again when the file is dropped. Two that start
    /// together would otherwise both find the same port free. None if the folder cannot be written.
    pub fn take_turn(&self) -> Option<File> {
        create_private_dir(&self.runtime).ok()?;
        let file =
            File::options().create(true).truncate(false).write(true).open(self.runtime.join("start.lock")).ok()?;
        file.lock().ok()?;
        Some(file)
    }

    /// Where the registry of this host's nodes is.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Where the key of a profile lies; reading it needs no lock.
    ///
    /// # Errors
    /// [`ProfileError::Name`].
    pub fn identity_path(&self, profile: &str) -> Result<PathBuf, ProfileError> {
        check_name(profile)?;
        Ok(self.key(profile))
    }

    fn key(&self, profile: &str) -> PathBuf {
        self.data.join(profile).join("identity.key")
    }

    fn lock(&self, profile: &str) -> PathBuf {
        self.state.join(profile).join("node.lock")
    }
}

/// No XDG runtime folder: one of our own below the shared folder for temporary files, which the registry checks to be
/// ours and private before it uses it.
fn shared_runtime() -> PathBuf {
    let uid = rustix::process::getuid().as_raw();
    let shared = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    shared.join(format!("p2pnode-{uid}"))
}

/// What a profile remembers between runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Memory {
    #[serde(default)]
    port: Option<u16>,
}

/// A named set of folders, held by this process until it is dropped.
#[derive(Debug)]
pub struct Profile {
    paths: Paths,
    name: String,
    new: bool,
    _lock: File,
}

impl Profile {
    /// Takes the profile `name`.
    ///
    /// # Errors
    /// [`ProfileError`]; [`ProfileError::Running`] when another process has it.
    pub fn open(paths: &Paths, name: &str) -> Result<Self, ProfileError> {
        check_name(name)?;
        let lock = take_lock(&paths.lock(name), name)?;
        let new = !paths.key(name).exists();
        Ok(Self { paths: paths.clone(), name: name.to_owned(), new, _lock: lock })
    }

    /// Takes the first of `default`, `default-2`, … that is free.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn open_free(paths: &Paths) -> Result<Self, ProfileError> {
        for n in 1..=MAX_PROFILES {
            let name = if n == 1 { "default".to_owned() } else { format!("default-{n}") };
            match Self::open(paths, &name) {
                Err(ProfileError::Running { .. }) => {}
                other => return other,
            }
        }
        Err(ProfileError::AllInUse)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folders.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Whether it had no identity when it was opened.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Its key; made the first time.
    ///
    /// # Errors
    /// [`ProfileError::Identity`].
    pub fn identity(&self) -> Result<Identity, ProfileError> {
        Ok(Identity::load_or_create(&self.paths.key(&self.name))?)
    }

    /// Where its key lies.
    pub fn key_path(&self) -> PathBuf {
        self.paths.key(&self.name)
    }

    /// The port it listened on last.
    pub fn port(&self) -> Option<u16> {
        let bytes = std::fs::read(self.memory()).ok()?;
        serde_json::from_slice::<Memory>(&bytes).ok()?.port
    }

    /// Remembers the port for the next run.
    ///
    /// # Errors
    /// [`ProfileError::Folder`].
    pub fn remember_port(&self, port: u16) -> Result<(), ProfileError> {
        let memory = Memory { port: Some(port) };
        let path = self.memory();
        let folder = |source| ProfileError::Folder { path: path.clone(), source };
        let temporary = path.with_extension("new");
        let text = serde_json::to_vec(&memory).map_err(|e| folder(e.into()))?;
        std::fs::write(&temporary, text).map_err(folder)?;
        std::fs::rename(&temporary, &path).map_err(folder)
    }

    fn memory(&self) -> PathBuf {
        self.paths.state.join(&self.name).join("node.json")
    }
}

fn check_name(name: &str) -> Result<(), ProfileError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(fine) {
        return Err(ProfileError::Name(name.escape_debug().take(100).collect()));
    }
    Ok(())
}

fn take_lock(path: &Path, name: &str) -> Result<File, ProfileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_private_dir(folder).map_err(|source| ProfileError::Folder { path: folder.to_owned(), source })?;
    let failed = |source| ProfileError::Folder { path: path.to_owned(), source };
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut text = String::new();
            // The holder's pid is for the message only.
            let _ = file.take(32).read_to_string(&mut text);
            return Err(ProfileError::Running { name: name.to_owned(), pid: text.trim().parse().unwrap_or(0) });
        }
        Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_and_the_next_free_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let paths = Paths::in_folder(dir.path()).expect("paths");
        let first = Profile::open_free(&paths).expect("free");
        assert_eq!((first.name(), first.is_new()), ("default", true));
        let error = Profile::open(&paths, "default").expect_err("in use");
        assert!(matches!(error, ProfileError::Running { pid, .. } if pid == std::process::id()), "{error}");
        assert_eq!(Profile::open_free(&paths).expect("free").name(), "default-2");
        let id = first.identity().expect("made").peer_id();
        drop(first);
        let again = Profile::open(&paths, "default").expect("free again");
        assert!(!again.is_new());
        assert_eq!(again.identity().expect("read").peer_id(), id);
    }

    #[test]
    fn the_port_is_remembered() {
        let dir = tempfile::tempdir().expect("a folder");
        let paths = Paths::in_folder(dir.path()).expect("paths");
        let profile = Profile::open(&paths, "a").expect("free");
        assert_eq!(profile.port(), None);
        profile.remember_port(4242).expect("written");
        assert_eq!(profile.port(), Some(4242));
    }

    #[test]
    fn names_stay_inside_their_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let paths = Paths::in_folder(dir.path()).expect("paths");
        for name in ["", "..", "a/b", "../x", "a\0", ".hidden"] {
            assert!(matches!(Profile::open(&paths, name), Err(ProfileError::Name(_))), "{name:?}");
        }
    }
}
