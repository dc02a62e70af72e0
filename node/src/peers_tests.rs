use p2pnode_wire::ids::{PeerKey, SwarmId};

use super::*;

/// A table of so many members that were met and whose connections were closed as idle, one a second; the time now.
fn met(members: usize, began: Instant) -> (Peers, Instant) {
    let name: SwarmName = "garden".parse().expect("a name");
    let swarm = SwarmId::open(&name);
    let mut peers = Peers::new(10_000);
    peers.join(swarm, name);
    let mut now = began;
    for index in 0..members {
        let (peer, connection) = (PeerId::random(), ConnectionId::new_unchecked(index));
        now += Duration::from_secs(1);
        peers.connected(peer, connection, "/memory/1".parse().expect("an address"), now);
        peers.greeted(peer, &[swarm], None, "test/1", false, now);
        assert_eq!(peers.disconnected(&peer, connection, false, now), None, "idle, not lost");
    }
    (peers, now)
}

/// Members due within `span`, each found alive at once and let go again.
fn rechecks(peers: &mut Peers, mut now: Instant, span: Duration) -> Vec<PeerId> {
    let (end, mut all) = (now + span, Vec::new());
    while now < end {
        now += Duration::from_secs(1);
        for peer in peers.due(now, 16) {
            let connection = ConnectionId::new_unchecked(1_000_000 + all.len());
            peers.connected(peer, connection, "/memory/1".parse().expect("an address"), now);
            assert_eq!(peers.disconnected(&peer, connection, false, now), None);
            all.push(peer);
        }
    }
    all
}

/// A member that comes over a connection and greets: first its hello arrives, then its answer to ours, with the card.
fn comes(peers: &mut Peers, peer: PeerId, number: usize, card: &Card, now: Instant) -> Vec<Change> {
    let swarm = SwarmId::open(&"garden".parse().expect("a name"));
    peers.connected(peer, ConnectionId::new_unchecked(number), "/memory/1".parse().expect("an address"), now);
    let heard = peers.greeted(peer, &[swarm], None, "test/1", false, now);
    let answered = peers.greeted(peer, &[swarm], Some((card.clone(), Bytes::new())), "test/1", false, now);
    heard.into_iter().chain(answered).collect()
}

#[test]
fn who_comes_back_with_its_clock_put_right_is_heard() {
    let (mut peers, now) = met(0, Instant::now());
    let peer = PeerId::random();
    let key = p2pnode_behaviours::key_of(&peer).unwrap_or(PeerKey([1; 32]));
    let card = |seq, role: &str| Card { seq, role: role.into(), ..Card::new(key) };
    let swarm = SwarmId::open(&"garden".parse().expect("a name"));
    assert_eq!(comes(&mut peers, peer, 1, &card(500, "old"), now), [Change::Joined(peer)]);
    let late = peers.greeted(peer, &[swarm], Some((card(400, "older"), Bytes::new())), "test/1", false, now);
    assert_eq!(late, None, "of two answers under way the older came last");
    let role = |peers: &Peers| peers.get(&peer, now).map(|p| p.role);
    assert_eq!(role(&peers), Some("old".into()));

    let broken = peers.disconnected(&peer, ConnectionId::new_unchecked(1), true, now);
    assert_eq!(broken, Some(Change::Suspect(peer)));
    assert_eq!(comes(&mut peers, peer, 2, &card(300, "new"), now), [Change::Joined(peer)]);
    assert_eq!(role(&peers), Some("new".into()));

    assert_eq!(peers.disconnected(&peer, ConnectionId::new_unchecked(2), false, now), None, "idle");
    assert_eq!(comes(&mut peers, peer, 3, &card(200, "newer"), now), [Change::Updated(peer)]);
    assert_eq!(comes(&mut peers, peer, 4, &card(200, "newer"), now), [], "nothing new");
}

#[test]
fn a_few_members_are_each_looked_up_every_minute() {
    let (mut peers, now) = met(5, Instant::now());
    let all = rechecks(&mut peers, now, Duration::from_secs(300));
    assert!((20..=30).contains(&all.len()), "{} lookups of 5 members within 5 minutes", all.len());
}

#[test]
fn many_members_do_not_cost_a_dial_a_second() {
    let (mut peers, now) = met(200, Instant::now());
    // What was due at sixty seconds when few were known yet comes first.
    let soon = rechecks(&mut peers, now, Duration::from_secs(120));
    let later = rechecks(&mut peers, now + Duration::from_secs(120), Duration::from_secs(6_600));
    assert!(soon.len() <= 60, "{} lookups within two minutes", soon.len());
    assert!(later.len() <= 110 * FEW_RECHECKS + RECHECKS, "{} lookups within 110 minutes", later.len());
    let different: BTreeSet<_> = soon.iter().chain(&later).collect();
    assert_eq!(different.len(), 200, "each has its turn");
}
