use ed25519_dalek::SigningKey;
use libp2p_kad::store::RecordStore as _;
use libp2p_swarm::{Swarm, SwarmEvent};
use p2pnode_wire::ids::PeerKey;

use super::{
    super::{admission::HEARSAY, region},
    *,
};
use crate::upkeep::testing;

const LIMIT: Duration = Duration::from_secs(30);

fn config() -> Config {
    Config { mdns: false, ..Config::default() }
}

/// Nodes that all know the first, as after hello with a bootstrap node; self-lookups find the rest.
async fn network(count: usize) -> Vec<Swarm<Behaviour>> {
    let mut swarms = testing::listening(count, |key| Behaviour::new(&config(), key.public().to_peer_id())).await;
    let (first, addr) = (*swarms[0].local_peer_id(), testing::memory(&swarms[0]));
    for index in 1..count {
        let (peer, own) = (*swarms[index].local_peer_id(), testing::memory(&swarms[index]));
        assert!(swarms[index].behaviour_mut().add(first, addr.clone()));
        // A bucket has twenty places; half of all peers belong to one.
        let added = swarms[0].behaviour_mut().add(peer, own);
        assert!(added || index > kad::K_VALUE.get(), "{index}");
    }
    swarms
}

/// Signs as the node with this libp2p key would; the test's swarms keep theirs to themselves, so nodes put foreign
/// values through the store.
fn sealed(key: &SigningKey, name: &str, seq: u64, body: &'static [u8]) -> (String, Bytes) {
    let owner = PeerKey(key.verifying_key().to_bytes());
    let value = Value { v: 1, owner, name: name.into(), seq, at_ms: 0, body: Bytes::from_static(body) };
    (value::key(&owner, name), value.seal(key).into_raw())
}

fn table(node: &mut Behaviour) -> Vec<PeerId> {
    node.routing_table().into_iter().map(|there| there.peer).collect()
}

#[tokio::test]
async fn providers_are_found_with_their_addresses() {
    let mut swarms = network(8).await;
    assert!(swarms[1].behaviour_mut().provide("/p2pnode/swarm/garden"));
    let announced = testing::until(&mut swarms, LIMIT, |swarms, _| {
        let key = RecordKey::new(&"/p2pnode/swarm/garden");
        let stores = swarms.iter_mut().map(|swarm| swarm.behaviour_mut().net.kad.store_mut());
        (stores.filter(|store| !store.providers(&key).is_empty()).count() > 4).then_some(())
    });
    announced.await.expect("announced");
    let token = swarms[5].behaviour_mut().providers("/p2pnode/swarm/garden", usize::MAX);
    let (mut found, mut finished) = (Vec::new(), None);
    let looked = testing::until(&mut swarms, LIMIT, |_, event| {
        match event {
            Some((5, SwarmEvent::Behaviour(Output::Providers { token: of, providers, .. }))) if of == token => {
                found.extend(providers);
            }
            Some((5, SwarmEvent::Behaviour(Output::Finished { token: of, reached, .. }))) if of == token => {
                finished = Some(reached);
            }
            _ => {}
        }
        finished
    });
    assert_eq!(looked.await, Some(1));
    assert_eq!(found.len(), 1, "each once");
    assert_eq!(found[0].0, *swarms[1].local_peer_id());
    assert!(found[0].1.iter().any(|addr| addr.to_string().contains("memory")), "{found:?}");
}

#[tokio::test]
async fn a_value_goes_round_and_a_forged_one_does_not() {
    let mut swarms = network(8).await;
    let key = SigningKey::from_bytes(&[9; 32]);
    let (name, raw) = sealed(&key, "motto", 1, b"grow");
    let record = kad::Record::new(RecordKey::new(&name), raw.to_vec());
    // As a node that republishes for somebody else would: the receivers check.
    let put = swarms[1].behaviour_mut().net.kad.put_record(record, kad::Quorum::All);
    put.expect("stored here");
    let holders = |swarms: &mut [Swarm<Behaviour>], name: &str| {
        let key = RecordKey::new(&name);
        let stores = swarms.iter_mut().map(|swarm| swarm.behaviour_mut().net.kad.store_mut());
        stores.filter(|store| store.get(&key).is_some()).count()
    };
    let spread = testing::until(&mut swarms, LIMIT, |swarms, _| (holders(swarms, &name) > 4).then_some(()));
    spread.await.expect("spread");

    let mut forged = raw.to_vec();
    *forged.last_mut().expect("bytes") ^= 1;
    let bad = kad::Record::new(RecordKey::new(&name), forged);
    let targets: Vec<PeerId> = swarms.iter().skip(2).map(|swarm| *swarm.local_peer_id()).collect();
    swarms[0].behaviour_mut().net.kad.put_record_to(bad, targets.into_iter(), kad::Quorum::One);

    let token = swarms[6].behaviour_mut().get_value(&name);
    let value = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((6, SwarmEvent::Behaviour(Output::Value { token: of, value, .. }))) if of == token => Some(value),
        _ => None,
    });
    assert_eq!(value.await.expect("found").body, Bytes::from_static(b"grow"));
    let every: Vec<Vec<u8>> = swarms
        .iter_mut()
        .filter_map(|s| s.behaviour_mut().net.kad.store_mut().get(&RecordKey::new(&name)).map(|r| r.value.clone()))
        .collect();
    assert!(every.iter().all(|kept| *kept == raw), "nobody keeps the forged one");
}

#[tokio::test]
async fn a_node_alone_says_so_and_publishes_later() {
    let keypair = libp2p_identity::Keypair::generate_ed25519();
    let own = keypair.public().to_peer_id();
    let secret = keypair.try_into_ed25519().expect("ed25519").secret();
    let key = SigningKey::from_bytes(secret.as_ref().try_into().expect("32 bytes"));
    let mut node = Behaviour::new(&config(), own);
    let (name, raw) = sealed(&key, "motto", 1, b"grow");
    let token = node.put_value(raw).expect("ours");
    assert!(matches!(node.events.pop_front(), Some(Output::Finished { token: of, error: Some(_), .. }) if of == token));
    assert!(node.net.kad.store_mut().get(&RecordKey::new(&name)).is_some());
    let (_, old) = sealed(&key, "motto", 0, b"wilt");
    assert_eq!(node.put_value(old), Err(PutError::Old));
    let (_, foreign) = sealed(&SigningKey::from_bytes(&[9; 32]), "motto", 0, b"wilt");
    assert!(matches!(node.put_value(foreign), Err(PutError::Foreign(_))));
    assert!(node.announce.next(1, Instant::now()).is_some(), "announced when somebody comes");
}

#[tokio::test]
async fn a_peer_is_found_by_its_id() {
    let mut swarms = network(8).await;
    let (wanted, at) = (*swarms[3].local_peer_id(), testing::memory(&swarms[3]));
    let token = swarms[7].behaviour_mut().lookup(wanted);
    let found = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((7, SwarmEvent::Behaviour(Output::Peer { token: of, addrs, .. }))) if of == token => Some(addrs),
        _ => None,
    });
    let found = found.await.expect("found");
    let bare = |addr: &Multiaddr| addr.to_string().starts_with(&at.to_string());
    assert!(found.iter().any(bare), "{found:?} has {at}");
}

#[test]
fn lookups_are_bounded() {
    let mut node = Behaviour::new(&config(), PeerId::random());
    (0..1_000).for_each(|_| {
        node.providers("x", 1);
    });
    assert_eq!(node.queries.len(), MAX_QUERIES);
    assert_eq!(node.events.len(), 1_000 - MAX_QUERIES, "the rest is told at once");
}

/// The Swarm compares addresses before it appends the peer id, so that one with and one without it are two dials.
#[test]
fn addresses_come_without_the_peer_so_that_each_is_dialled_once() {
    let mut node = Behaviour::new(&config(), PeerId::random());
    let peer = PeerId::random();
    let addr: Multiaddr = "/ip4/10.0.0.7/tcp/4001".parse().expect("an address");
    assert!(node.add(peer, addr.clone().with_p2p(peer).expect("no other peer in it")));
    let dialled =
        node.handle_pending_outbound_connection(ConnectionId::new_unchecked(1), Some(peer), &[], Endpoint::Dialer);
    assert_eq!(dialled.expect("not denied"), [addr]);
}

/// Holders keep the twenty providers nearest to a key: whoever is farther finds that out and says nothing.
#[tokio::test]
async fn who_would_not_be_kept_does_not_announce() {
    let mut swarms = network(24).await;
    // All know all, as after a while.
    let known: Vec<_> = swarms.iter().map(|swarm| (*swarm.local_peer_id(), testing::memory(swarm))).collect();
    for swarm in &mut swarms {
        for (peer, addr) in &known {
            swarm.behaviour_mut().add(*peer, addr.clone());
        }
        swarm.behaviour_mut().count();
    }
    // To two that lie next to a key, by chance or not, nobody listens: one key in twelve has such a pair.
    let key = (0..100).map(|n| format!("/p2pnode/swarm/garden{n}")).find(|key| {
        let place = kad::KBucketKey::new(RecordKey::new(key));
        let distance = |swarm: &Swarm<Behaviour>| place.distance(&kad::KBucketKey::from(*swarm.local_peer_id()));
        swarms.sort_by_key(distance);
        let size = swarms[23].behaviour_mut().size();
        !region::is_crowded(swarms.iter().map(distance), size, region::PAIR)
    });
    let key = &*key.expect("a key without neighbours");
    for swarm in &mut swarms[..22] {
        assert!(swarm.behaviour_mut().provide_entrance(key));
    }
    let kept =
        |swarm: &mut Swarm<Behaviour>| swarm.behaviour_mut().net.kad.store_mut().providers(&RecordKey::new(&key));
    let full = |swarms: &mut [Swarm<Behaviour>], _: Option<_>| {
        swarms[..8].iter_mut().all(|holder| kept(holder).len() == 20).then_some(())
    };
    testing::until(&mut swarms, LIMIT, full).await.expect("the holders have twenty");

    let last = swarms.len() - 1;
    let far = *swarms[last].local_peer_id();
    assert!(swarms[last].behaviour_mut().provide_entrance(key));
    let looked = testing::until(&mut swarms, LIMIT, |swarms, _| {
        let behaviour = swarms[last].behaviour_mut();
        let asks =
            behaviour.queries.values().any(|query| matches!(query, Query::Crowded { .. } | Query::Announce { .. }));
        let now = Instant::now();
        let done = behaviour.announce.wake_at(24, now).is_some_and(|at| at > now);
        (done && !asks).then_some(())
    });
    looked.await.expect("looked");
    assert!(kept(&mut swarms[last]).iter().all(|record| record.provider != far), "not even here");
}

#[tokio::test]
async fn what_is_taken_back_while_holders_are_asked_is_not_announced() {
    const KEY: &str = "/p2pnode/swarm/garden";
    let mut swarms = network(24).await;
    let known: Vec<_> = swarms.iter().map(|swarm| (*swarm.local_peer_id(), testing::memory(swarm))).collect();
    let behaviour = swarms[3].behaviour_mut();
    for (peer, addr) in &known {
        behaviour.add(*peer, addr.clone());
    }
    behaviour.count();
    assert!(behaviour.provide_entrance(KEY));
    let own = behaviour.announce.next(behaviour.table, Instant::now()).expect("it is new");
    behaviour.start_announcing(own, Instant::now());
    let asks = |behaviour: &Behaviour| behaviour.queries.values().any(|query| matches!(query, Query::Crowded { .. }));
    assert!(asks(behaviour), "it asks first");
    behaviour.stop_providing(KEY);
    let ended = testing::until(&mut swarms, LIMIT, |swarms, _| (!asks(swarms[3].behaviour())).then_some(()));
    ended.await.expect("the question ends");
    let behaviour = swarms[3].behaviour_mut();
    assert!(!behaviour.queries.values().any(|query| matches!(query, Query::Announce { .. })));
    assert!(behaviour.net.kad.store_mut().providers(&RecordKey::new(&KEY)).is_empty());
}

/// A peer in that bucket of `own`; in 255 half of all are, in 254 a quarter.
fn at_distance(own: PeerId, bucket: u32) -> PeerId {
    let place = kad::KBucketKey::from(own);
    let is_there = |peer: &PeerId| place.distance(&kad::KBucketKey::from(*peer)).ilog2() == Some(bucket);
    std::iter::repeat_with(PeerId::random).find(is_there).expect("there are many")
}

fn far_from(own: PeerId) -> PeerId {
    at_distance(own, 255)
}

fn at(port: usize) -> Multiaddr {
    format!("/ip4/10.0.0.7/tcp/{port}").parse().expect("an address")
}

#[test]
fn what_is_heard_of_takes_half_a_bucket_and_makes_room() {
    let mut node = Behaviour::new(&config(), PeerId::random());
    let own = node.own;
    let mut heard: Vec<PeerId> = std::iter::repeat_with(|| far_from(own)).take(100).collect();
    let mut port = 0;
    heard.retain(|peer| {
        port += 1;
        node.hear_of(*peer, [at(port)])
    });
    assert_eq!(heard.len(), HEARSAY);
    let stats = node.stats();
    assert_eq!((stats.peers, stats.heard_of, stats.buckets, stats.server), (HEARSAY, HEARSAY, 1, true));
    assert!(!node.hear_of(heard[0], [at(1)]), "it is there");
    let met: Vec<PeerId> = std::iter::repeat_with(|| far_from(own)).take(kad::K_VALUE.get()).collect();
    for (port, peer) in met.iter().enumerate() {
        assert!(node.add(*peer, at(1_000 + port)), "the {port}th that has answered");
    }
    let there = table(&mut node);
    assert!(met.iter().all(|peer| there.contains(peer)) && there.len() == met.len(), "nobody that was only heard of");
    assert!(!met.iter().chain(&heard).any(|peer| node.hearsay.contains(peer)));
    assert!(!node.lacks(&far_from(node.own)), "it is full");
}

#[test]
fn who_was_heard_of_and_answers_stays_and_who_does_not_goes() {
    let mut node = Behaviour::new(&config(), PeerId::random());
    let (answers, silent) = (far_from(node.own), far_from(node.own));
    assert!(node.hear_of(answers, [at(1)]) && node.hear_of(silent, [at(2)]));
    assert!(node.add(answers, at(1)));
    let error = || DialError::Transport(Vec::new());
    for peer in [answers, silent] {
        let (error, connection_id) = (error(), ConnectionId::new_unchecked(1));
        node.on_swarm_event(FromSwarm::DialFailure(DialFailure { peer_id: Some(peer), error: &error, connection_id }));
    }
    assert_eq!(table(&mut node), [answers], "libp2p-kad keeps one that has answered before");
    assert!(!node.hear_of(silent, [at(2)]), "whoever tells of it again");
    node.heard_in_vain(&answers);
    assert_eq!(table(&mut node), [answers], "it was not only heard of");
}

#[test]
fn what_is_heard_of_does_not_surround_us_from_one_network() {
    let mut node = Behaviour::new(&config(), PeerId::random());
    let addr = |host: usize| format!("/ip4/1.2.3.{host}/tcp/1").parse::<Multiaddr>().expect("an address");
    let taken = (1..100).filter(|host| node.hear_of(PeerId::random(), [addr(*host)])).count();
    assert!(taken <= 3, "{taken} of one network");
}

/// A newcomer that is refused in the end must not cost another its place.
#[test]
fn who_is_not_let_in_drives_nobody_out() {
    let mut node = Behaviour::new(&config(), PeerId::random());
    let own = node.own;
    let public = |host: u32| format!("/ip4/1.2.3.{host}/tcp/1").parse::<Multiaddr>().expect("an address");
    for distance in [252, 253, 254] {
        assert!(node.add(at_distance(own, distance), public(distance)), "as many as one network may have");
    }
    for port in 1..kad::K_VALUE.get() {
        assert!(node.add(far_from(own), at(port)));
    }
    let heard = far_from(own);
    assert!(node.hear_of(heard, [at(99)]), "the last place");
    assert!(!node.add(far_from(own), public(1)));
    assert!(table(&mut node).contains(&heard) && node.checked.is_none());
    assert!(node.add(far_from(own), at(100)));
    assert!(!table(&mut node).contains(&heard), "but one that is let in does");
}

/// Whoever comes from one network may say what it likes of others.
#[test]
fn a_network_that_is_made_up_lets_nobody_in() {
    let mut node = Behaviour::new(&config(), PeerId::random());
    let addr = |net: usize| format!("/ip4/9.9.{net}.1/tcp/1").parse::<Multiaddr>().expect("an address");
    let real = |host: usize| format!("/ip4/1.2.3.{host}/tcp/1").parse::<Multiaddr>().expect("an address");
    let mut let_in = 0;
    for host in 1..100 {
        let peer = PeerId::random();
        node.remotes.insert(peer, real(host));
        let_in += usize::from(node.add(peer, addr(host)));
    }
    assert!(let_in <= 3, "{let_in} that are connected");
    let told = (1..100).filter(|host| node.hear_of(PeerId::random(), [addr(100 + host), real(100)])).count();
    assert_eq!((table(&mut node).len(), told), (let_in, 0), "one of its addresses is of a network that has enough");
    // Told of at an address elsewhere, it comes from there after all.
    let late = far_from(node.own);
    assert!(node.hear_of(late, [addr(200)]));
    node.remotes.insert(late, real(200));
    assert!(!node.add(late, addr(200)) && !table(&mut node).contains(&late));
}

#[test]
fn ids_around_a_key_do_not_fill_a_bucket() {
    let mut node = Behaviour::new(&config(), PeerId::random());
    let key = kad::KBucketKey::from(far_from(node.own));
    let mut tried: Vec<PeerId> = std::iter::repeat_with(PeerId::random).take(20_000).collect();
    tried.sort_by_key(|peer| key.distance(&kad::KBucketKey::from(*peer)));
    let addr = |net: usize| format!("/ip4/9.9.{net}.1/tcp/1").parse::<Multiaddr>().expect("an address");
    let let_in = tried[..40].iter().enumerate().filter(|(net, peer)| node.add(**peer, addr(*net))).count();
    assert_eq!(let_in, super::super::table::PER_PART);
}

/// Whoever lies around a key keeps nothing that is announced under it; others of the region do, and are asked.
#[tokio::test]
async fn a_surrounded_key_is_announced_in_its_region_and_found_there() {
    const KEY: &str = "/p2pnode/cap/review/0";
    let mut swarms = network(40).await;
    let known: Vec<_> = swarms.iter().map(|swarm| (*swarm.local_peer_id(), testing::memory(swarm))).collect();
    for swarm in &mut swarms {
        for (peer, addr) in &known {
            swarm.behaviour_mut().add(*peer, addr.clone());
        }
        swarm.behaviour_mut().count();
    }
    // As if four had just answered who are nearer than anybody can be by chance.
    let key = RecordKey::new(&KEY);
    let place = kad::KBucketKey::new(key.clone());
    let mut tried: Vec<PeerId> = std::iter::repeat_with(PeerId::random).take(20_000).collect();
    tried.sort_by_key(|peer| place.distance(&kad::KBucketKey::from(*peer)));
    let size = swarms[3].behaviour_mut().size();
    assert!((10.0..240.0).contains(&size), "{size}");
    assert!(!swarms[3].behaviour().is_surrounded(&key, 0.0, region::PAIR));
    for index in [3, 7] {
        tried[..4].iter().for_each(|peer| drop(swarms[index].behaviour_mut().remotes.insert(*peer, at(1))));
    }
    assert!(swarms[3].behaviour().is_surrounded(&key, size, region::CROWD));
    let purpose = super::super::scan::Purpose::Announce;
    assert!(swarms[3].behaviour_mut().scan(&key, purpose).is_none());
    let holds = |swarm: &mut Swarm<Behaviour>| !swarm.behaviour_mut().net.kad.store_mut().providers(&key).is_empty();
    let told = testing::until(&mut swarms, LIMIT, |swarms, _| {
        (swarms.iter_mut().filter_map(|swarm| holds(swarm).then_some(())).count() >= 8).then_some(())
    });
    told.await.expect("told");
    let token = QueryToken(99);
    // The liars have named as many as a lookup tells of.
    let seen: HashSet<PeerId> = tried[..256].iter().copied().collect();
    let purpose = super::super::scan::Purpose::Providers { token, seen, told: 0, stats: Stats::default() };
    assert!(swarms[7].behaviour_mut().scan(&key, purpose).is_none());
    let (mut found, announcer) = (Vec::new(), known[3].0);
    let asked = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((7, SwarmEvent::Behaviour(Output::Providers { providers, .. }))) => {
            found.extend(providers.into_iter().map(|(peer, _)| peer));
            None
        }
        Some((7, SwarmEvent::Behaviour(Output::Finished { token: of, reached, .. }))) if of == token => Some(reached),
        _ => None,
    });
    assert_eq!((asked.await, found), (Some(257), vec![announcer]));
    // Who wants no more hears the end at once.
    let token = QueryToken(100);
    let purpose =
        super::super::scan::Purpose::Providers { token, seen: HashSet::new(), told: 0, stats: Stats::default() };
    let node = swarms[7].behaviour_mut();
    assert!(node.scan(&key, purpose).is_none());
    node.finish(token);
    let ended = |event: &Output| matches!(event, Output::Finished { token: of, reached: 0, .. } if *of == token);
    assert!(node.events.iter().any(ended) && !node.finish_scan(token));
}
