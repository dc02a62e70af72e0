use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

fn addr(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn book() -> Book {
    Book::new(PeerId::random(), AddressRules::new())
}

#[test]
fn what_worked_comes_first() {
    let (mut book, peer, now) = (book(), PeerId::random(), Instant::now());
    let [first, second, third] = ["/ip4/1.1.1.1/tcp/1", "/ip4/1.1.1.2/tcp/1", "/ip4/1.1.1.3/tcp/1"].map(addr);
    book.learn(peer, &first, Source::Kad, None);
    book.learn(peer, &second, Source::Identify, None);
    book.learn(peer, &third, Source::Mdns, None);
    assert_eq!(book.candidates(&peer, now), [third.clone(), second.clone(), first.clone()], "by source");
    book.worked(peer, &first, now);
    book.failed(&peer, &third);
    assert_eq!(book.candidates(&peer, now), [first, second, third], "what worked, then what did not fail");
}

#[test]
fn nobody_outside_names_addresses_inside() {
    let (mut book, peer) = (book(), PeerId::random());
    let outside = addr("/ip4/8.8.8.8/tcp/1");
    let inside = addr("/ip4/192.168.1.1/tcp/1");
    let here = addr("/ip4/127.0.0.1/tcp/50000");
    let loopback = addr("/ip4/127.0.0.1/tcp/9999");
    assert!(!book.learn(peer, &addr("/ip4/127.0.0.1/tcp/22"), Source::Identify, Some(&outside)));
    assert!(!book.learn(peer, &addr("/ip4/10.0.0.1/tcp/22"), Source::Identify, Some(&outside)));
    assert!(!book.learn(peer, &loopback, Source::Identify, Some(&inside)), "its own loopback is not ours");
    let relay = format!("p2p/{}/p2p-circuit", PeerId::random());
    let over = |at: &str| addr(&format!("/ip4/{at}/tcp/1/{relay}"));
    assert!(!book.learn(peer, &over("127.0.0.1"), Source::Card, Some(&outside)), "a relay inside");
    assert!(!book.learn(peer, &over("192.168.1.1"), Source::Card, Some(&outside)));
    assert!(book.learn(peer, &over("9.9.9.9"), Source::Card, Some(&outside)));
    assert!(book.learn(peer, &addr("/ip4/9.9.9.9/tcp/22"), Source::Identify, Some(&outside)));
    assert!(book.learn(peer, &loopback, Source::Identify, Some(&here)), "a node on this host");
    assert!(book.learn(peer, &addr("/ip4/127.0.0.1/tcp/1"), Source::User, None));
    assert!(!book.learn(peer, &addr("/ip4/127.0.0.1/tcp/2"), Source::Mdns, None));
}

#[test]
fn addresses_of_others_and_of_ourselves_are_not_kept() {
    let own = PeerId::random();
    let mut book = Book::new(own, AddressRules::new());
    let (peer, other) = (PeerId::random(), PeerId::random());
    assert!(!book.learn(own, &addr("/ip4/1.1.1.1/tcp/1"), Source::User, None));
    assert!(!book.learn(peer, &addr(&format!("/ip4/1.1.1.1/tcp/1/p2p/{other}")), Source::User, None));
    assert!(book.learn(peer, &addr(&format!("/ip4/1.1.1.1/tcp/1/p2p/{peer}")), Source::User, None));
    assert_eq!(book.addresses(&peer), [(addr("/ip4/1.1.1.1/tcp/1"), Source::User)]);
}

#[test]
fn dead_addresses_go_but_not_the_users() {
    let (mut book, peer) = (book(), PeerId::random());
    let (user, told) = (addr("/ip4/1.1.1.1/tcp/1"), addr("/ip4/1.1.1.2/tcp/1"));
    book.learn(peer, &user, Source::User, None);
    book.learn(peer, &told, Source::Identify, None);
    for _ in 0..20 {
        book.failed(&peer, &user);
        book.failed(&peer, &told);
    }
    assert_eq!(book.addresses(&peer), [(user, Source::User)]);
}

/// Whatever is told, the book stays small and never hands out what the rules refuse.
#[test]
fn stays_bounded() {
    let seed = rand::rng().random::<u64>();
    println!("seed {seed}");
    let (mut rng, mut book, now) = (StdRng::seed_from_u64(seed), book(), Instant::now());
    let pinned = PeerId::random();
    book.learn(pinned, &addr("/ip4/1.1.1.1/tcp/1"), Source::User, None);
    let peers: Vec<PeerId> = (0..2_000).map(|_| PeerId::random()).collect();
    for step in 0..30_000_u64 {
        let peer = peers[rng.random_range(0..peers.len())];
        let ip = std::net::Ipv4Addr::from(rng.random::<u32>());
        let address = addr(&format!("/ip4/{ip}/tcp/{}", rng.random_range(1..4)));
        match rng.random_range(0..4) {
            0 => book.failed(&peer, &address),
            1 => book.worked(peer, &address, now + Duration::from_secs(step)),
            _ => {
                book.learn(peer, &address, Source::Kad, None);
            }
        }
        let known = book.addresses(&peer);
        assert!(known.len() <= MAX_PER_PEER);
        assert!(known.iter().all(|(addr, _)| book.rules.allows(addr).is_ok()));
        assert!(book.candidates(&peer, now).len() <= MAX_PER_DIAL);
    }
    assert_eq!(book.peers.len(), MAX_PEERS);
    assert!(!book.addresses(&pinned).is_empty(), "what the user gave is not flooded away");
}
