use proptest::prelude::*;

use super::*;

const GARDEN: SwarmId = SwarmId([3; 32]);

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn peer(number: u8) -> PeerKey {
    PeerKey(key(number).verifying_key().to_bytes())
}

fn word(says: Says) -> Word {
    Word { swarm: GARDEN, subject: peer(1), incarnation: u64::MAX, says }
}

fn all() -> [Word; 3] {
    let alive = Says::Alive { name: "calculator".into(), card: u64::MAX };
    [word(alive), word(Says::Left), word(Says::Suspect { witness: peer(2) })]
}

fn frames() -> Vec<Frame> {
    let members = vec![Listed { peer: peer(1), incarnation: 7, card: u64::MAX }];
    let words = all().iter().map(|word| word.seal(&key(1)).into_raw()).collect();
    let mut buckets = Box::new([0; BUCKETS]);
    buckets[5] = u32::MAX;
    vec![
        Frame::Words(words),
        Frame::Digest { swarm: GARDEN, buckets },
        Frame::Same { swarm: GARDEN },
        Frame::List { swarm: GARDEN, covered: u64::MAX, members, more: true },
        Frame::Want { swarm: GARDEN, peers: vec![peer(1), peer(2)] },
    ]
}

#[test]
fn words_come_back_and_are_small() {
    for word in all() {
        let signer = if *word.signer() == peer(2) { key(2) } else { key(1) };
        let signed = word.seal(&signer);
        assert!(signed.raw().len() <= 240, "{} bytes", signed.raw().len());
        assert_eq!(Word::read(&signed).as_ref(), Ok(&word));
        assert!(word.verify(&signed));
        assert!(!word.verify(&word.seal(&key(9))), "signed by somebody else");
    }
}

#[test]
fn words_that_make_no_sense_are_refused() {
    let long = Says::Alive { name: "n".repeat(NAME_MAX + 1), card: 1 };
    for says in [long, Says::Suspect { witness: peer(1) }] {
        assert!(Word::read(&word(says).seal(&key(1))).is_err(), "a long name, or somebody who suspects itself");
    }
    let mixed = Payload {
        v: 1,
        kind: Kind::Left,
        swarm: GARDEN,
        peer: peer(1),
        incarnation: 1,
        name: Some("n".into()),
        card: None,
        witness: None,
    };
    let sealed = Signed::seal(Domain::Presence, &key(1), &msgpack::encode(&mixed));
    assert!(Word::read(&sealed).is_err());
    let other = Signed::seal(Domain::Card, &key(1), &all()[1].seal(&key(1)).payload());
    assert!(!all()[1].verify(&other), "a signature of another kind is none");
}

#[test]
fn frames_come_back() {
    for frame in frames() {
        assert_eq!(Frame::decode(&frame.encode()).as_ref(), Ok(&frame));
    }
}

#[test]
fn the_largest_frames_are_within_the_bounds() {
    let listed = |n: usize| Listed { peer: PeerKey([n as u8; 32]), incarnation: u64::MAX, card: u64::MAX };
    let members: Vec<Listed> = (0..LISTED_MAX).map(listed).collect();
    let list = Frame::List { swarm: GARDEN, covered: u64::MAX, members: members.clone(), more: true };
    let words = Frame::Words(vec![Bytes::from(vec![7; WORD_MAX]); WORDS_MAX]);
    for frame in [&list, &words] {
        assert!(frame.encode().len() <= FRAME_MAX);
        assert_eq!(Frame::decode(&frame.encode()).as_ref(), Ok(frame));
    }
    let more = [members, vec![listed(1)]].concat();
    let over = Frame::List { swarm: GARDEN, covered: u64::MAX, members: more, more: false };
    let words = Frame::Words(vec![Bytes::from_static(b"w"); WORDS_MAX + 1]);
    let long = Frame::Words(vec![Bytes::from(vec![7; WORD_MAX + 1])]);
    for frame in [over, words, long] {
        assert!(Frame::decode(&frame.encode()).is_err());
    }
}

#[test]
fn lists_hold_only_what_they_say_they_cover() {
    let members = vec![Listed { peer: PeerKey([5; 32]), incarnation: 1, card: 1 }];
    let list = |covered| Frame::List { swarm: GARDEN, covered, members: members.clone(), more: false };
    assert!(Frame::decode(&list(1 << 5).encode()).is_ok());
    assert!(Frame::decode(&list(1 << 6).encode()).is_err());
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Frame::decode(&bytes);
        if let Ok(signed) = Signed::parse(Bytes::from(bytes)) {
            let _ = Word::read(&signed);
        }
    }

    #[test]
    fn a_changed_byte_is_noticed(which in 0..3_usize, at in 0..190_usize, bit in 0..8_u8) {
        let word = &all()[which];
        let signer = if which == 2 { key(2) } else { key(1) };
        let mut raw = word.seal(&signer).raw().to_vec();
        let at = at % raw.len();
        raw[at] ^= 1 << bit;
        let signed = Signed::parse(Bytes::from(raw)).expect("long enough");
        let held = Word::read(&signed).is_ok_and(|read| read.verify(&signed));
        prop_assert!(!held);
    }

    #[test]
    fn a_changed_frame_never_panics(which in 0..5_usize, at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = frames()[which].encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Frame::decode(&bytes);
    }
}
