//! Room that is kept for the day when the disk is full: to delete something, SQLite first has to write.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{error::free, open::beside};

/// The file is at most this part of what is free: a small disk is not filled by its reserve.
const SHARE: u64 = 20;
/// How often it is looked whether there is room for it again.
const EVERY: Duration = Duration::from_secs(5);
/// Bytes written at once.
const BLOCK: usize = 64 * 1024;

/// The file that is given up first.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    there: bool,
    tried: Option<Instant>,
}

impl Reserve {
    pub(super) fn new(store: &Path, bytes: u64) -> Self {
        let path = beside(store, ".reserve");
        let there = fs::metadata(&path).is_ok_and(|meta| meta.len() > 0);
        let mut reserve = Self { path, bytes, there, tried: None };
        reserve.restore();
        reserve
    }

    /// Gives the room away before there is a store; whether there was any.
    pub(super) fn give(store: &Path) -> bool {
        fs::remove_file(beside(store, ".reserve")).is_ok()
    }

    /// Gives the room away.
    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.there) {
            tracing::warn!(path = %self.path.display(), "the disk is full: the reserve is used");
        }
        let _ = fs::remove_file(&self.path);
        self.tried = Some(Instant::now());
    }

    /// Makes it again once there is room.
    pub(super) fn restore(&mut self) {
        if self.there || self.bytes == 0 || self.tried.is_some_and(|tried| tried.elapsed() < EVERY) {
            return;
        }
        self.tried = Some(Instant::now());
        let bytes = free(&self.path).map_or(0, |free| self.bytes.min(free / SHARE));
        // Less would not hold one large message.
        if bytes < 1024 * 1024 && bytes < self.bytes {
            return;
        }
        match fill(&self.path, bytes) {
            Ok(()) => self.there = true,
            Err(_) => drop(fs::remove_file(&self.path)),
        }
    }
}

/// Writes the bytes, as a file with a hole takes no room.
fn fill(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    let block = [0; BLOCK];
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        file.write_all(block.get(..part).unwrap_or_default())?;
        left -= u64::try_from(part).unwrap_or(left);
    }
    file.sync_all()
}
