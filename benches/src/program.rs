//! The program as users run it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, ensure};

use crate::figures;

/// The optimised `p2pnode`: `P2PNODE_BIN`, or what `cargo build --release -p p2pnode-cli` made.
///
/// # Errors
/// There is none.
pub fn path() -> anyhow::Result<PathBuf> {
    built("p2pnode", "P2PNODE_BIN", "p2pnode-cli")
}

/// An optimised program of this workspace: the path in a variable of the environment, or what is built.
pub(crate) fn built(name: &str, variable: &str, package: &str) -> anyhow::Result<PathBuf> {
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| figures::root().join("target"), PathBuf::from);
    let path = std::env::var_os(variable).map_or_else(|| built.join("release").join(name), PathBuf::from);
    ensure!(path.exists(), "{} is missing: cargo build --release --locked -p {package}", path.display());
    Ok(path.canonicalize()?)
}

/// A command of it, with everything it keeps in `home`.
///
/// # Errors
/// There is no program.
pub fn command(home: &Path, words: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(path()?);
    command.args(words).env("P2PNODE_HOME", home).env("XDG_RUNTIME_DIR", home).stdin(Stdio::null());
    Ok(command)
}

/// A node that runs until it is dropped.
#[derive(Debug)]
pub struct Up(Child);

impl Up {
    /// `p2pnode up`, once it says that it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(home: &Path, words: &[&str]) -> anyhow::Result<Self> {
        let words: Vec<&str> = ["up"].iter().chain(words).copied().collect();
        let mut child = command(home, &words)?.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let up = Self(child);
        for line in lines.by_ref() {
            if line?.starts_with("ready in") {
                // Whatever else it says must not fill the pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(up);
            }
        }
        anyhow::bail!("p2pnode up has ended")
    }

    /// What it occupies.
    ///
    /// # Errors
    /// It is gone.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of(&self.0.id().to_string())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Resident memory of a process, in KiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// All of it.
    pub all: f64,
    /// What is not in a file: its own.
    pub own: f64,
}

impl Memory {
    /// Of a process, or of `self`: proc(5).
    ///
    /// # Errors
    /// There is no such process, or no `/proc`.
    pub fn of(pid: &str) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> anyhow::Result<f64> {
            let line = text.lines().find(|line| line.starts_with(name)).context("a line of /proc/PID/status")?;
            Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
        };
        Ok(Self { all: field("VmRSS:")?, own: field("RssAnon:")? })
    }
}
