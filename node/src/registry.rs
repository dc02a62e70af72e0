//! The registry of this host's nodes: one file per node, locked by it as long as it lives.
//!
//! A reader that obtains the lock of a file knows that its node is gone, however it went, and removes the file.
//! A folder that is not ours, or that others may enter, is refused: others could plant entries there.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

use crate::{
    identity::create_private_dir,
    profile::{Paths, ProfileError},
    time::now_ms,
};

/// Entries read: a host with more nodes finds the rest through these.
const MAX_ENTRIES: usize = 256;

/// Bytes of one entry.
const MAX_ENTRY: u64 = 64 * 1024;

/// Why the registry cannot be used.
pub type RegistryError = ProfileError;

/// What a node of this host tells others of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 1.
    pub v: u8,
    /// Its id.
    #[serde(with = "text")]
    pub peer: PeerId,
    /// Its name.
    pub name: String,
    /// Names of its open swarms.
    pub swarms: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    #[serde(with = "texts")]
    pub addresses: Vec<Multiaddr>,
    /// Milliseconds since 1970.
    pub started_ms: u64,
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &libp2p::PeerId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<libp2p::PeerId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

mod texts {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &[libp2p::Multiaddr], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<libp2p::Multiaddr>, D::Error> {
        // An address of a kind this version does not know is no reason to miss the others.
        Ok(Vec::<String>::deserialize(deserializer)?.iter().filter_map(|text| text.parse().ok()).collect())
    }
}

impl Entry {
    /// An entry of this process.
    pub fn new(peer: PeerId, name: &str, swarms: Vec<String>, addresses: Vec<Multiaddr>) -> Self {
        Self { v: 1, peer, name: name.to_owned(), swarms, pid: std::process::id(), addresses, started_ms: now_ms() }
    }
}

/// The folder of entries.
#[derive(Debug, Clone)]
pub struct LocalRegistry {
    folder: PathBuf,
}

/// A node's own entry, removed on drop.
#[derive(Debug)]
pub struct Announcement {
    path: PathBuf,
    /// Holds the lock on the file that is in place.
    _file: File,
}

impl LocalRegistry {
    /// Opens the registry, making its folder if need be.
    ///
    /// # Errors
    /// The folder is not ours alone, or cannot be made.
    pub fn open(paths: &Paths) -> Result<Self, RegistryError> {
        let folder = paths.runtime().join("nodes");
        create_private_dir(&folder).map_err(|source| ProfileError::Folder { path: folder.clone(), source })?;
        for path in [paths.runtime(), &folder] {
            check_private(path)?;
        }
        Ok(Self { folder })
    }

    /// Puts this node's entry in place.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn announce(&self, entry: &Entry) -> Result<Announcement, RegistryError> {
        let path = self.folder.join(format!("{}.json", entry.peer));
        let file = put(&path, entry)?;
        Ok(Announcement { path, _file: file })
    }

    /// Entries of nodes that live. Leftovers of dead ones are removed, damaged files skipped.
    pub fn list(&self) -> Vec<Entry> {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let paths = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
        paths.take(MAX_ENTRIES).filter_map(|path| read(&path)).collect()
    }
}

impl Announcement {
    /// Replaces the entry.
    ///
    /// # Errors
    /// The file cannot be written; the old entry stays.
    pub fn update(&mut self, entry: &Entry) -> Result<(), RegistryError> {
        self._file = put(&self.path, entry)?;
        Ok(())
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Gone already: fine.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes beside, locks, then moves into place: whoever opens the path finds a whole entry that is locked.
fn put(path: &Path, entry: &Entry) -> Result<File, RegistryError> {
    let failed = |source| ProfileError::Folder { path: path.to_owned(), source };
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let write = || -> std::io::Result<File> {
        let mut file = File::options().create(true).truncate(true).write(true).open(&temporary)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec(entry)?)?;
        file.lock()?;
        std::fs::rename(&temporary, path)?;
        Ok(file)
    };
    write().map_err(failed)
}

fn read(path: &Path) -> Option<Entry> {
    let file = File::open(path).ok()?;
    if file.try_lock_shared().is_ok() {
        // Nobody holds it: its node is gone. Only this very file goes, not one that has taken its place meanwhile.
        if same_file(&file, path) {
            let _ = std::fs::remove_file(path);
        }
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_ENTRY).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

fn check_private(path: &Path) -> Result<(), RegistryError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(dir: &Path) -> LocalRegistry {
        LocalRegistry::open(&Paths::in_folder(dir).expect("paths")).expect("a registry")
    }

    fn entry(name: &str) -> Entry {
        let addr = "/ip4/127.0.0.1/tcp/4000".parse().expect("an address");
        Entry::new(PeerId::random(), name, vec!["garden".into()], vec![addr])
    }

    #[test]
    fn entries_live_as_long_as_their_node() {
        let dir = tempfile::tempdir().expect("a folder");
        let registry = registry(dir.path());
        let (a, b) = (entry("a"), entry("b"));
        let mut first = registry.announce(&a).expect("announced");
        let second = registry.announce(&b).expect("announced");
        let mut names: Vec<String> = registry.list().into_iter().map(|e| e.name).collect();
        names.sort();
        assert_eq!(names, ["a", "b"]);
        let newer = Entry { name: "c".into(), ..a };
        first.update(&newer).expect("updated");
        assert!(registry.list().contains(&newer));
        drop(second);
        assert_eq!(registry.list(), vec![newer]);
    }

    #[test]
    fn a_crashed_node_leaves_no_trace_for_readers() {
        let dir = tempfile::tempdir().expect("a folder");
        let registry = registry(dir.path());
        let announcement = registry.announce(&entry("a")).expect("announced");
        let path = announcement.path.clone();
        // As after kill -9: the lock is gone, the file is not.
        let copy = std::fs::read(&path).expect("there");
        drop(announcement);
        std::fs::write(&path, copy).expect("written");
        assert_eq!(registry.list(), Vec::new());
        assert!(!path.exists());
    }

    #[test]
    fn damaged_entries_are_skipped() {
        let dir = tempfile::tempdir().expect("a folder");
        let registry = registry(dir.path());
        let _a = registry.announce(&entry("a")).expect("announced");
        let damaged = File::create(registry.folder.join("x.json")).expect("made");
        damaged.lock().expect("locked");
        assert_eq!(registry.list().len(), 1);
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let paths = Paths::in_folder(dir.path()).expect("paths");
        LocalRegistry::open(&paths).expect("a registry");
        std::fs::set_permissions(paths.runtime(), std::fs::Permissions::from_mode(0o755)).expect("changed");
        let text = LocalRegistry::open(&paths).expect_err("refused").to_string();
        assert!(text.contains("0755"), "{text}");
    }
}
