//! A whole profile in one file: what `export` writes and `import` reads.
//!
//! It is a tar file, so that anybody can look into it. First a list of what is in it, each with size and SHA-256, then that,
//! at last the SHA-256 of everything before: a file that is not byte for byte what was written is refused before anything
//! of it is used.

mod read;
mod write;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use p2pnode::Paths;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use self::{read::Archive, write::write};
use crate::{error::CliError, joined};

/// Of the list, and so of the whole; only this one is read.
pub(crate) const FORMAT: u32 = 1;

/// The members, in their order; all but the first and the last may be missing. A file of any other name is none of ours.
const LIST: &str = "p2pnode-export.json";
pub(crate) const KEY: &str = "identity.key";
pub(crate) const STORE: &str = "node.db";
const SUM: &str = "SHA256";

/// What else a profile remembers, in the order of [`memory_paths`].
pub(crate) const MEMORY: [&str; 3] = ["node.json", "heard", joined::FILE];
const MEMBERS: [&str; 5] = [KEY, STORE, MEMORY[0], MEMORY[1], MEMORY[2]];

/// Where it is: what its node remembers, and the swarms it has joined.
pub(crate) fn memory_paths(paths: &Paths, profile: &str) -> Result<[PathBuf; 3], CliError> {
    let [node, heard] = paths.memory_paths(profile)?;
    Ok([node, heard, joined::path(paths, profile)?])
}

/// Bytes of a block of tar; of what stands at the end: the last member with its head, and two empty blocks.
const BLOCK: u64 = 512;
const END: u64 = 4 * BLOCK;

/// Bytes of the list: more than names, sizes and sums of all members take.
const LIST_MAX: u64 = 64 * 1024;

/// What is in an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// Version of the program that wrote it.
    pub(crate) program: String,
    /// Name of the profile.
    pub(crate) profile: String,
    /// Whose state it is.
    pub(crate) peer_id: String,
    /// When it was written, RFC 3339.
    pub(crate) created: String,
    /// The members.
    pub(crate) files: Vec<Member>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// A known one.
    pub(crate) name: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// Of its bytes, in hex.
    pub(crate) sha256: String,
}

impl Manifest {
    /// Whether the secret key is in it.
    pub(crate) fn has_key(&self) -> bool {
        self.files.iter().any(|member| member.name == KEY)
    }
}

/// The head of a member. Times and owners are left out: they are those of the file.
fn header(name: &str, bytes: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}

/// What stands at the end of an export, after bytes with this sum.
fn end(sum: Sha256) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let text = sum_text(sum);
    tar.append(&header(SUM, text.len() as u64)?, text.as_bytes())?;
    tar.into_inner()
}

fn sum_text(sum: Sha256) -> String {
    format!("{}\n", hex(sum))
}

fn hex(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sums up what passes.
struct Summed<W> {
    to: W,
    sum: Sha256,
}

impl<W> Summed<W> {
    fn new(to: W) -> Self {
        Self { to, sum: Sha256::new() }
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;
