//! A small Internet in network namespaces: a host in the open, and homes behind routers that translate addresses.
//!
//! Its addresses are of 11.0.0.0/8, which look public to a node. Those for documentation do not: a node takes them for a
//! laboratory, which is not on the Internet.

use std::{fmt::Write as _, process::Command};

use crate::{Namespace, may_make_namespaces, run};

/// What a router makes of ports, and what it lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    /// The port stays the same for whomever a packet is for, as in most homes.
    Cone,
    /// Another port for each connection.
    Symmetric,
    /// As `Cone`, but no UDP goes out.
    NoUdp,
}

/// Hosts behind routers, around one in the open.
#[derive(Debug)]
pub struct Lab {
    /// The host in the open. It routes between all others, and has an address in the network of each.
    pub open: Namespace,
    homes: Vec<Home>,
}

#[derive(Debug)]
struct Home {
    host: Namespace,
    /// Lives as long as the host.
    _router: Namespace,
}

/// Whether such a thing can be built here. If not, it says that the test is skipped.
///
/// # Panics
/// If it cannot although this is root in CI.
pub fn may_make_routers() -> bool {
    if !may_make_namespaces() {
        return false;
    }
    if Command::new("nft").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return true;
    }
    let strict = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!strict, "root in CI, but there is no nft");
    println!("skipped: no nft");
    false
}

impl Lab {
    /// One home behind each of these routers.
    ///
    /// # Panics
    /// If it cannot be built.
    #[track_caller]
    pub fn new(routers: &[Router]) -> Self {
        let open = Namespace::lonely();
        forwards(&open);
        let mut lab = Self { open, homes: Vec::new() };
        for (number, router) in (1..).zip(routers) {
            let home = lab.home(number, *router);
            lab.homes.push(home);
        }
        lab
    }

    /// The host of a home.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn host(&self, at: usize) -> &Namespace {
        &self.homes[at].host
    }

    /// Another host in the open, with an address of its own: 11.1.NUMBER.2.
    ///
    /// # Panics
    /// If it cannot be made.
    #[track_caller]
    pub fn other(&self, number: u8) -> Namespace {
        let other = Namespace::lonely();
        let name = format!("open{number}");
        cable(&self.open, &name, &format!("11.1.{number}.1/24"), &other, "wan", &format!("11.1.{number}.2/24"));
        other.ip(&["route", "add", "default", "via", &format!("11.1.{number}.1")]);
        other
    }

    /// Where the host in the open is, seen from a home.
    pub fn open_at(number: usize) -> String {
        format!("11.0.{}.1", number + 1)
    }

    fn home(&self, number: u8, kind: Router) -> Home {
        let (router, host) = (Namespace::lonely(), Namespace::lonely());
        forwards(&router);
        let (near, far) = (format!("11.0.{number}.1"), format!("11.0.{number}.2"));
        cable(&self.open, &format!("home{number}"), &format!("{near}/24"), &router, "wan", &format!("{far}/24"));
        router.ip(&["route", "add", "default", "via", &near]);
        let gateway = format!("192.168.{number}.1");
        cable(&router, "lan", &format!("{gateway}/24"), &host, "lan", &format!("192.168.{number}.2/24"));
        host.ip(&["route", "add", "default", "via", &gateway]);
        rules(&router, kind);
        Home { host, _router: router }
    }
}

/// Nothing comes in that was not asked for.
fn rules(router: &Namespace, kind: Router) {
    let how = if kind == Router::Symmetric { " random,fully-random" } else { "" };
    let mut text = String::from("table ip home {\n");
    let mut chain = |name: &str, hook: &str, rules: &[&str]| {
        let _ = writeln!(text, "chain {name} {{ {hook}\n{}\n}}", rules.join("\n"));
    };
    let answers = "ct state established,related accept";
    let no_udp = if kind == Router::NoUdp { "meta l4proto udp drop" } else { "" };
    chain("in", "type filter hook input priority filter; policy drop;", &[answers, "iifname lan accept"]);
    chain("on", "type filter hook forward priority filter; policy drop;", &[no_udp, answers, "iifname lan accept"]);
    let masquerade = format!("oifname wan masquerade{how}");
    chain("out", "type nat hook postrouting priority srcnat;", &[&masquerade]);
    text.push_str("}\n");
    let mut nft = router.command("nft");
    nft.arg(&text);
    let output = run(nft);
    assert!(output.status.success(), "nft: {output}");
}

fn forwards(space: &Namespace) {
    let mut sysctl = space.command("sh");
    sysctl.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
    let output = run(sysctl);
    assert!(output.status.success(), "{output}");
}

#[track_caller]
fn cable(a: &Namespace, a_name: &str, a_addr: &str, b: &Namespace, b_name: &str, b_addr: &str) {
    a.ip(&["link", "add", a_name, "type", "veth", "peer", "name", b_name, "netns", b.name()]);
    for (space, name, addr) in [(a, a_name, a_addr), (b, b_name, b_addr)] {
        space.ip(&["addr", "add", addr, "dev", name]);
        space.ip(&["link", "set", name, "up"]);
    }
}
