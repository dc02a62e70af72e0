//! Which events were heard, in a file of the profile: after a restart nobody can tell old ones anew.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use p2pnode_behaviours::gossip::{self, Seen};
use tokio::task::JoinHandle;

use crate::profile::replace;

/// Written at once when something is heard after a pause, then at most so often: a card in a small board wears out.
const EVERY: Duration = Duration::from_secs(10);

/// Four swarms with all the authors that are remembered. A larger file is none of ours.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

const VERSION: u8 = 1;

/// Keeps the file in step with what was heard, beside the event loop.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    written: u64,
    next: Instant,
    writing: Option<JoinHandle<()>>,
}

impl Keeper {
    /// What the last run has left at `path`, and who keeps it from now on. A damaged file is told of, and replaced.
    pub(crate) fn open(path: PathBuf, now: Instant) -> (Self, Seen) {
        let seen = read(&path).unwrap_or_else(|error| {
            let path = path.display();
            tracing::warn!(%path, %error, "which events were heard before is unknown: old ones may be shown again");
            Seen::default()
        });
        (Self { path, written: 0, next: now, writing: None }, seen)
    }

    pub(crate) fn tick(&mut self, gossip: &gossip::Behaviour, now: Instant) {
        let idle = self.writing.as_ref().is_none_or(JoinHandle::is_finished);
        if gossip.heard() == self.written || now < self.next || !idle {
            return;
        }
        self.next = now + EVERY;
        self.written = gossip.heard();
        let (path, seen) = (self.path.clone(), gossip.seen());
        self.writing = Some(tokio::task::spawn_blocking(move || write(&path, &seen)));
    }

    /// The last state of all, after which nobody writes.
    pub(crate) async fn finish(mut self, gossip: &gossip::Behaviour) {
        if let Some(writing) = self.writing.take() {
            // It has warned of a failure itself.
            let _ = writing.await;
        }
        self.next = Instant::now();
        self.tick(gossip, self.next);
        if let Some(writing) = self.writing.take() {
            let _ = writing.await;
        }
    }
}

fn read(path: &Path) -> io::Result<Seen> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::default()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    #[expect(clippy::disallowed_methods, reason = "our own file, with more values than a message may have")]
    let (version, seen): (u8, Seen) = rmp_serde::from_slice(&bytes).map_err(io::Error::other)?;
    if version != VERSION {
        return Err(io::Error::other(format!("it has version {version}, this program knows {VERSION}")));
    }
    Ok(seen)
}

fn write(path: &Path, seen: &Seen) {
    let written = rmp_serde::to_vec(&(VERSION, seen)).map_err(io::Error::other).and_then(|bytes| replace(path, &bytes));
    if let Err(error) = written {
        let path = path.display();
        tracing::warn!(%path, %error, "which events were heard is not kept: after a restart old ones may be shown again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_empty_and_a_damaged_one_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("heard");
        assert_eq!(read(&path).expect("none yet"), Seen::default());
        write(&path, &Seen::default());
        assert_eq!(read(&path).expect("written"), Seen::default());
        for damaged in [&b"\xc1"[..], b"", b"\x92\x02\x91\x90", b"\x92\x01\x91\x91\x92\xc4\x20short"] {
            std::fs::write(&path, damaged).expect("written");
            assert!(read(&path).is_err(), "{damaged:?}");
        }
    }
}
