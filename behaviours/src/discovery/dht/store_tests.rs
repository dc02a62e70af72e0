use std::time::Duration;

use ed25519_dalek::SigningKey;
use p2pnode_wire::ids::PeerKey;

use super::*;

fn value(key: &SigningKey, name: &str, seq: u64) -> Record {
    let owner = PeerKey(key.verifying_key().to_bytes());
    let value = Value { v: 1, owner, name: name.into(), seq, at_ms: 0, body: Bytes::from_static(b"x") };
    let mut record = Record::new(RecordKey::new(&value::key(&owner, name)), value.seal(key).into_raw().to_vec());
    record.expires = Some(Instant::now() + Duration::from_secs(3_600));
    record
}

fn signer(number: u16) -> SigningKey {
    let mut seed = [1; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

fn provider(key: &str, provider: PeerId, addr: &str) -> ProviderRecord {
    ProviderRecord {
        key: RecordKey::new(&key),
        provider,
        expires: Some(Instant::now() + Duration::from_secs(3_600)),
        addresses: vec![addr.parse().expect("an address")],
    }
}

#[test]
fn keeps_what_its_owner_signed_and_nothing_else() {
    let (mut store, now, key) = (Store::new(PeerId::random()), Instant::now(), signer(1));
    let good = value(&key, "motto", 5);
    assert_eq!(store.offer(good.clone(), now), Ok(()));
    let mut forged = value(&key, "motto", 6);
    *forged.value.last_mut().expect("bytes") ^= 1;
    assert!(matches!(store.offer(forged, now), Err(Refused::Invalid(_))));
    let mut elsewhere = value(&key, "motto", 6);
    elsewhere.key = RecordKey::new(&"/p2pnode/value/00");
    assert_eq!(store.offer(elsewhere, now), Err(Refused::Key));
    assert_eq!(store.offer(value(&key, "motto", 4), now), Err(Refused::Old));
    let mut same = value(&key, "motto", 5);
    assert_eq!(store.offer(same.clone(), now), Ok(()), "announced again");
    let large = [same.value.as_slice(), &[0; 5_000]].concat();
    same.value = large;
    assert!(matches!(store.offer(same, now), Err(Refused::Invalid(_))));
    assert_eq!(store.get(&good.key).expect("kept").value, good.value);
    assert_eq!(store.offer(value(&key, "motto", 6), now), Ok(()));
    assert_eq!(store.len().0, 1);
}

#[test]
fn an_owner_gets_eight_and_all_owners_so_many() {
    let (mut store, now) = (Store::new(PeerId::random()), Instant::now());
    let kept = (0..20).filter(|n| store.offer(value(&signer(0), &format!("n{n}"), 1), now).is_ok()).count();
    assert_eq!(kept, MAX_PER_OWNER);
    for owner in 1..200 {
        for n in 0..8 {
            let _ = store.offer(value(&signer(owner), &format!("n{n}"), 1), now);
        }
    }
    assert_eq!(store.len().0, MAX_VALUES);
    store.purge(now + Duration::from_secs(7_200));
    assert_eq!(store.len().0, 0);
}

#[test]
fn own_values_are_not_pushed_out() {
    let key = signer(1_000);
    let own = crate::peer_of(&PeerKey(key.verifying_key().to_bytes())).expect("a key");
    let (mut store, now) = (Store::new(own), Instant::now());
    for owner in 0..64 {
        (0..8).for_each(|n| drop(store.offer(value(&signer(owner), &format!("n{n}"), 1), now)));
    }
    assert_eq!(store.len().0, MAX_VALUES);
    for n in 0..20 {
        let mut mine = value(&key, &format!("mine{n}"), 1);
        mine.publisher = Some(own);
        assert_eq!(store.offer(mine, now), Ok(()));
    }
    assert_eq!(store.len().0, MAX_VALUES);
}

#[test]
fn the_nearest_twenty_provide() {
    let mut store = Store::new(PeerId::random());
    let key = RecordKey::new(&"key");
    let mut all: Vec<PeerId> = (0..100).map(|_| PeerId::random()).collect();
    for peer in &all {
        store.add_provider(provider("key", *peer, "/ip4/192.168.0.1/tcp/1")).expect("taken");
    }
    let target = KBucketKey::new(key.clone());
    all.sort_by_key(|peer| target.distance(&KBucketKey::from(*peer)));
    let mut kept: Vec<PeerId> = store.providers(&key).into_iter().map(|record| record.provider).collect();
    kept.sort_by_key(|peer| target.distance(&KBucketKey::from(*peer)));
    assert_eq!(kept, all[..MAX_PROVIDERS]);
    assert_eq!(store.per_provider.len(), MAX_PROVIDERS, "counts follow");
}

#[test]
fn ids_that_were_tried_do_not_drive_providers_out() {
    let mut store = Store::new(PeerId::random());
    let place = KBucketKey::new(RecordKey::new(&"key"));
    let mut tried: Vec<PeerId> = std::iter::repeat_with(PeerId::random).take(20_000).collect();
    tried.sort_by_key(|peer| place.distance(&KBucketKey::from(*peer)));
    // One that lies next to the key by chance counts as tried.
    let afar = |peer: &PeerId| place.distance(&KBucketKey::from(*peer)).ilog2() >= Some(252);
    let honest: Vec<PeerId> = std::iter::repeat_with(PeerId::random).filter(afar).take(10).collect();
    let addr = |net: usize| format!("/ip4/9.9.{net}.1/tcp/1");
    let mut add = |peers: &[PeerId], first| {
        for (net, peer) in peers.iter().enumerate() {
            store.add_provider(provider("key", *peer, &addr(first + net))).expect("room");
        }
    };
    add(&honest[..5], 0);
    add(&tried[..40], 10);
    add(&honest[5..], 5);
    let kept: Vec<PeerId> = store.providers(&RecordKey::new(&"key")).iter().map(|record| record.provider).collect();
    assert!(kept.len() <= MAX_PROVIDERS && honest.iter().all(|peer| kept.contains(peer)), "{}", kept.len());
    assert_eq!(store.per_provider.len(), kept.len(), "counts follow");
}

#[test]
fn one_network_provides_twice() {
    let mut store = Store::new(PeerId::random());
    let taken = (1..50)
        .filter(|n| {
            let addr = format!("/ip4/8.8.8.{n}/tcp/1");
            store.add_provider(provider("key", PeerId::random(), &addr)).is_ok()
        })
        .count();
    assert_eq!(taken, MAX_PER_NETWORK);
}

#[test]
fn keys_are_bounded_and_forgotten() {
    let own = PeerId::random();
    let mut store = Store::new(own);
    store.add_provider(ProviderRecord::new(RecordKey::new(&"mine"), own, Vec::new())).expect("our own");
    for n in 0..3_000 {
        let _ = store.add_provider(provider(&format!("k{n}"), PeerId::random(), "/memory/1"));
    }
    assert_eq!(store.len().1, MAX_KEYS);
    let greedy = PeerId::random();
    let mut other = Store::new(own);
    let taken =
        (0..500).filter(|n| other.add_provider(provider(&format!("k{n}"), greedy, "/memory/1")).is_ok()).count();
    assert_eq!(taken, MAX_PER_PROVIDER);
    store.purge(Instant::now() + Duration::from_secs(7_200));
    assert_eq!(store.len().1, 1, "our own stays");
    assert_eq!(store.provided().count(), 1);
    store.remove_provider(&RecordKey::new(&"mine"), &own);
    assert_eq!((store.len().1, store.per_provider.len()), (0, 0));
}
