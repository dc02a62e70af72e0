//! Somebody in the local network who answers for thousands of peers that are not there.

use std::{
    net::{TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use p2pnode_tests::{Home, Namespace, Node, may_make_namespaces};

const GROUP: &str = "224.0.0.251:5353";

/// Dials per second that what the local network says is worth, and how many may be saved up.
const DIALS_PER_SECOND: u64 = 2;
const BURST: u64 = 10;

fn name(out: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).expect("a short label"));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
}

fn record(out: &mut Vec<u8>, owner: &str, kind: u16, data: &[u8]) {
    name(out, owner);
    out.extend(kind.to_be_bytes());
    // Of the Internet, for an hour.
    out.extend([0, 1, 0, 0, 14, 16]);
    out.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
    out.extend_from_slice(data);
}

/// The answer of a peer (libp2p mDNS specification).
fn answer(number: usize, peer: PeerId, port: u16) -> Vec<u8> {
    let own = format!("fake{number:028}");
    let (mut target, mut text) = (Vec::new(), Vec::new());
    name(&mut target, &own);
    let addr = format!("dnsaddr=/ip4/10.77.0.2/tcp/{port}/p2p/{peer}");
    text.push(u8::try_from(addr.len()).expect("short"));
    text.extend_from_slice(addr.as_bytes());
    let mut out = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    record(&mut out, "_p2p._udp.local", 12, &target);
    record(&mut out, &own, 16, &text);
    out
}

/// Counts who dials, and lets them go.
fn count_dials(listener: &TcpListener, dials: &Arc<AtomicUsize>, over: &Arc<AtomicBool>) {
    listener.set_nonblocking(true).expect("set");
    while !over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok(_) => {
                dials.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Sends so many answers, as many each second; how long that took.
fn flood(count: usize, per_second: usize, port: u16) -> Duration {
    let socket = UdpSocket::bind("10.77.0.2:0").expect("a socket");
    let began = Instant::now();
    for number in 0..count {
        socket.send_to(&answer(number, PeerId::random(), port), GROUP).expect("sent");
        if number % 50 == 49 {
            let due = began + Duration::from_secs_f64((number + 1) as f64 / per_second as f64);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    began.elapsed()
}

fn is_survived(count: usize) {
    if !may_make_namespaces() {
        return;
    }
    let (a, b) = Namespace::joined();
    let routed = b.command("ip").args(["route", "add", "224.0.0.0/4", "dev", "lan"]).status().expect("ip");
    assert!(routed.success(), "no route for multicast");
    let (here, there) = (Home::new(), Home::new());
    let node = Node::start(here.command_in(&a, ["--no-local", "up", "garden", "--name", "fern"])).ready();
    let before = node.rss_kib();
    let (dials, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let took = b.spawn({
        let (dials, over) = (dials.clone(), over.clone());
        move || {
            let listener = TcpListener::bind("10.77.0.2:0").expect("a port");
            let port = listener.local_addr().expect("bound").port();
            let counting = thread::spawn(move || count_dials(&listener, &dials, &over));
            let took = flood(count, 833, port);
            (took, counting)
        }
    });
    let (took, counting) = took.join().expect("sent");
    let neighbour = Node::start(there.command_in(&b, ["--no-local", "up", "garden", "--name", "moss"])).ready();
    let found = here.command_in(&a, ["-P", "fern", "wait", "peer", "moss", "--timeout", "10s"]);
    p2pnode_tests::run(found).exits(0);
    over.store(true, Ordering::Relaxed);
    counting.join().expect("counted");
    let dials = dials.load(Ordering::Relaxed) as u64;
    println!("{count} answers in {took:?}: {dials} dials, {before:?} KiB before, {:?} after", node.rss_kib());
    assert!(dials > 0, "nobody believed a word");
    let allowed = (took.as_secs() + 11) * DIALS_PER_SECOND + BURST;
    assert!(dials <= allowed, "{dials} dials, {allowed} allowed");
    if let (Some(before), Some(after)) = (before, node.rss_kib()) {
        assert!(after < before + 20 * 1024, "{before} KiB before, {after} after");
    }
    drop(neighbour);
}

#[test]
fn thousands_of_invented_neighbours_hide_no_real_one() {
    is_survived(4_000);
}

#[test]
#[ignore = "takes a minute"]
fn so_do_fifty_thousand() {
    is_survived(50_000);
}
