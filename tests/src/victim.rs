//! A live node that is attacked.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{Home, Node, binary, free_port, until};

/// How soon it answers again; a loaded test machine gets three times as much.
pub const RECOVERY: Duration = Duration::from_secs(5);
/// How much more memory it may hold after an attack.
const GROWTH_KIB: u64 = 200 * 1024;

/// A node in a home of its own, and how it was before the attack.
#[derive(Debug)]
pub struct Victim {
    home: Home,
    /// It.
    pub node: Node,
    /// Where it listens on loopback.
    pub port: u16,
    rss_kib: Option<u64>,
}

impl Victim {
    /// A demo node that serves, with as many file descriptors as most systems allow.
    ///
    /// # Panics
    /// If it does not start or does not serve.
    pub fn start() -> Self {
        Self::that_logs("off")
    }

    /// One that logs what this filter lets through.
    ///
    /// # Panics
    /// If it does not start or does not serve.
    pub fn that_logs(filter: &str) -> Self {
        let (home, port) = (Home::new(), free_port());
        binary();
        // The limit most systems set, whatever this process has.
        let up = format!("ulimit -n 1024; exec {} --no-mdns up garden --demo --port {port}", binary().display());
        let mut command = Command::new("sh");
        command.args(["-c", &up]).env("P2PNODE_HOME", home.path()).env("P2PNODE_LOG", filter);
        let node = Node::start(command).ready();
        let mut victim = Self { home, node, port, rss_kib: None };
        victim.is_well("nothing yet");
        victim.rss_kib = victim.node.rss_kib();
        victim
    }

    /// A member still gets an answer, and the node is as it was.
    ///
    /// # Panics
    /// If not so.
    #[track_caller]
    pub fn is_well(&mut self, after: &str) {
        let (start, name) = (Instant::now(), self.node.name());
        let mut last = None;
        let answered = until(3 * RECOVERY, || {
            let called = self.home.run(&["call", &format!("{name}@garden"), "sum", "1", "2"]);
            let fine = called.code == Some(0) && called.stdout == "3\n";
            last = Some(called);
            fine.then(|| start.elapsed())
        });
        let last = last.map(|output| output.to_string()).unwrap_or_default();
        let said = self.node.said();
        assert!(self.node.is_alive(), "after {after} it is dead: {said}");
        assert!(!said.contains("panicked"), "after {after}: {said}");
        let answered = answered.unwrap_or_else(|| panic!("after {after} it answers no more: {last}\n{said}"));
        let grown = self.node.rss_kib().zip(self.rss_kib).map(|(now, before)| now.saturating_sub(before));
        println!("measured: after {after} it answers in {answered:?}, memory grew by {grown:?} KiB");
        assert!(answered < 3 * RECOVERY, "after {after} it took {answered:?}");
        assert!(grown.is_none_or(|grown| grown < GROWTH_KIB), "after {after} it holds {grown:?} KiB more");
    }
}
