use std::{fs, path::Path};

use super::*;
use crate::error::CliError;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// An export with a key and a memory.
fn export() -> Vec<u8> {
    let folder = folder();
    let files = [(KEY, "k".repeat(32)), (MEMORY[0], "{}".to_owned())].map(|(name, text)| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        (name, path)
    });
    let mut bytes = Vec::new();
    write(&mut bytes, "default", "12D3Koo", &files).unwrap();
    bytes
}

fn open(bytes: &[u8]) -> Result<Archive, CliError> {
    let folder = folder();
    let path = folder.path().join("x");
    fs::write(&path, bytes).unwrap();
    Archive::open(fs::File::open(path).unwrap(), "x".to_owned())
}

fn unpacked(bytes: &[u8], to: &Path) -> Result<(), CliError> {
    open(bytes)?.unpack(to)
}

/// A tar file as we end it, with whatever in it.
fn forged(members: &[(tar::Header, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (header, data) in members {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    let end = end(Sha256::new_with_prefix(&bytes)).unwrap();
    bytes.extend(end);
    bytes
}

#[test]
fn what_was_written_is_read() {
    let (bytes, to) = (export(), folder());
    assert_eq!(open(&bytes).unwrap().manifest().profile, "default");
    unpacked(&bytes, to.path()).unwrap();
    assert_eq!(fs::read(to.path().join(KEY)).unwrap(), [b'k'; 32]);
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 2);
    // Others can read it, too.
    let mut tar = tar::Archive::new(bytes.as_slice());
    let names = tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
    assert_eq!(names.collect::<Vec<_>>(), [LIST, KEY, MEMORY[0], SUM].map(std::path::PathBuf::from));
}

#[test]
fn each_changed_byte_and_each_cut_is_noticed() {
    let bytes = export();
    for at in (0..bytes.len()).step_by(5) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(open(&changed).is_err(), "byte {at}");
    }
    for len in (0..bytes.len()).step_by(37) {
        assert!(open(&bytes[..len]).is_err(), "{len} bytes");
    }
    let longer = [bytes.as_slice(), &[0; 512]].concat();
    assert!(open(&longer).is_err());
    assert_eq!(open(b"hello").unwrap_err().exit(), 2, "another file is told from a damaged one");
    assert_eq!(open(&bytes[..bytes.len() - 512]).unwrap_err().exit(), 1);
}

#[test]
fn what_we_would_not_write_is_refused_though_its_sum_is_right() {
    let list = |format: u32, names: &[&str]| {
        let member = |name: &&str| Member { name: (*name).into(), bytes: 1, sha256: hex(Sha256::new_with_prefix("x")) };
        let (program, created) = (String::new(), String::new());
        let files = names.iter().map(member).collect();
        let (profile, peer_id) = ("default".into(), String::new());
        serde_json::to_vec(&Manifest { format, program, profile, peer_id, created, files }).unwrap()
    };
    let with = |format: u32, listed: &[&str], there: &[&str], kind: tar::EntryType| {
        let list = list(format, listed);
        let mut members = vec![(header(LIST, list.len() as u64).unwrap(), list.as_slice())];
        for name in there {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_size(1);
            header.set_cksum();
            members.push((header, b"x"));
        }
        let to = folder();
        let outcome = unpacked(&forged(&members), to.path());
        assert!(fs::read_dir(to.path()).unwrap().all(|file| file.unwrap().file_name() == KEY));
        outcome
    };
    let regular = tar::EntryType::Regular;
    with(1, &[KEY], &[KEY], regular).unwrap();
    assert_eq!(with(2, &[KEY], &[KEY], regular).unwrap_err().facts().code, "export_newer");
    for name in ["../identity.key", "/etc/passwd", "node.db-wal", "other", "", "a/../identity.key", "./identity.key"] {
        assert!(with(1, &[name], &[name], regular).is_err(), "{name}");
        assert!(with(1, &[KEY], &[name], regular).is_err(), "{name} behind a good list");
        assert!(with(1, &[KEY], &[KEY, name], regular).is_err(), "{name} after it");
    }
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Fifo, tar::EntryType::Directory] {
        assert!(with(1, &[KEY], &[KEY], kind).is_err(), "{kind:?}");
    }
    assert!(with(1, &[KEY, KEY], &[KEY, KEY], regular).is_err(), "twice");
    assert!(with(1, &[KEY, STORE], &[KEY], regular).is_err(), "one is missing");
    assert!(open(&forged(&[])).is_err());
}
