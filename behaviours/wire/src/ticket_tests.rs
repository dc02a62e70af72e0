use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::*;

/// `garden`, and a peer at /ip4/192.0.2.7/tcp/4001.
const ONE: &str = "p2pn1qoqxmanenzqw2zngm5qxezdfn2sxazlfojzzdeweedveu3dd4kofecv66vihwezoyx4zkr3wv27l464siipou2iui3jczeoebacmaaaca4da7ij3zktne";
/// `garden`, to be looked for.
const NONE: &str = "p2pn1qkqxmanenzqw2zngm5qxezdfnzttlsqe";
/// /ip4/192.0.2.7/tcp/4001.
const ADDRESS: &[u8] = &[4, 192, 0, 2, 7, 6, 0x0f, 0xa1];

fn name(text: &str) -> SwarmName {
    text.parse().expect("a name")
}

fn peer(addresses: Vec<Bytes>) -> PeerAddresses {
    PeerAddresses { peer: PeerKey(SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes()), addresses }
}

fn one() -> Ticket {
    Ticket::open(name("garden"), vec![peer(vec![Bytes::from_static(ADDRESS)])]).expect("a ticket")
}

fn parse(text: &str) -> Result<Ticket, TicketError> {
    text.parse()
}

fn refused(text: &str) -> TicketError {
    parse(text).expect_err(text)
}

#[test]
fn the_text_is_as_it_was() {
    assert_eq!(one().to_string(), ONE);
    assert_eq!(ONE.len(), 122);
    let none = Ticket::open(name("garden"), Vec::new()).expect("a ticket");
    assert_eq!(none.to_string(), NONE);
    assert_eq!(parse(ONE), Ok(one()));
    assert_eq!(parse(NONE), Ok(none));
}

#[test]
fn it_is_read_as_mail_and_people_hand_it_on() {
    let wrapped = format!("  {}\r\n\t{}\u{ad}\n\u{a0}{}\u{200b}{}\n", &ONE[..3], &ONE[3..40], &ONE[40..80], &ONE[80..]);
    let shouted = ONE.to_uppercase();
    let mixed = format!("P2pN1{}{}", &shouted[5..50], &ONE[50..]);
    let (link, shouted_link) = (format!("p2pnode://join/{ONE}"), format!("P2PNODE://JOIN/{shouted}"));
    let wrapped_link = format!("\u{feff}p2pnode://jo\nin/{wrapped}");
    for text in [wrapped, shouted, mixed, link, shouted_link, wrapped_link] {
        assert_eq!(parse(&text), Ok(one()), "{text:?}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let link = format!("p2pnode://p2pnode://join/{ONE}");
    let padded = format!("{ONE}=");
    for text in ["", " ", "garden", "p2pn", "p2p", "p2pn0aaaa", "p2pnode", "p2pnode://join/", "/ip4/1.2.3.4", &link] {
        assert_eq!(refused(text), TicketError::NotATicket, "{text}");
    }
    for text in ["p2pn2", "P2PN9?", "p2pnode://join/p2pn2aaaa"] {
        assert_eq!(refused(text), TicketError::Newer, "{text}");
    }
    let spoilt = ONE.replace("qoq", "q0q");
    for (text, character, position) in
        [(&*spoilt, '0', 7), (" p2pn1\nab ä", 'ä', 11), (&*padded, '=', 123), ("p2pn12\u{202e}", '\u{202e}', 7)]
    {
        assert_eq!(refused(text), TicketError::Character { character, position }, "{text}");
        assert!(!refused(text).to_string().contains('\u{202e}'));
    }
    for length in [TEXT_MAX + 1, 100_000] {
        assert_eq!(refused(&format!("p2pn1{}", "a".repeat(length))), TicketError::TooLong);
    }
}

#[test]
fn a_lost_end_is_told_from_a_slip_of_the_pen() {
    for end in 5..ONE.len() {
        // With five characters less the contents are still there, and what is missing is of the checksum.
        let why = if end < ONE.len() - 5 { TicketError::CutOff } else { TicketError::Checksum };
        assert_eq!(refused(&ONE[..end]), why, "{end} characters");
    }
    // In the key of the peer.
    assert_eq!(refused(&ONE.replace("dd4k", "dd5k")), TicketError::Checksum);
    assert_eq!(refused(&format!("{ONE} {ONE}")), TicketError::Character { character: '1', position: 128 });
    assert_eq!(refused(&format!("{ONE} thanks")), TicketError::Checksum);
}

#[test]
fn no_single_slip_of_the_pen_is_another_ticket() {
    for at in 0..ONE.len() {
        for other in ('a'..='z').chain('0'..='9').filter(|c| !ONE[at..].starts_with(*c)) {
            let text = format!("{}{other}{}", &ONE[..at], &ONE[at + 1..]);
            assert!(parse(&text).is_err(), "{text}");
        }
    }
}

#[test]
fn contents_are_written_in_one_way() {
    let said = |parts: &[&[u8]]| parse(&written(&parts.concat()));
    let garden = b"\xa4name\xa6garden";
    assert_eq!(said(&[b"\x82\xa1v\x01", garden]), parse(NONE));
    for (parts, why) in [
        (&[b"\x82".as_slice(), garden, b"\xa1v\x01"][..], "another order"),
        (&[b"\x82\xa1v\xcc\x01", garden], "a number that is wider than need be"),
        (&[b"\xde\x00\x02\xa1v\x01", garden], "a map that is"),
        (&[b"\x83\xa1v\x01", garden, b"\xa6secret\xc0"], "an unknown field"),
        (&[b"\x83\xa1v\x01", garden, b"\xa5peers\x90"], "an empty list"),
        (&[b"\x82\xa1v\x01\xa4name\xa6Garden"], "a name that is not normalised"),
        (&[b"\x82\xa1v\x00", garden], "version 0"),
    ] {
        assert!(matches!(said(parts), Err(TicketError::Invalid(_))), "{why}: {:?}", said(parts));
    }
    for (parts, why) in [
        (&[b"\x82\xa1v\x01".as_slice(), garden, b"\x00"][..], "a byte follows"),
        (&[b"\x83\xa1v\x01", garden, garden], "a field twice"),
        (&[b"\x82\xa1v\x01\xa4name\xa2\xc3\xa4"], "no name"),
        (&[b"\x81\xa1v\x01"], "without name"),
        (&[b"\x81", garden], "without version"),
        (&[b"\x82\xa1v\xa11", garden], "a version that is no number"),
        (&[b"\x92\x01\xa6garden"], "an array"),
        (&[b"\xc0"], "nil"),
        (&[b"\xc1"], "no MessagePack"),
        (&[], "nothing"),
        (&[b"\x83\xa1v\x01", garden, b"\xa5peers\x91\x92\xc4\x01k\x90"], "a key that is too short"),
    ] {
        assert!(matches!(said(parts), Err(TicketError::Decode(_))), "{why}: {:?}", said(parts));
    }
    for parts in [&[b"\x82\xa1v\x02".as_slice(), garden][..], &[b"\x82\xa1k\xc4\x01x\xa1v\xcd\x01\x00"]] {
        assert_eq!(said(parts), Err(TicketError::Newer));
    }
}

#[test]
fn there_are_few_peers_with_few_and_short_addresses() {
    let made = |peers| Ticket::open(name("garden"), peers);
    let address = |length| Bytes::from(vec![b'x'; length]);
    let fits = vec![peer(vec![address(1), address(ADDRESS_MAX), address(2), address(3)]); PEERS_MAX];
    let fits = made(fits).expect("within the limits");
    assert_eq!(parse(&fits.to_string()), Ok(fits));
    assert!(made(vec![peer(Vec::new())]).is_ok());
    for peers in [
        vec![peer(Vec::new()); PEERS_MAX + 1],
        vec![peer(vec![address(1); ADDRESSES_MAX + 1])],
        vec![peer(vec![address(ADDRESS_MAX + 1)])],
        vec![peer(vec![Bytes::new()])],
    ] {
        assert!(matches!(made(peers.clone()), Err(TicketError::Invalid(_))));
        let given = Ticket { name: name("garden"), peers };
        assert!(matches!(parse(&given.to_string()), Err(TicketError::Invalid(_))), "{given:?}");
    }
    let peers = vec![peer(vec![address(ADDRESS_MAX); 2]); PEERS_MAX];
    assert_eq!(made(peers.clone()), Err(TicketError::TooLong));
    let given = Ticket { name: name("garden"), peers };
    assert_eq!(refused(&given.to_string()), TicketError::TooLong);
    assert_eq!(Ticket::decode(&given.encode()), Err(TicketError::TooLong));
}

#[test]
fn the_largest_ticket_is_read() {
    let sized = |last| {
        let full = peer(vec![Bytes::from(vec![1; ADDRESS_MAX]); 2]);
        let part = peer(vec![Bytes::from(vec![2; ADDRESS_MAX]), Bytes::from(vec![3; last])]);
        Ticket::open(name("garden"), vec![full.clone(), full, part])
    };
    let largest = (1..ADDRESS_MAX).rev().find_map(|last| sized(last).ok()).expect("one that fits");
    assert_eq!(largest.encode().len() + CHECKSUM, TICKET_MAX);
    assert_eq!(largest.to_string().len(), 5 + TEXT_MAX);
    assert_eq!(parse(&format!("p2pnode://join/{largest}")), Ok(largest));
}

#[test]
fn in_a_structure_it_is_a_string() {
    assert_eq!(msgpack::encode(&one()), msgpack::encode(ONE));
    assert_eq!(msgpack::decode(&msgpack::encode(ONE)), Ok(one()));
    assert!(msgpack::decode::<Ticket>(&msgpack::encode("garden")).is_err());
    assert_eq!(format!("{:?}", one()), "Ticket(garden, 1 peers)");
}

fn ticket() -> impl Strategy<Value = Ticket> {
    let address = prop::collection::vec(any::<u8>(), 1..60).prop_map(Bytes::from);
    let addresses = prop::collection::vec(address, 0..=ADDRESSES_MAX);
    let peer = (any::<[u8; 32]>(), addresses);
    let peer = peer.prop_map(|(peer, addresses)| PeerAddresses { peer: PeerKey(peer), addresses });
    let peers = prop::collection::vec(peer, 0..=PEERS_MAX);
    ("[a-z0-9._-]{1,64}", peers).prop_map(|(text, peers)| Ticket::open(name(&text), peers).expect("within the limits"))
}

/// Bytes like those of a ticket: some are one, most are nearly.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let near = (ticket(), changes).prop_map(|(ticket, changes)| {
        let mut bytes = ticket.encode();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        bytes
    });
    prop_oneof![near, prop::collection::vec(any::<u8>(), 0..60)]
}

proptest! {
    #[test]
    fn every_ticket_comes_back(ticket in ticket()) {
        let text = ticket.to_string();
        prop_assert!(text.strip_prefix("p2pn1").is_some_and(|body| body.chars().all(is_base32)));
        prop_assert_eq!(&text.to_lowercase(), &text);
        prop_assert_eq!(parse(&text), Ok(ticket.clone()));
        prop_assert_eq!(parse(&text.to_uppercase()), Ok(ticket));
    }

    #[test]
    fn what_is_inserted_by_mail_is_skipped(ticket in ticket(), at in any::<prop::sample::Index>(), what in "[ \r\n\t\u{ad}]{1,4}") {
        let mut text = ticket.to_string();
        text.insert_str(at.index(text.len() + 1), &what);
        prop_assert_eq!(parse(&text), Ok(ticket));
    }

    #[test]
    fn every_changed_missing_or_added_character_is_noticed(
        ticket in ticket(), at in any::<prop::sample::Index>(), to in "[a-z2-7]", other in any::<char>(),
    ) {
        let text = ticket.to_string();
        let at = at.index(text.len());
        let (before, rest) = text.split_at(at);
        let (here, behind) = rest.split_at(1);
        prop_assert!(parse(before).is_err(), "cut off");
        prop_assert!(parse(&format!("{before}{behind}")).is_err(), "left out");
        prop_assert!(parse(&format!("{before}{to}{rest}")).is_err(), "added");
        prop_assert!(to == here || parse(&format!("{before}{to}{behind}")).is_err(), "changed");
        let other = other.to_string();
        prop_assert!(other.eq_ignore_ascii_case(here) || parse(&format!("{before}{other}{behind}")).is_err(), "changed");
        if let Some(next) = behind.get(..1).filter(|next| *next != here) {
            prop_assert!(parse(&format!("{before}{next}{here}{}", &behind[1..])).is_err(), "swapped");
        }
    }

    #[test]
    fn whatever_is_read_is_written_the_same(payload in payload()) {
        let text = written(&payload);
        if let Ok(ticket) = parse(&text) {
            prop_assert_eq!(&ticket.to_string(), &text);
            prop_assert_eq!(ticket.encode(), payload);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), body in "[a-zA-Z2-7 \n]{0,200}") {
        let _ = parse(&text);
        let _ = parse(&format!("p2pn1{text}"));
        let _ = parse(&format!("p2pnode://join/{text}"));
        let unsealed = format!("p2pn1{body}");
        prop_assert!(parse(&unsealed).is_err());
    }
}
