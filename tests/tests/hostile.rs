//! A live node whose port is attacked by somebody who speaks no libp2p: it goes on serving and does not fill the memory.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use p2pnode_tests::{RECOVERY, SOON, Victim, until};
use rand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    runtime::Runtime,
};

fn dial(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_write_timeout(Some(RECOVERY))?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(stream)
}

/// Connects, sends, and reads a little of what comes back. That the node hangs up early is its right.
fn send(victim: &Victim, bytes: &[u8]) {
    let Ok(mut stream) = dial(victim.port) else { return };
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 1024]);
}

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

#[test]
fn random_bytes_and_cut_handshakes_do_no_harm() {
    let mut victim = Victim::start();
    for len in (0..100).map(|n| n * 97) {
        send(&victim, &random(len));
    }
    victim.is_well("random bytes");

    let hello = b"\x13/multistream/1.0.0\n";
    let noise = b"\x07/noise\n";
    let whole = [hello.as_slice(), noise].concat();
    for end in 0..whole.len() {
        send(&victim, &whole[..end]);
    }
    let long = [0xff; 16];
    let followers: [&[u8]; 5] = [&long, b"\xff\xff\x03", b"\x00", b"\x03ls\n", &[0x7f; 70_000]];
    for follower in followers {
        send(&victim, &[hello.as_slice(), follower].concat());
        send(&victim, &[whole.as_slice(), follower].concat());
    }
    for _ in 0..20 {
        // After the names comes what should be a Noise handshake.
        send(&victim, &[whole.clone(), vec![0, 200], random(200)].concat());
    }
    victim.is_well("cut and bent handshakes");
}

#[test]
fn a_thousand_half_open_connections_do_no_harm() {
    let mut victim = Victim::start();
    let mut held = Vec::new();
    // As many as this process may hold; the rest is replaced as the node hangs up.
    for _ in 0..1_000 {
        let stream = dial(victim.port).and_then(|mut stream| stream.write_all(&[0x13]).map(|()| stream));
        match stream {
            Ok(stream) => held.push(stream),
            Err(error) => {
                println!("{} are open: {error}", held.len());
                held.truncate(held.len() / 2);
            }
        }
    }
    held.truncate(900);
    println!("{} are held open", held.len());
    victim.is_well("1,000 half-open connections, still held");
    drop(held);
    victim.is_well("1,000 half-open connections");
}

/// An attacker at this address opens a new connection for each that the node closes, while a member calls.
fn is_well_under_flood(from: Ipv4Addr, what: &str) {
    let mut victim = Victim::start();
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, victim.port));
    let runtime = Runtime::new().expect("a runtime");
    let opened = Arc::new(AtomicUsize::new(0));
    for _ in 0..100 {
        let opened = opened.clone();
        runtime.spawn(async move {
            loop {
                let socket = TcpSocket::new_v4().expect("a socket");
                socket.bind((from, 0).into()).expect("an address of this host");
                let Ok(mut stream) = socket.connect(target).await else { continue };
                opened.fetch_add(1, Ordering::Relaxed);
                // One byte of a greeting, then nothing until the node hangs up.
                let _ = stream.write_all(&[0x13]).await;
                while stream.read(&mut [0; 64]).await.is_ok_and(|len| len > 0) {}
                // The attacker's pace, not a wait.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    assert!(until(SOON, || (opened.load(Ordering::Relaxed) >= 300).then_some(())).is_some(), "the flood has begun");
    victim.is_well(what);
    println!("{} were opened meanwhile", opened.load(Ordering::Relaxed));
}

#[test]
fn members_are_served_while_a_stranger_elsewhere_holds_what_it_can() {
    is_well_under_flood(Ipv4Addr::new(127, 0, 0, 2), "a steady flood of half-open connections from another address");
}

#[test]
fn members_are_served_while_a_stranger_at_their_address_holds_what_it_can() {
    is_well_under_flood(Ipv4Addr::LOCALHOST, "a steady flood of half-open connections from the same address");
}

#[test]
fn ten_thousand_quick_dials_do_no_harm() {
    let mut victim = Victim::start();
    let start = Instant::now();
    let dialled = (0..10_000).filter(|_| dial(victim.port).is_ok()).count();
    println!("{dialled} dials in {:?}", start.elapsed());
    assert!(dialled > 5_000, "the attack is one");
    victim.is_well("10,000 quick dials");
}
