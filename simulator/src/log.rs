//! What happened, in order: the digest of a run, and its trace.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};

/// One thing that happened. Numbers that libp2p counts per process are left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Bytes left a host.
    Sent {
        /// From this host.
        from: usize,
        /// To that one.
        to: usize,
        /// How many.
        bytes: usize,
    },
    /// A node, or the scenario, says so.
    Said(String),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { from, to, bytes } => write!(f, "host {from} sends {bytes} B to host {to}"),
            Self::Said(text) => f.write_str(text),
        }
    }
}

struct State {
    hash: Sha256,
    entries: u64,
    trace: Option<Box<dyn Write + Send>>,
}

/// The log of one run. Clones are the same log.
#[derive(Clone)]
pub struct Log(Arc<Mutex<State>>);

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("entries", &self.entries()).finish_non_exhaustive()
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Log {
    /// A log that also writes each entry as a line to `trace`.
    pub fn new(trace: Option<Box<dyn Write + Send>>) -> Self {
        Self(Arc::new(Mutex::new(State { hash: Sha256::new(), entries: 0, trace })))
    }

    pub(crate) fn add(&self, at: Duration, entry: impl FnOnce() -> Entry) {
        let entry = entry();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.entries += 1;
        state.hash.update(at.as_nanos().to_be_bytes());
        match &entry {
            Entry::Sent { from, to, bytes } => {
                for number in [*from, *to, *bytes] {
                    state.hash.update((number as u64).to_be_bytes());
                }
            }
            Entry::Said(text) => {
                state.hash.update((text.len() as u64).to_be_bytes());
                state.hash.update(text);
            }
        }
        if let Some(trace) = &mut state.trace
            && writeln!(trace, "{:.6} {entry}", at.as_secs_f64()).is_err()
        {
            // A full disk must not change the run.
            state.trace = None;
        }
    }

    /// How much happened.
    pub fn entries(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entries
    }

    /// Equal for equal runs: the first half of SHA-256 over all entries, in hex.
    pub fn digest(&self) -> String {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = state.hash.clone().finalize();
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes out what the trace holds back.
    pub(crate) fn flush(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.trace.as_mut().is_some_and(|trace| trace.flush().is_err()) {
            state.trace = None;
        }
    }
}
