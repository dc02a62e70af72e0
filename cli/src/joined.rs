//! Swarms that a profile has joined, and where they are found: `joined.json` beside its store, read by `up` and by commands
//! without a running node.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
};

use p2pnode::{BootstrapAddr, Paths};
use serde::{Deserialize, Serialize};

use crate::error::CliError;

pub(crate) const FILE: &str = "joined.json";

/// Swarms in the file: a node is in sixteen at once.
const SWARMS: usize = 64;

/// Addresses of one swarm: those of the last tickets.
const SEEDS: usize = 16;

/// One swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Joined {
    /// Its name.
    pub(crate) swarm: String,
    /// Where it is found.
    #[serde(default)]
    pub(crate) seeds: Vec<String>,
}

impl Joined {
    /// Its addresses. Those that a newer version wrote and this one cannot read are left out.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = BootstrapAddr> {
        self.seeds.iter().filter_map(|seed| seed.parse().ok())
    }
}

/// All of a profile, those joined last at the end.
pub(crate) fn read(paths: &Paths, profile: &str) -> Result<Vec<Joined>, CliError> {
    let path = path(paths, profile)?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // Where no folder can be, none was joined; what is wrong there is told by whoever needs the folder.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(CliError::io(path.display(), &error)),
    };
    serde_json::from_str(&text).map_err(|error| {
        CliError::usage(format!("{}: {error}", path.display()))
            .maybe("it was changed by hand, or the disk has failed; without it the swarms are named again")
    })
}

/// Keeps one more, or more addresses of one.
pub(crate) fn add(paths: &Paths, profile: &str, swarm: &str, seeds: &[BootstrapAddr]) -> Result<(), CliError> {
    let mut all = read(paths, profile)?;
    let before = all.iter().position(|joined| joined.swarm == swarm).map(|at| all.remove(at));
    let mut known: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    for seed in before.into_iter().flat_map(|joined| joined.seeds) {
        if !known.contains(&seed) {
            known.push(seed);
        }
    }
    known.truncate(SEEDS);
    all.push(Joined { swarm: swarm.to_owned(), seeds: known });
    if all.len() > SWARMS {
        all.remove(0);
    }
    write(paths, profile, &all)
}

/// Forgets one. False if it was not there.
pub(crate) fn remove(paths: &Paths, profile: &str, swarm: &str) -> Result<bool, CliError> {
    let mut all = read(paths, profile)?;
    let before = all.len();
    all.retain(|joined| joined.swarm != swarm);
    if all.len() < before {
        write(paths, profile, &all)?;
    }
    Ok(all.len() < before)
}

pub(crate) fn path(paths: &Paths, profile: &str) -> Result<PathBuf, CliError> {
    // The name is checked there.
    Ok(paths.store_path(profile)?.with_file_name(FILE))
}

/// Whole or not at all.
fn write(paths: &Paths, profile: &str, all: &[Joined]) -> Result<(), CliError> {
    let path = path(paths, profile)?;
    let text = serde_json::to_string_pretty(all).map_err(|error| CliError::internal(error.to_string()))?;
    let kept = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(&path);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut file, format!("{text}\n").as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    kept().map_err(|error| CliError::io(path.display(), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swarms_and_their_addresses_are_kept_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::in_folder(folder.path()).unwrap();
        assert_eq!(read(&paths, "default").unwrap(), []);
        let seed = |text: &str| -> BootstrapAddr { text.parse().unwrap() };
        add(&paths, "default", "garden", &[seed("10.0.0.1:1")]).unwrap();
        add(&paths, "default", "lab", &[]).unwrap();
        add(&paths, "default", "garden", &[seed("10.0.0.2:2"), seed("10.0.0.1:1")]).unwrap();
        let all = read(&paths, "default").unwrap();
        assert_eq!(all.iter().map(|joined| joined.swarm.as_str()).collect::<Vec<_>>(), ["lab", "garden"]);
        assert_eq!(all[1].seeds, ["10.0.0.2:2", "10.0.0.1:1"], "the newest first");
        assert_eq!(all[1].addresses().count(), 2);
        assert!(remove(&paths, "default", "lab").unwrap() && !remove(&paths, "default", "lab").unwrap());
        assert_eq!(read(&paths, "default").unwrap().len(), 1);
        assert_eq!(read(&paths, "other").unwrap(), []);
        fs::write(path(&paths, "default").unwrap(), "{").unwrap();
        assert!(read(&paths, "default").unwrap_err().to_string().contains("joined.json"));
    }
}
