//! Writing an export.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use super::{FORMAT, LIST, Manifest, Member, SUM, Summed, header, hex, sum_text};

/// Writes these files, which must not change meanwhile, under these names. What was written.
pub(crate) fn write(
    to: impl Write,
    profile: &str,
    peer_id: &str,
    files: &[(&'static str, PathBuf)],
) -> io::Result<Manifest> {
    let mut manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        profile: profile.to_owned(),
        peer_id: peer_id.to_owned(),
        created: jiff::Timestamp::now().to_string(),
        files: Vec::new(),
    };
    for (name, path) in files {
        let mut sink = Summed::new(io::sink());
        let bytes = io::copy(&mut File::open(path)?, &mut sink)?;
        manifest.files.push(Member { name: (*name).to_owned(), bytes, sha256: hex(sink.sum) });
    }
    let mut tar = tar::Builder::new(Summed::new(to));
    let list = serde_json::to_vec_pretty(&manifest)?;
    tar.append(&header(LIST, list.len() as u64)?, list.as_slice())?;
    for (member, (_, path)) in manifest.files.iter().zip(files) {
        tar.append(&header(&member.name, member.bytes)?, File::open(path)?)?;
    }
    let sum = sum_text(tar.get_ref().sum.clone());
    tar.append(&header(SUM, sum.len() as u64)?, sum.as_bytes())?;
    tar.into_inner()?.flush()?;
    Ok(manifest)
}
