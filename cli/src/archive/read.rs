//! Reading an export: nothing of it is believed.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::{BLOCK, END, FORMAT, LIST, LIST_MAX, MEMBERS, Manifest, Member, Summed, end, header, hex};
use crate::error::{CliError, exit};

/// An export whose bytes are those that were written.
#[derive(Debug)]
pub(crate) struct Archive {
    file: File,
    /// Bytes before the end.
    bytes: u64,
    shown: String,
    manifest: Manifest,
}

impl Archive {
    /// Checks the whole of it. It is told of as `shown`.
    pub(crate) fn open(mut file: File, shown: String) -> Result<Self, CliError> {
        let failed = |error: io::Error| CliError::io(&shown, &error);
        let len = file.metadata().map_err(failed)?.len();
        let mut first = Vec::new();
        (&mut file).take(BLOCK).read_to_end(&mut first).map_err(failed)?;
        let name = header(LIST, 0).map_err(failed)?;
        if !first.starts_with(name.path_bytes().as_ref()) {
            return Err(CliError::new("no_export", exit::USAGE, format!("{shown} is no export of p2pnode"))
                .maybe("a key alone comes back by `p2pnode id import`")
                .try_also("p2pnode export FILE", "makes one"));
        }
        let bytes = len.checked_sub(END).filter(|bytes| bytes % BLOCK == 0);
        let bytes = bytes.ok_or_else(|| damaged(&shown, "its end is missing"))?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut sum = Summed::new(io::sink());
        io::copy(&mut (&mut file).take(bytes), &mut sum).map_err(failed)?;
        let mut rest = Vec::new();
        (&mut file).take(END + 1).read_to_end(&mut rest).map_err(failed)?;
        if rest != end(sum.sum).map_err(failed)? {
            return Err(damaged(&shown, "it does not have its SHA-256"));
        }
        let manifest = list(&mut file, bytes, &shown)?;
        Ok(Self { file, bytes, shown, manifest })
    }

    /// What is in it.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes its members into a folder that is empty and ours.
    pub(crate) fn unpack(&mut self, folder: &Path) -> Result<(), CliError> {
        let wrong = |why: &str| damaged(&self.shown, why);
        let failed = |error: io::Error| CliError::io(&self.shown, &error);
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut tar = tar::Archive::new((&mut self.file).take(self.bytes));
        // As they are: no names and sizes from heads of other kinds.
        let mut entries = tar.entries().map_err(failed)?.raw(true).skip(1);
        for member in &self.manifest.files {
            let mut entry = entries.next().ok_or_else(|| wrong("a member is missing"))?.map_err(failed)?;
            if !fits(&entry, member) {
                return Err(wrong("a member is not the one in its list"));
            }
            let path = folder.join(&member.name);
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(&path);
            let written = file.and_then(|file| {
                let mut file = Summed::new(file);
                io::copy(&mut entry, &mut file)?;
                file.to.sync_all()?;
                Ok(hex(file.sum))
            });
            if written.map_err(|error| CliError::io(path.display(), &error))? != member.sha256 {
                return Err(wrong(&format!("{} does not have its SHA-256", member.name)));
            }
        }
        match entries.next() {
            None => Ok(()),
            Some(_) => Err(wrong("it holds more than its list says")),
        }
    }
}

/// The first member, and what in it could not have been written by us.
fn list(file: &mut File, bytes: u64, shown: &str) -> Result<Manifest, CliError> {
    let wrong = |why: &str| damaged(shown, why);
    let failed = |error: io::Error| CliError::io(shown, &error);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut tar = tar::Archive::new(file.take(bytes));
    let mut entries = tar.entries().map_err(failed)?.raw(true);
    let mut entry = entries.next().ok_or_else(|| wrong("it is empty"))?.map_err(failed)?;
    let regular = entry.header().entry_type() == tar::EntryType::Regular;
    if !regular || entry.path_bytes().as_ref() != LIST.as_bytes() || entry.size() > LIST_MAX {
        return Err(wrong("it has no list of its members"));
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(failed)?;
    let list: serde_json::Value =
        serde_json::from_slice(&text).map_err(|_| wrong("the list of its members is none"))?;
    if let Some(newer) = list["format"].as_u64().filter(|format| *format > u64::from(FORMAT)) {
        let message = format!("{shown} has the format {newer}; this program knows {FORMAT}");
        return Err(CliError::new("export_newer", exit::INTERNAL, message).maybe("a newer p2pnode has written it"));
    }
    let manifest: Manifest = serde_json::from_value(list).map_err(|error| wrong(&format!("its list: {error}")))?;
    let mut known = MEMBERS.iter();
    match manifest.files.iter().all(|member| known.any(|name| *name == member.name)) {
        true => Ok(manifest),
        false => Err(wrong("it holds files that are not of a profile, or twice")),
    }
}

fn fits(entry: &tar::Entry<'_, impl io::Read>, member: &Member) -> bool {
    let regular = entry.header().entry_type() == tar::EntryType::Regular;
    regular && entry.path_bytes().as_ref() == member.name.as_bytes() && entry.size() == member.bytes
}

fn damaged(shown: &str, why: &str) -> CliError {
    CliError::new("export_damaged", exit::INTERNAL, format!("{shown} is damaged: {why}; nothing was imported"))
        .maybe("it was cut off or changed on its way: copy it again")
}
