//! Versions below which a peer that connects can make a node panic or fill its memory.

use std::{fs, path::Path};

/// Crate, first good version, and what the older ones suffer from.
const FLOORS: [(&str, &str, &str); 16] = [
    ("libp2p-gossipsub", "0.50.1", "CVE-2026-33040, CVE-2026-34219, CVE-2026-95859, GHSA-vrx6-jcp8-vm7m"),
    ("yamux", "0.13.10", "CVE-2026-31814, CVE-2026-32314"),
    ("libp2p-quic", "0.13.1", "GHSA-5hq8-qhww-jm7q"),
    ("quinn-proto", "0.11.15", "CVE-2026-31812, CVE-2026-25800, CVE-2024-45311, CVE-2023-42805"),
    ("libp2p-rendezvous", "0.17.1", "CVE-2026-35405, CVE-2026-35457"),
    ("prost-codec", "0.4.0", "length overflow, rust-libp2p PR 6467"),
    ("libp2p-relay", "0.22.0", "panics"),
    ("libp2p-upnp", "0.7.0", "panics"),
    ("hickory-proto", "0.26.1", "RUSTSEC-2026-0119"),
    ("libp2p-core", "0.31.1", "RUSTSEC-2022-0009, peer record with a foreign key"),
    ("snow", "0.9.5", "panics or memory holes, limits.md §1"),
    ("rustls", "0.23.18", "panics or memory holes, limits.md §1"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055, terminal escapes"),
    ("rmp-serde", "1.1.1", "panics or memory holes, limits.md §1"),
    ("rmpv", "0.4.2", "panics or memory holes, limits.md §1"),
    ("p2pnode-tests", "0.0.0", "not a floor: proves that the lock file is the one of this workspace"),
];

/// Numbers first; a pre-release is older than its release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: [u64; 3],
    is_release: bool,
    pre: String,
}

fn version(text: &str) -> Option<Version> {
    let text = text.split_once('+').map_or(text, |(version, _)| version);
    let (numbers, pre) = text.split_once('-').map_or((text, ""), |(numbers, pre)| (numbers, pre));
    let parsed: Result<Vec<u64>, _> = numbers.split('.').map(str::parse).collect();
    let numbers = parsed.ok()?.try_into().ok()?;
    Some(Version { numbers, is_release: pre.is_empty(), pre: pre.to_owned() })
}

/// Name and version of each package of a lock file.
fn packages(lock: &str) -> Vec<(&str, &str)> {
    fn value<'a>(block: &'a str, key: &str) -> &'a str {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
        line.unwrap_or_else(|| panic!("no {key} in {block}"))
    }
    lock.split("[[package]]").skip(1).map(|block| (value(block, "name"), value(block, "version"))).collect()
}

/// What is wrong with a lock file.
fn below_floor(lock: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, found) in packages(lock) {
        for (_, floor, why) in FLOORS.iter().filter(|(floored, ..)| *floored == name) {
            let is_fine = version(found).zip(version(floor)).is_some_and(|(found, floor)| found >= floor);
            if !is_fine {
                wrong.push(format!("{name} {found} is below {floor}: {why}"));
            }
        }
    }
    wrong
}

fn lock_file() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn no_crate_is_below_its_floor() {
    let lock = lock_file();
    let all = packages(&lock);
    for needed in [
        "libp2p-gossipsub",
        "yamux",
        "libp2p-quic",
        "quinn-proto",
        "libp2p-core",
        "libp2p-relay",
        "libp2p-upnp",
        "snow",
        "p2pnode-tests",
    ] {
        assert!(all.iter().any(|(name, _)| *name == needed), "{needed} is not in Cargo.lock: is it read rightly?");
    }
    assert_eq!(below_floor(&lock), Vec::<String>::new());
}

#[test]
fn a_version_below_its_floor_is_noticed() {
    let lock = "version = 4\n\n[[package]]\nname = \"yamux\"\nversion = \"0.13.9\"\n\n\
                [[package]]\nname = \"yamux\"\nversion = \"0.13.10\"\n\n\
                [[package]]\nname = \"snow\"\nversion = \"0.9.5-rc.1\"\n\n\
                [[package]]\nname = \"rmpv\"\nversion = \"what\"\n";
    let wrong = below_floor(lock);
    let expected = ["yamux 0.13.9 is below 0.13.10", "snow 0.9.5-rc.1 is below 0.9.5", "rmpv what is below 0.4.2"];
    assert_eq!(wrong.len(), expected.len(), "{wrong:?}");
    for (line, start) in wrong.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn versions_are_compared_by_number() {
    let sorted = ["0.9.5-rc.1", "0.9.5", "0.13.9", "0.13.10", "0.13.10+spec-1.1.0", "1.0.0-alpha", "1.0.0", "10.0.0"];
    let parsed: Vec<_> = sorted.iter().map(|text| version(text).expect("a version")).collect();
    assert!(parsed.is_sorted(), "{parsed:?}");
    for (_, floor, _) in FLOORS {
        assert!(version(floor).is_some(), "{floor}");
    }
    assert_eq!(version("1.2"), None);
    assert_eq!(version("1.2.x"), None);
}
