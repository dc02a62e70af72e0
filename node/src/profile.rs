//! Where a node keeps things, and that only one uses them at a time.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, IdentityError, create_private_dir};

/// Profiles tried for one that is free.
const MAX_PROFILES: usize = 100;

/// How often, and how long apart, the pid of a lock's holder is looked for.
const PID_TRIES: usize = 20;
const PID_WAIT: Duration = Duration::from_millis(2);

/// How long, and how often, one's turn to start is waited for: a node that hangs must not keep others from starting.
const TURN_MAX: Duration = Duration::from_secs(5);
const TURN_WAIT: Duration = Duration::from_millis(5);

/// Bytes of a pid.
const PID_MAX: u64 = 32;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Another process uses it.
    #[error("profile \"{name}\" is in use by {holder}", holder = holder(*pid))]
    Running {
        /// Its name.
        name: String,
        /// Who uses it; 0 if that cannot be read.
        pid: u32,
        /// The lock that it holds.
        path: PathBuf,
    },
    /// Its key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No home folder is known.
    #[error("no home folder is known: HOME is not set to a whole path. Set HOME, or P2PNODE_HOME to the folder to use")]
    NoHome,
    /// A folder or file cannot be read or written.
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
    /// Another process holds this node's entry in the registry of this host.
    #[error("{path} is held by another process: two nodes of this host have the same identity", path = .path.display())]
    Twin {
        /// The entry.
        path: PathBuf,
    },
    /// The name is not one.
    #[error("\"{0}\" is no name for a profile: use letters, digits, `.`, `_` and `-`, at most 64")]
    Name(String),
    /// All numbered profiles are in use.
    #[error("{MAX_PROFILES} profiles are in use already")]
    AllInUse,
}

fn holder(pid: u32) -> String {
    if pid == 0 { "another process".into() } else { format!("process {pid}") }
}

impl ProfileError {
    fn folder(path: &Path, source: std::io::Error) -> Self {
        Self::Folder { path: path.to_owned(), source }
    }
}

/// The folders, by XDG on Linux and macOS alike, or all below one folder.
///
/// | folder | by XDG | below one folder | holds |
/// |---|---|---|---|
/// | config | `~/.config/p2pnode` | itself | `config.toml` |
/// | data | `~/.local/share/p2pnode` | `data` | `<profile>/identity.key`, `<profile>/node.db` |
/// | state | `~/.local/state/p2pnode` | `state` | `<profile>/node.lock`, `<profile>/node.json`, `<profile>/heard` |
/// | runtime | `$XDG_RUNTIME_DIR/p2pnode`, else `${TMPDIR:-/tmp}/p2pnode-<uid>` | `run` | `nodes/<peer>.json` |
///
/// Nothing is made before it is used; then folders get mode 0700.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    config: PathBuf,
    data: PathBuf,
    state: PathBuf,
    runtime: PathBuf,
}

impl Paths {
    /// Below `$P2PNODE_HOME` if that is set, else the XDG folders.
    ///
    /// # Errors
    /// [`ProfileError::NoHome`]; [`ProfileError::Folder`] as for [`Paths::in_folder`].
    pub fn discover() -> Result<Self, ProfileError> {
        if let Some(home) = std::env::var_os("P2PNODE_HOME").filter(|home| !home.is_empty()) {
            return Self::in_folder(PathBuf::from(home));
        }
        let xdg = etcetera::base_strategy::Xdg::new().map_err(|_| ProfileError::NoHome)?;
        // A relative HOME would scatter keys over the folders in which commands happen to run.
        if !xdg.home_dir().is_absolute() {
            return Err(ProfileError::NoHome);
        }
        let ours = |folder: PathBuf| folder.join("p2pnode");
        let data = ours(xdg.data_dir());
        let state = xdg.state_dir().map_or_else(|| data.clone(), ours);
        let runtime = xdg.runtime_dir().map_or_else(shared_runtime, ours);
        Ok(Self { config: ours(xdg.config_dir()), data, state, runtime })
    }

    /// Everything below one folder; a relative one counts from the working folder of now.
    ///
    /// # Errors
    /// [`ProfileError::Folder`]: it is relative, and the working folder is gone.
    pub fn in_folder(folder: impl AsRef<Path>) -> Result<Self, ProfileError> {
        let folder = folder.as_ref();
        let config = std::path::absolute(folder).map_err(|source| ProfileError::folder(folder, source))?;
        let below = |name| config.join(name);
        let (data, state, runtime) = (below("data"), below("state"), below("run"));
        Ok(Self { config, data, state, runtime })
    }

    /// Where settings are read from.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Where the keys of profiles are.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where profiles keep what they remember, and their locks.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Waits, at most 5 s, until no other node of this user is choosing its port; free again when the file is dropped.
    /// Two that start together would otherwise both find the same port free. None if it took too long, or if the
    /// runtime folder is not ours alone or cannot be written.
    pub fn take_turn(&self) -> Option<File> {
        create_private_dir(&self.runtime).ok()?;
        check_private(&self.runtime).ok()?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(self.runtime.join("start.lock")).ok()?;
        let deadline = Instant::now() + TURN_MAX;
        while file.try_lock().is_err() {
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(TURN_WAIT);
        }
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

    /// Where a profile keeps what is said, mail and schedules; reading it needs no lock.
    ///
    /// # Errors
    /// [`ProfileError::Name`].
    pub fn store_path(&self, profile: &str) -> Result<PathBuf, ProfileError> {
        check_name(profile)?;
        Ok(self.data.join(profile).join("node.db"))
    }

    /// What a profile remembers besides its key and its store: for one that moves to another host.
    ///
    /// # Errors
    /// [`ProfileError::Name`].
    pub fn memory_paths(&self, profile: &str) -> Result<[PathBuf; 2], ProfileError> {
        check_name(profile)?;
        Ok([self.memory(profile), self.heard(profile)])
    }

    fn memory(&self, profile: &str) -> PathBuf {
        self.state.join(profile).join("node.json")
    }

    fn heard(&self, profile: &str) -> PathBuf {
        self.state.join(profile).join("heard")
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
    let shared = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    shared.unwrap_or_else(|| PathBuf::from("/tmp")).join(format!("p2pnode-{uid}"))
}

/// What a profile remembers between runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Memory {
    port: Option<u16>,
}

/// A named set of folders, held by this process until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it lets others use the profile"]
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
    /// [`ProfileError::Identity`]; [`ProfileError::Folder`] if the data folder cannot be read or written.
    pub fn identity(&self) -> Result<Identity, ProfileError> {
        Identity::load_or_create(&self.paths.key(&self.name)).map_err(|error| match error {
            IdentityError::Io { path, source } => ProfileError::Folder { path, source },
            other => other.into(),
        })
    }

    /// Where its key lies.
    pub fn key_path(&self) -> PathBuf {
        self.paths.key(&self.name)
    }

    /// The port it listened on last.
    pub fn port(&self) -> Option<u16> {
        self.recall().port
    }

    /// Remembers the port for the next run.
    ///
    /// # Errors
    /// [`ProfileError::Folder`].
    pub fn remember_port(&self, port: u16) -> Result<(), ProfileError> {
        self.remember(&Memory { port: Some(port) })
    }

    /// Nothing, if there is no memory or it is damaged: it is a convenience, not worth an error.
    fn recall(&self) -> Memory {
        let bytes = std::fs::read(self.memory());
        bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn remember(&self, memory: &Memory) -> Result<(), ProfileError> {
        let path = self.memory();
        let failed = |source| ProfileError::folder(&path, source);
        let text = serde_json::to_vec(memory).map_err(|e| failed(e.into()))?;
        replace(&path, &text).map_err(failed)
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.paths.data.join(&self.name).join("node.db")
    }

    /// Where it is kept which events were heard.
    pub(crate) fn heard(&self) -> PathBuf {
        self.paths.heard(&self.name)
    }

    fn memory(&self) -> PathBuf {
        self.paths.memory(&self.name)
    }
}

/// The file is whole or not there at all. Who holds the profile's lock writes alone, so one name for the temporary file is
/// enough.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}

/// A folder of ours that nobody else may enter. A link is none: others may have put it there.
pub(crate) fn check_private(path: &Path) -> Result<(), ProfileError> {
    let refuse = |reason: String| ProfileError::NotPrivate { path: path.to_owned(), reason };
    let found =
        std::fs::symlink_metadata(path).map_err(|source| ProfileError::Folder { path: path.to_owned(), source })?;
    if !found.is_dir() {
        return Err(refuse("is no folder".into()));
    }
    if found.uid() != rustix::process::getuid().as_raw() {
        return Err(refuse(format!("belongs to user {}", found.uid())));
    }
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(refuse(format!("can be entered by others (mode {mode:04o})")));
    }
    Ok(())
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
    create_private_dir(folder).map_err(|source| ProfileError::folder(folder, source))?;
    let failed = |source| ProfileError::folder(path, source);
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    let mut file = options.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(ProfileError::Running { name: name.to_owned(), pid: pid_in(&mut file), path: path.to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(file)
}

/// Who holds the lock. It writes that a moment after it got the lock, so the moment is waited for.
fn pid_in(file: &mut File) -> u32 {
    for _ in 0..PID_TRIES {
        let mut text = String::new();
        let read = file.rewind().and_then(|()| file.take(PID_MAX).read_to_string(&mut text));
        // Without the newline it may be half of it.
        if let (Ok(_), Some(pid)) = (read, text.strip_suffix('\n').and_then(|pid| pid.parse().ok())) {
            return pid;
        }
        std::thread::sleep(PID_WAIT);
    }
    0
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
