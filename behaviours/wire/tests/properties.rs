//! What must hold for any bytes and any message.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ed25519_dalek::SigningKey;
use p2pnode_wire::{
    card::{Capability, Card, EndpointInfo},
    error::{ErrorCode, RpcError},
    escape::{escape, escape_line},
    event::Event,
    frame,
    hello::{Hello, HelloReply, Shared},
    ids::{ConversationId, EventId, MailId, PeerKey, SwarmId, SwarmName},
    limits,
    mail::{Mail, MailAck, MailReply, Part},
    msgpack::{self, Bounds, DecodeError},
    rpc::{Message, Req, RequestBody},
    sign::{Domain, Signed},
    value::Value,
};
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn error() -> impl Strategy<Value = RpcError> {
    let code = prop::sample::select(ErrorCode::ALL);
    (code, ".{0,60}", any::<bool>(), prop::option::of(0u64..1 << 40), prop::option::of(bytes())).prop_map(
        |(code, message, retryable, after, details)| {
            let mut error = RpcError::new(code, message);
            (error.retryable, error.details) = (retryable, details);
            error.retry_after = after.map(Duration::from_millis);
            error
        },
    )
}

fn req() -> impl Strategy<Value = Req> {
    let ids = (any::<u64>(), prop::option::of(any::<[u8; 32]>()), "[a-z._]{0,30}", any::<u32>(), any::<bool>());
    let rest =
        (bytes(), bytes(), prop::option::of(any::<[u8; 16]>()), prop::option::of("[0-9a-f-]{0,55}"), any::<u8>());
    (ids, rest, any::<bool>(), prop::option::of(any::<u32>())).prop_map(
        |((id, swarm, endpoint, left_ms, more), (args, kwargs, idem, trace, hop), meta, window)| Req {
            id,
            swarm: swarm.map(SwarmId),
            endpoint,
            args,
            kwargs,
            left_ms,
            more,
            window,
            idem,
            trace,
            hop,
            meta: meta.then(|| Bytes::from_static(b"\x81\xa1k\x01")),
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        req().prop_map(Message::Req),
        (any::<u64>(), bytes(), any::<bool>(), any::<bool>()).prop_map(|(id, result, more, stream)| Message::Res {
            id,
            result,
            more,
            stream
        }),
        (any::<u64>(), error()).prop_map(|(id, error)| Message::Err { id, error }),
        (any::<u64>(), any::<u32>(), bytes(), any::<bool>()).prop_map(|(id, n, body, more)| Message::Item {
            id,
            n,
            body,
            more
        }),
        any::<u64>().prop_map(|id| Message::End { id }),
        any::<u64>().prop_map(|id| Message::Cancel { id }),
        (any::<u64>(), any::<u32>()).prop_map(|(id, n)| Message::Credit { id, n }),
    ]
}

fn framed(message: &Message) -> BytesMut {
    let mut out = BytesMut::new();
    message.encode_into(&mut out);
    out
}

fn unframed(mut bytes: BytesMut) -> Bytes {
    frame::Decoder::new(frame::MAX).next(&mut bytes).expect("within the limit").expect("whole")
}

proptest! {
    #[test]
    fn every_message_comes_back(message in message()) {
        prop_assert_eq!(Message::decode(&unframed(framed(&message))), Ok(message));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        let _ = Message::decode(&bytes);
        let _ = RequestBody::decode(&bytes);
        let _ = Hello::decode(&bytes);
        let _ = HelloReply::decode(&bytes);
        let _ = MailReply::decode(&bytes);
        let _ = Card::open(bytes.clone(), 0);
        let _ = Mail::open(bytes.clone());
        let _ = Event::open(bytes.clone());
        let _ = Value::open(bytes.clone());
        let _ = frame::Decoder::new(frame::MAX).next(&mut BytesMut::from(bytes.as_ref()));
    }

    #[test]
    fn a_changed_byte_is_another_message_or_none(message in message(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = unframed(framed(&message)).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(other) = Message::decode(&Bytes::from(bytes)) {
            // What was accepted can be said again.
            prop_assert_eq!(Message::decode(&unframed(framed(&other))), Ok(other));
        }
    }

    #[test]
    fn frames_may_be_split_anywhere(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..6)) {
        let mut all = BytesMut::new();
        for body in &bodies {
            frame::encode(body, &mut all, frame::MAX).expect("within the limit");
        }
        let decoder = frame::Decoder::new(frame::MAX);
        let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
        for byte in all {
            buffer.extend_from_slice(&[byte]);
            while let Some(frame) = decoder.next(&mut buffer).expect("within the limit") {
                found.push(frame.to_vec());
            }
        }
        prop_assert_eq!(found, bodies);
    }

    #[test]
    fn the_scan_accepts_what_rmpv_writes_and_nothing_shorter(value in value(), cut in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &value).expect("a vector grows");
        prop_assert_eq!(msgpack::scan(&bytes, Bounds::default()), Ok(()));
        let cut = cut.index(bytes.len());
        prop_assert!(msgpack::scan(&bytes[..cut], Bounds::default()).is_err());
        bytes.push(0);
        prop_assert_eq!(msgpack::scan(&bytes, Bounds::default()), Err(DecodeError::Trailing(1)));
    }

    #[test]
    fn escaped_text_cannot_move_a_cursor(text in any::<String>()) {
        let plain = |c: char| !c.is_control() || c == '\t' || c == '\n';
        prop_assert!(escape(&text).chars().all(plain));
        prop_assert!(!escape_line(&text).chars().any(char::is_control));
    }
}

fn value() -> impl Strategy<Value = rmpv::Value> {
    let leaf = prop_oneof![
        Just(rmpv::Value::Nil),
        any::<i64>().prop_map(rmpv::Value::from),
        any::<u64>().prop_map(rmpv::Value::from),
        any::<f64>().prop_map(rmpv::Value::from),
        ".{0,40}".prop_map(rmpv::Value::from),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(rmpv::Value::Binary),
        (any::<i8>(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(kind, data)| rmpv::Value::Ext(kind, data)),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(rmpv::Value::Array),
            prop::collection::vec((inner.clone(), inner), 0..6).prop_map(rmpv::Value::Map),
        ]
    })
}

#[test]
fn bombs_are_refused_at_once() {
    let deep = vec![0x91; 200_000];
    let cases: [(&[u8], DecodeError); 7] = [
        (&deep, DecodeError::TooDeep(limits::MAX_DEPTH)),
        (b"\xdd\xff\xff\xff\xff", DecodeError::TooMany(limits::MAX_COLLECTION)),
        (b"\xdf\xff\xff\xff\xff", DecodeError::TooMany(limits::MAX_COLLECTION)),
        (b"\xc6\xff\xff\xff\xff", DecodeError::Truncated),
        (b"\xdb\xff\xff\xff\xff", DecodeError::Truncated),
        (b"\xc9\xff\xff\xff\xff", DecodeError::Truncated),
        (b"\xc1", DecodeError::Invalid),
    ];
    for (bytes, error) in cases {
        assert_eq!(msgpack::scan(bytes, Bounds::default()), Err(error));
    }
    // Many small collections, each within its limit.
    let mut many = vec![0xdc, 0x10, 0x00];
    for _ in 0..4_096 {
        many.extend([0x95, 1, 2, 3, 4, 5]);
    }
    assert_eq!(msgpack::scan(&many, Bounds::default()), Err(DecodeError::TooMany(limits::MAX_VALUES)));
    let mut claimed = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
    assert!(frame::Decoder::new(frame::MAX).next(&mut claimed).is_err(), "before anything is buffered");
}

#[test]
fn decoding_needs_little_stack() {
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    let nested = [vec![0x91; 31], vec![0x01]].concat();
    let run = small.spawn(move || {
        let _: rmpv::Value = msgpack::decode(&nested).expect("as deep as is allowed");
        assert!(msgpack::decode::<rmpv::Value>(&vec![0x91; 100_000]).is_err());
    });
    run.expect("a thread").join().expect("no overflow");
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn own(key: &SigningKey) -> PeerKey {
    PeerKey(key.verifying_key().to_bytes())
}

fn card(now: u64) -> Card {
    Card {
        name: "fern".into(),
        not_after: now + 1_000,
        capabilities: vec![Capability::new("math")],
        endpoints: vec![EndpointInfo { name: "sum".into(), ..EndpointInfo::default() }],
        addresses: vec!["/ip4/10.0.0.1/tcp/1".into()],
        ..Card::new(own(&key()))
    }
}

fn mail() -> Mail {
    let id: MailId = "019e4ab0-1d0d-709a-8000-000000000001".parse().expect("an id");
    Mail {
        v: 1,
        id,
        swarm: None,
        from: own(&key()),
        to: PeerKey([9; 32]),
        kind: "ask".into(),
        conversation: ConversationId(id.0),
        in_reply_to: None,
        priority: None,
        via: Vec::new(),
        sent_ms: 1,
        not_after_ms: 2,
        trace: None,
        meta: None,
        parts: vec![
            Part::Text("hi".into()),
            Part::Data(Bytes::from_static(b"\x01")),
            Part::File { name: "a".into(), mime: "text/plain".into(), bytes: Bytes::from_static(b"x") },
        ],
    }
}

fn event() -> Event {
    Event {
        v: 1,
        swarm: SwarmId([1; 32]),
        author: own(&key()),
        epoch: 1,
        seq: 0,
        prev: Some(EventId([2; 32])),
        at_ms: 3,
        conversation: ConversationId(mail().id.0),
        kind: "leave".into(),
        parent: None,
        seen: vec![EventId([3; 32])],
        mheads: Vec::new(),
        team: None,
        trace: None,
        meta: None,
        body: Bytes::new(),
    }
}

fn dht_value() -> Value {
    Value { v: 1, owner: own(&key()), name: "greeting".into(), seq: 1, at_ms: 2, body: Bytes::from_static(b"hello") }
}

#[test]
fn signed_things_come_back() {
    let now = 1_000_000;
    assert_eq!(Card::open(card(now).seal(&key()).into_raw(), now).expect("valid").0, card(now));
    assert_eq!(Mail::open(mail().seal(&key()).into_raw()).expect("valid").0, mail());
    assert_eq!(Event::open(event().seal(&key()).into_raw()).expect("valid").0, event());
    assert_eq!(Value::open(dht_value().seal(&key()).into_raw()).expect("valid").0, dht_value());
}

#[test]
fn cards_expire_and_may_not_promise_too_much() {
    let now = 100 * 3_600_000;
    let raw = card(now).seal(&key()).into_raw();
    assert!(Card::open(raw.clone(), now + 1_000 + 120_000).is_ok(), "clocks may differ by two minutes");
    assert!(Card::open(raw.clone(), now + 1_001 + 120_000).is_err());
    assert!(Card::open(raw, now - 25 * 3_600_000).is_err(), "more than a day ahead");
}

#[test]
fn every_change_of_signed_bytes_is_refused() {
    let now = 1_000_000;
    type Opens = fn(Bytes) -> bool;
    let opens: [(&str, Bytes, Opens); 4] = [
        ("card", card(now).seal(&key()).into_raw(), |raw| Card::open(raw, 1_000_000).is_ok()),
        ("mail", mail().seal(&key()).into_raw(), |raw| Mail::open(raw).is_ok()),
        ("event", event().seal(&key()).into_raw(), |raw| Event::open(raw).is_ok()),
        ("value", dht_value().seal(&key()).into_raw(), |raw| Value::open(raw).is_ok()),
    ];
    for (what, raw, opens) in opens {
        assert!(opens(raw.clone()), "{what}");
        for at in 0..raw.len() {
            let mut changed = raw.to_vec();
            changed[at] ^= 1;
            assert!(!opens(Bytes::from(changed)), "{what}: byte {at} changed");
        }
        for other in [[&raw[..], b"\x00"].concat(), raw[..raw.len() - 1].to_vec(), raw[64..].to_vec(), wider(&raw)] {
            assert!(!opens(Bytes::from(other)), "{what}: longer, shorter, unsigned or respelled");
        }
    }
}

/// The same meaning in other bytes: the first map's small length written wide.
fn wider(raw: &[u8]) -> Vec<u8> {
    let count = raw[64] & 0x0f;
    let head = if raw[64] & 0xf0 == 0x80 { vec![0xde, 0, count] } else { vec![0xdf, 0, 0, raw[65], raw[66]] };
    let rest = if raw[64] & 0xf0 == 0x80 { &raw[65..] } else { &raw[67..] };
    [&raw[..64], &head, rest].concat()
}

#[test]
fn a_signature_of_one_kind_is_none_of_another() {
    let signed = Signed::seal(Domain::Mail, &key(), b"payload");
    assert!(signed.verify(Domain::Mail, &own(&key())).is_ok());
    for domain in [Domain::Card, Domain::Event, Domain::Value] {
        assert!(signed.verify(domain, &own(&key())).is_err());
    }
    assert!(signed.verify(Domain::Mail, &PeerKey([0; 32])).is_err(), "a weak key");
}

#[test]
fn hellos_come_back_and_lists_are_short() {
    let hello = Hello {
        v: 1,
        agent: "p2pnode/0.1.0".into(),
        nonce: [1; 16],
        swarms: vec![[2; 32]],
        names: vec!["garden".into()],
        ephemeral: true,
        want: Some(7),
        card: Some(9),
    };
    assert_eq!(Hello::decode(&hello.encode()), Ok(hello.clone()));
    assert!(Hello::decode(&Hello { swarms: vec![[0; 32]; 33], ..hello.clone() }.encode()).is_err());
    assert!(Hello::decode(&Hello { agent: "x".repeat(65), ..hello }.encode()).is_err());
    let shared =
        Shared { swarm: [3; 32], card: Bytes::from(vec![1; 16_000]), known: vec![Bytes::from(vec![2; 16_000]); 32] };
    let reply = HelloReply {
        v: 1,
        agent: String::new(),
        nonce: [1; 16],
        swarms: Vec::new(),
        names: Vec::new(),
        ephemeral: false,
        shared: vec![shared; 3],
    };
    let back = HelloReply::decode(&reply.encode()).expect("cut to fit");
    assert_eq!(back.shared.len(), 3);
    assert!(back.shared[0].known.len() == 32 && back.shared[2].known.len() < 32, "cards of others give way");
}

#[test]
fn mail_replies_come_back() {
    let ack = MailReply::Ack(MailAck { id: mail().id, stored: false, hash: None });
    assert_eq!(MailReply::decode(&ack.encode()), Ok(ack));
    let mut error = RpcError::new(ErrorCode::Overloaded, "later");
    error.retry_after = Some(Duration::from_millis(100));
    let refused = MailReply::Err(error);
    assert_eq!(MailReply::decode(&refused.encode()), Ok(refused));
}

#[test]
fn names_are_normalised_or_refused_with_the_reason() {
    let name = |text: &str| text.parse::<SwarmName>();
    assert_eq!(name("Garden.Example_1-x").expect("fine").as_str(), "garden.example_1-x");
    for (text, reason) in [("", "empty"), ("a b", "' '"), ("gärten", "'ä'"), (&"x".repeat(65), "65 characters")] {
        assert!(name(text).expect_err(text).to_string().contains(reason), "{text}");
    }
}

#[test]
fn the_table_of_errors_is_one() {
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
        assert!((2..=8).contains(&code.exit()), "{code}");
    }
    assert_eq!(ErrorCode::from_number(4242), None);
}

/// Another implementation reads these bytes, and so does an older p2pnode: a change here is a change of the protocol.
#[test]
fn layouts_are_frozen() {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let req = Message::Req(Req {
        id: 7,
        endpoint: "sum".into(),
        args: Bytes::from_static(b"\x92\x01\x02"),
        left_ms: 1_000,
        ..Req::default()
    });
    let frames = [
        (
            req,
            "0000003686a174a3726571a2696407a8656e64706f696e74a373756da461726773c403920102a66b7761726773c400a76c6566745f6d73cd03e8",
        ),
        (
            Message::Res { id: 7, result: Bytes::from_static(b"\x03"), more: false, stream: false },
            "0000001583a174a3726573a2696407a6726573756c74c40103",
        ),
        (
            Message::Req(Req {
                id: 7,
                endpoint: "count".into(),
                left_ms: 1_000,
                window: Some(262_144),
                ..Req::default()
            }),
            "0000004187a174a3726571a2696407a8656e64706f696e74a5636f756e74a461726773c400a66b7761726773c400a76c6566745f6d73cd03e8a677696e646f77ce00040000",
        ),
        (
            Message::Res { id: 7, result: Bytes::new(), more: true, stream: true },
            "0000002285a174a3726573a2696407a6726573756c74c400a46d6f7265c3a673747265616dc3",
        ),
        (
            Message::Item { id: 7, n: 1, body: Bytes::from_static(b"\x03"), more: true },
            "0000001d85a174a46974656da2696407a16e01a4626f6479c40103a46d6f7265c3",
        ),
        (Message::Cancel { id: 7 }, "0000000e82a174a663616e63656ca2696407"),
    ];
    for (message, expected) in frames {
        assert_eq!(hex(&framed(&message)), expected, "{message:?}");
    }
    let swarm: SwarmName = "garden".parse().expect("a name");
    assert_eq!(
        SwarmId::open(&swarm).to_string(),
        "c6bab26811cfdbc1a82d3fc9b7d996e3cf9fabd98887c94b6fcbf66b0cb4ef6c",
        "the id of an open swarm"
    );
}
