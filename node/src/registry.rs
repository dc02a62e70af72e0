//! The registry of this host's nodes: one file per node, locked by it as long as it lives.
//!
//! A reader that obtains the lock of a file knows that its node is gone, however it went, and removes the file.
//! The lock is on a file, but a name is what is removed and replaced; so that these are always the same file,
//!
//! * an entry is written and locked under another name, then moved into place;
//! * a reader removes a name only while it alone holds the lock of the very file that has it;
//! * a node puts its entry over an old one only while it shares the old one's lock.
//!
//! A folder that is not ours, or that others may enter, is refused: others could plant entries there.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{File, TryLockError},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::Clock;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::{
    identity::create_private_dir,
    profile::{Paths, ProfileError, check_private},
};

/// Entries read: a host with more nodes finds the rest through these.
const MAX_ENTRIES: usize = 256;

/// Bytes of one entry.
const MAX_ENTRY: u64 = 64 * 1024;

/// Files looked at, leftovers included.
const MAX_FILES: usize = 4_096;

/// How often a file is looked at again because its node has just replaced it.
const READ_TRIES: usize = 8;

/// How often, and how long apart, the lock of an old entry is tried before its holder counts as a living node.
const SEIZE_TRIES: usize = 200;
const SEIZE_WAIT: Duration = Duration::from_millis(1);

/// Begins the extension of a file that is being written.
const NEW: &str = "new-";

/// Nobody writes an entry for so long.
const SWEEP_AFTER: Duration = Duration::from_secs(60);

/// A folder that was changed so shortly before it was read may change again without a newer time: clocks of file systems are coarse.
const COARSE: Duration = Duration::from_secs(1);

/// A folder that does not change is read again so often: who was killed leaves its entry.
const READ_EVERY: Duration = Duration::from_secs(60);

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
        Self {
            v: 1,
            peer,
            name: name.to_owned(),
            swarms,
            pid: std::process::id(),
            addresses,
            started_ms: Clock::default().now_ms(),
        }
    }
}

/// The folder of entries.
#[derive(Debug, Clone)]
pub struct LocalRegistry {
    folder: PathBuf,
}

/// What the folder had when it was read last.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    /// When it was read, and when the folder had changed; none if it may change without a trace.
    read: Option<(Instant, SystemTime)>,
}

/// A node's own entry, removed on drop.
#[derive(Debug)]
#[must_use = "dropping it removes the entry"]
pub struct Announcement {
    path: PathBuf,
    /// The file that is in place; its lock says that the node lives.
    file: File,
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
    /// The file cannot be written, or a living process announces the same id.
    pub fn announce(&self, entry: &Entry) -> Result<Announcement, RegistryError> {
        let path = self.path(&entry.peer);
        let _old = seize(&path)?;
        let file = put(&path, entry)?;
        Ok(Announcement { path, file })
    }

    /// The entry of one node, if it lives.
    pub fn find(&self, peer: &PeerId) -> Option<Entry> {
        read(&self.path(peer)).filter(|entry| entry.peer == *peer)
    }

    fn path(&self, peer: &PeerId) -> PathBuf {
        self.folder.join(format!("{peer}.json"))
    }

    /// Entries of nodes that live, at most 256. Leftovers of dead ones are removed, damaged files skipped.
    pub fn list(&self) -> Vec<Entry> {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut entries = BTreeMap::new();
        for path in files.map(|file| file.path()).take(MAX_FILES) {
            match path.extension().and_then(OsStr::to_str) {
                Some("json") if entries.len() < MAX_ENTRIES => {
                    // A folder that changes while it is read may show a name twice.
                    entries.extend(read(&path).map(|entry| (entry.peer, entry)));
                }
                Some(new) if new.starts_with(NEW) => sweep(&path),
                _ => {}
            }
        }
        entries.into_values().collect()
    }

    /// Reads the entries again if some have come or gone since. Of those that are in the listing a node that was killed is missed for up
    /// to a minute: [`find`](Self::find) tells. True if they were read.
    pub(crate) fn refresh(&self, listing: &mut Listing, now: Instant) -> bool {
        let changed = std::fs::metadata(&self.folder).and_then(|folder| folder.modified()).ok();
        let fresh = |(read, then): (Instant, SystemTime)| {
            changed == Some(then) && now.saturating_duration_since(read) < READ_EVERY
        };
        if listing.read.is_some_and(fresh) {
            return false;
        }
        let certain = |at: &SystemTime| at.elapsed().is_ok_and(|age| age > COARSE);
        // Dead entries are removed by it, which changes the folder: the next time it is read once more.
        *listing = Listing { entries: self.list(), read: changed.filter(certain).map(|at| (now, at)) };
        true
    }
}

impl Announcement {
    /// Replaces the entry.
    ///
    /// # Errors
    /// The file cannot be written; the old entry stays.
    pub fn update(&mut self, entry: &Entry) -> Result<(), RegistryError> {
        // The old file goes after the new one has its place: until then its lock keeps readers from removing it.
        self.file = put(&self.path, entry)?;
        Ok(())
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if same_file(&self.file, &self.path) {
            // Gone already: fine.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Shares the lock of what is left of an earlier life: while it is held, no reader removes what takes its place.
fn seize(path: &Path) -> Result<Option<File>, RegistryError> {
    for _ in 0..SEIZE_TRIES {
        let Some(file) = open(path) else { return Ok(None) };
        match file.try_lock_shared() {
            Ok(()) => return Ok(Some(file)),
            // A reader removes it, which is a matter of microseconds, or its node lives.
            Err(TryLockError::WouldBlock) => std::thread::sleep(SEIZE_WAIT),
            Err(TryLockError::Error(source)) => return Err(ProfileError::Folder { path: path.to_owned(), source }),
        }
    }
    Err(ProfileError::Twin { path: path.to_owned() })
}

/// Writes beside, locks, then moves into place: whoever opens the path finds a whole entry that is locked.
fn put(path: &Path, entry: &Entry) -> Result<File, RegistryError> {
    let failed = |source| ProfileError::Folder { path: path.to_owned(), source };
    let temporary = path.with_extension(format!("{NEW}{:016x}", rand::random::<u64>()));
    let write = || -> std::io::Result<File> {
        let text = serde_json::to_vec(entry)?;
        if text.len() as u64 > MAX_ENTRY {
            return Err(std::io::Error::other(format!("{} bytes; readers take {MAX_ENTRY}", text.len())));
        }
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&temporary)?;
        file.lock()?;
        file.write_all(&text)?;
        std::fs::rename(&temporary, path)?;
        Ok(file)
    };
    write().map_err(|error| {
        // Not made at all, perhaps.
        let _ = std::fs::remove_file(&temporary);
        failed(error)
    })
}

/// An ordinary file; what else somebody put there, or a link to elsewhere, must not make us wait or follow.
fn open(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    file.metadata().ok()?.is_file().then_some(file)
}

fn read(path: &Path) -> Option<Entry> {
    for _ in 0..READ_TRIES {
        let file = open(path)?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => return parse(file, path),
            Err(TryLockError::Error(_)) => return None,
            // Nobody holds it alone: its node is gone.
            Ok(()) if same_file(&file, path) => {
                remove_dead(&file, path);
                return None;
            }
            // Its node has just replaced it: look at the new one.
            Ok(()) => {}
        }
    }
    None
}

/// Alone with the file, or not at all: of two readers who both found it dead, the slower would remove what has taken
/// its place meanwhile.
fn remove_dead(file: &File, path: &Path) {
    let alone = file.unlock().is_ok() && file.try_lock().is_ok();
    if alone && same_file(file, path) {
        // Not ours to worry about: the next reader tries again.
        let _ = std::fs::remove_file(path);
    }
}

fn parse(file: File, path: &Path) -> Option<Entry> {
    let mut bytes = Vec::new();
    file.take(MAX_ENTRY).read_to_end(&mut bytes).ok()?;
    let entry: Entry = serde_json::from_slice(&bytes).ok()?;
    let named = path.file_stem().and_then(OsStr::to_str) == Some(&entry.peer.to_string());
    named.then_some(entry)
}

/// Removes what a node that was killed while it wrote has left.
fn sweep(path: &Path) {
    let old = |file: &File| file.metadata().and_then(|about| about.modified()).ok()?.elapsed().ok();
    let Some(file) = open(path) else { return };
    if old(&file).is_some_and(|age| age > SWEEP_AFTER) && file.try_lock().is_ok() {
        // Somebody else was faster: fine.
        let _ = std::fs::remove_file(path);
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
