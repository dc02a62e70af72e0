//! Homes behind routers: members find each other over a relay, and a direct way where the routers let them.

use std::time::{Duration, Instant};

use p2pnode_tests::{Home, Lab, Namespace, Node, Output, Router, SOON, may_make_routers, run, until};

/// What is promised to a user for the first call.
const PROMISED: Duration = Duration::from_secs(10);

const PORT: &str = "4001";

/// Somebody who is up somewhere.
struct Up {
    home: Home,
    place: Place,
    node: Node,
}

/// A namespace of a lab, by where it is.
#[derive(Clone, Copy)]
enum Place {
    Open,
    Home(usize),
}

struct Garden {
    lab: Lab,
    relay: Up,
    homes: Vec<Up>,
}

impl Place {
    fn of(self, lab: &Lab) -> &Namespace {
        match self {
            Self::Open => &lab.open,
            Self::Home(at) => lab.host(at),
        }
    }
}

fn up(lab: &Lab, place: Place, name: &str, more: &[&str]) -> Up {
    let home = Home::new();
    let common = ["--no-mdns", "up", "garden", "--allow", "any", "--name", name, "--port", PORT, "--demo"];
    let node = Node::start(home.command_in(place.of(lab), [&common, more].concat())).ready();
    Up { home, place, node }
}

impl Garden {
    /// A relay in the open, and a member behind each router.
    fn new(routers: &[Router]) -> Self {
        let lab = Lab::new(routers);
        let relay = up(&lab, Place::Open, "relay", &["--relay", "server"]);
        let member = |at: usize| {
            let seed = format!("{}:{PORT}", Lab::open_at(at));
            up(&lab, Place::Home(at), ["alder", "birch"][at], &["--bootstrap", &seed])
        };
        let homes = (0..routers.len()).map(member).collect();
        Self { lab, relay, homes }
    }

    /// Runs a command through the node of a home.
    fn attached(&self, at: usize, args: &[&str]) -> Output {
        let up = &self.homes[at];
        run(up.home.command_in(up.place.of(&self.lab), [&["--daemon"], args].concat()))
    }

    /// Calls `birch` from `alder` until it works.
    fn calls(&self) -> Duration {
        let start = Instant::now();
        let called = until(SOON, || {
            let output = self.attached(0, &["call", "birch", "sum", "20", "22", "--timeout", "2s"]);
            (output.code == Some(0)).then_some(output)
        });
        let called = called.unwrap_or_else(|| panic!("birch was not reached:\n{}", self.said()));
        assert_eq!(called.stdout.trim(), "42");
        start.elapsed()
    }

    fn said(&self) -> String {
        let all = [&self.relay].into_iter().chain(&self.homes).map(|up| up.node.said());
        all.collect::<Vec<_>>().join("\n---\n")
    }
}

#[test]
fn where_routers_keep_ports_holes_are_punched() {
    if !may_make_routers() {
        return;
    }
    let garden = Garden::new(&[Router::Cone, Router::Cone]);
    let took = garden.calls();
    println!("measured: called after {took:?}, promised {PROMISED:?}");
    assert!(took < 3 * PROMISED, "{took:?}");
    let ping = garden.attached(0, &["ping", "birch", "--require-direct"]).exits(0);
    println!("measured: {}", ping.stdout);
    ping.says("hole-punched");
}

#[test]
fn where_each_connection_has_another_port_the_relay_stays() {
    if !may_make_routers() {
        return;
    }
    let garden = Garden::new(&[Router::Symmetric, Router::Symmetric]);
    let took = garden.calls();
    println!("measured: called after {took:?}, promised {PROMISED:?}");
    let ping = garden.attached(0, &["ping", "birch", "--require-direct", "-c", "5"]).exits(10);
    println!("measured: {}", ping.stdout);
    ping.says("via relay").says("not direct").complains("no direct connection");
}

#[test]
fn without_udp_a_hole_is_punched_with_tcp() {
    if !may_make_routers() {
        return;
    }
    let garden = Garden::new(&[Router::NoUdp, Router::Cone]);
    garden.calls();
    let ping = garden.attached(0, &["ping", "birch", "--require-direct"]).exits(0);
    println!("measured: {}", ping.stdout);
    ping.says("(tcp, hole-punched)");
    garden.attached(0, &["netcheck"]).exits(0).says("no: QUIC was not answered");
}

#[test]
fn who_can_be_dialled_learns_it_from_a_member_in_the_open() {
    if !may_make_routers() {
        return;
    }
    let lab = Lab::new(&[]);
    let (there, home) = (lab.other(3), Home::new());
    let open = up(&lab, Place::Open, "open", &[]);
    let words = ["--no-mdns", "up", "garden", "--name", "fern", "--port", PORT];
    let seed = format!("11.1.3.1:{PORT}");
    let fern = Node::start(home.command_in(&there, [&words[..], &["--bootstrap", &seed]].concat())).ready();
    let start = Instant::now();
    let public = until(SOON, || {
        let status = run(home.command_in(&there, ["--daemon", "status"])).exits(0).stdout;
        status.contains("public: 11.1.3.2:4001").then_some(status)
    });
    let status = public.unwrap_or_else(|| panic!("nobody told it:\n{}\n{}", fern.said(), open.node.said()));
    println!("measured: after {:?}\n{status}", start.elapsed());
}

/// What `netcheck` calls a router when two hosts in the open look.
fn kind_of(router: Router) -> String {
    let lab = Lab::new(&[router]);
    let other = lab.other(3);
    let (relay, home) = (up(&lab, Place::Open, "relay", &[]), Home::new());
    let beside = Home::new();
    let common = ["--no-mdns", "up", "garden", "--port", PORT];
    let second = Node::start(beside.command_in(&other, common)).ready();
    let seeds = [format!("{}:{PORT}", Lab::open_at(0)), format!("11.1.3.2:{PORT}")];
    let args = ["--no-mdns", "--bootstrap", &seeds[0], "--bootstrap", &seeds[1], "--json", "netcheck"];
    let checked = run(home.command_in(lab.host(0), args)).exits(0);
    println!("{checked}");
    drop((relay, second));
    let told: serde_json::Value = serde_json::from_str(&checked.stdout).expect("JSON");
    format!("{} {} {}", told["data"]["udp"], told["data"]["nat"]["tcp"]["kind"], told["data"]["nat"]["udp"]["kind"])
}

#[test]
fn netcheck_tells_routers_apart() {
    if !may_make_routers() {
        return;
    }
    assert_eq!(kind_of(Router::Cone), "true \"cone\" \"cone\"");
    assert_eq!(kind_of(Router::Symmetric), "true \"symmetric\" \"symmetric\"");
    assert_eq!(kind_of(Router::NoUdp), "false \"cone\" null");
}
