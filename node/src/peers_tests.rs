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

/// What presence says of a member, with its name if it says so itself.
fn told(status: Status, name: Option<&str>) -> Told {
    let swarm = SwarmId::open(&"garden".parse().expect("a name"));
    Told { swarm, status, alive: name.map(|name| (name.to_owned(), 1)) }
}

#[test]
fn members_known_by_presence_alone_have_a_name_and_a_state() {
    let (mut peers, now) = met(0, Instant::now());
    let peer = PeerId::random();
    assert_eq!(peers.told(peer, told(Status::Suspect, None), now), None);
    assert!(peers.everybody(now).is_empty(), "nobody has said that it is there");
    assert_eq!(peers.told(peer, told(Status::Online, Some("calculator")), now), None, "it has shown no card");
    assert!(peers.snapshot(now).is_empty() && peers.get(&peer, now).is_none() && !peers.is_member(&peer));
    assert!(peers.swarms_of(&peer).is_empty(), "it has not greeted: it may do nothing here");
    let shown = peers.everybody(now);
    assert_eq!(
        shown.iter().map(|p| (p.name.as_str(), p.state, p.card_known)).collect::<Vec<_>>(),
        [("calculator", PeerState::Online, false)]
    );
    assert_eq!(shown[0].swarms, ["garden"]);
    let swarm = SwarmId::open(&"garden".parse().expect("a name"));
    assert_eq!(peers.told_as(&swarm, "calculator"), [peer]);
    assert!(peers.told_as(&swarm, "").is_empty());
    let _ = peers.told(peer, told(Status::Suspect, None), now);
    assert_eq!(peers.state_of(&peer), Some(PeerState::Suspect));
    let _ = peers.told(peer, told(Status::Offline, None), now);
    assert_eq!(peers.state_of(&peer), Some(PeerState::Offline));
    // Shown for a while, then forgotten.
    let _ = peers.due(now + Duration::from_secs(580), 1);
    assert!(peers.state_of(&peer).is_some());
    let _ = peers.due(now + Duration::from_secs(601), 1);
    assert_eq!(peers.state_of(&peer), None);
}

#[test]
fn whom_presence_takes_for_there_failed_dials_do_not_make_offline() {
    let (mut peers, now) = met(0, Instant::now());
    let peer = PeerId::random();
    let card = Card { name: "n".into(), ..Card::new(PeerKey([1; 32])) };
    comes(&mut peers, peer, 1, &card, now);
    let _ = peers.told(peer, told(Status::Online, Some("n")), now);
    // A connection counts more than words.
    assert_eq!(peers.told(peer, told(Status::Suspect, None), now), None);
    assert_eq!(peers.told(peer, told(Status::Offline, None), now), None);
    assert_eq!(peers.state_of(&peer), Some(PeerState::Online));
    let _ = peers.told(peer, told(Status::Online, Some("n")), now);
    assert_eq!(peers.disconnected(&peer, ConnectionId::new_unchecked(1), true, now), Some(Change::Suspect(peer)));
    for _ in 0..5 {
        assert_eq!(peers.dial_failed(&peer, now), None);
    }
    assert_eq!(peers.told(peer, told(Status::Offline, None), now), Some(Change::Offline(peer)));
    assert!(peers.due(now + Duration::from_secs(120), 8).is_empty(), "it is not dialled for ever");
    // It has contradicted, elsewhere.
    assert_eq!(peers.told(peer, told(Status::Online, Some("n")), now), Some(Change::Joined(peer)));
    let left = peers.told(peer, told(Status::Left, None), now);
    assert_eq!(left, Some(Change::Left(PeerRef { id: peer, name: "n".into() })));
}

#[test]
fn who_is_there_without_a_connection_was_seen_when_a_neighbour_agreed() {
    let (mut peers, now) = met(0, Instant::now());
    let peer = PeerId::random();
    let _ = peers.told(peer, told(Status::Online, Some("n")), now);
    let later = now + Duration::from_secs(1_000);
    let seen = |peers: &Peers| peers.everybody(later).first().map(|p| p.last_seen);
    assert_eq!(seen(&peers), Some(Duration::from_secs(1_000)));
    peers.agreed(told(Status::Online, None).swarm, later - Duration::from_secs(20));
    assert_eq!(seen(&peers), Some(Duration::from_secs(20)));
    assert!(peers.unheard(later).is_empty(), "nobody can dial it: it has shown no card");
}
