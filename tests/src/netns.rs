//! Network namespaces: several hosts on one, for whoever may make them.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    os::fd::AsFd,
    process::{Command, id},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::run;

/// Whether this process may make network namespaces. If not, it says that the test is skipped.
///
/// # Panics
/// If it may not although it runs as root in CI: there a skipped test would pass unnoticed for years.
pub fn may_make_namespaces() -> bool {
    let name = unique();
    let made = ip(&["netns", "add", &name]);
    if made {
        ip(&["netns", "del", &name]);
        return true;
    }
    let strict = env::var_os("CI").is_some_and(|ci| ci == "true") && rustix::process::getuid().is_root();
    assert!(!strict, "root in CI, but no network namespace can be made");
    println!("skipped: no CAP_NET_ADMIN");
    false
}

fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("p2pt-{}-{}", id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
}

#[track_caller]
fn must(args: &[&str]) {
    let mut command = Command::new("ip");
    command.args(args);
    let output = run(command);
    assert!(output.status.success(), "ip {}: {output}", args.join(" "));
}

/// A network namespace, removed when dropped, with all that is in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// One with nothing but loopback.
    ///
    /// # Panics
    /// If it cannot be made.
    #[track_caller]
    pub fn lonely() -> Self {
        let space = Self { name: unique() };
        must(&["netns", "add", &space.name]);
        must(&["-n", &space.name, "link", "set", "lo", "up"]);
        space
    }

    /// Two that a cable joins, with the addresses 10.77.0.1 and 10.77.0.2 and multicast.
    ///
    /// # Panics
    /// If they cannot be made.
    #[track_caller]
    pub fn joined() -> (Self, Self) {
        let (a, b) = (Self::lonely(), Self::lonely());
        must(&["-n", &a.name, "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", &b.name]);
        for (space, addr) in [(&a, "10.77.0.1/24"), (&b, "10.77.0.2/24")] {
            must(&["-n", &space.name, "addr", "add", addr, "dev", "lan"]);
            must(&["-n", &space.name, "link", "set", "lan", "up"]);
            must(&["-n", &space.name, "link", "set", "lan", "multicast", "on"]);
        }
        (a, b)
    }

    /// Pulls the cable of [`Self::joined`], or plugs it in again.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn cable(&self, plugged: bool) {
        must(&["-n", &self.name, "link", "set", "lan", if plugged { "up" } else { "down" }]);
    }

    /// Runs `ip` inside.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub(crate) fn ip(&self, args: &[&str]) {
        must(&[&["-n", self.name.as_str()], args].concat());
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` in a thread that is inside.
    ///
    /// # Panics
    /// The thread, if it cannot get there.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.name);
        thread::spawn(move || {
            let space = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            work()
        })
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}
