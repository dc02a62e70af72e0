//! A folder for one run, beside what is built: on the disk that users would have it on, not in memory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::figures;

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// An empty folder, gone when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> io::Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = figures::folder().join(format!("scratch-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder.canonicalize()?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Bytes of all files in it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn size(&self) -> io::Result<u64> {
        size(&self.0)
    }
}

fn size(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        sum += if data.is_dir() { size(&entry.path())? } else { data.len() };
    }
    Ok(sum)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
