//! `vectors.json`, for other implementations to check themselves against, is what this one does.
//!
//! `UPDATE_VECTORS=1 cargo test -p p2pnode-wire --test vectors` signs, hashes and explains anew what is there: to add a
//! vector, write its first lines.

use std::{fmt::Debug, fs};

use bytes::{Bytes, BytesMut};
use data_encoding::{BASE32_NOPAD_NOCASE, HEXLOWER};
use ed25519_dalek::SigningKey;
use p2pnode_wire::{
    card::Card,
    error::ErrorCode,
    event::Event,
    frame,
    hello::{Hello, HelloReply},
    ids::{PeerKey, SwarmId, SwarmName},
    key,
    mail::{Mail, MailReply},
    msgpack,
    rpc::{Message, RequestBody},
    sign::{Domain, SIGNATURE, Signed},
    subject::Pattern,
    talk::{self, Emitted, Failure, Meta},
    ticket::Ticket,
    value::{self, Value},
};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors.json");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");

/// What follows from a vector: names, and values as JSON.
type Results = Vec<(&'static str, String)>;

/// Names, and values as JSON, in the order of the file.
#[derive(Default)]
struct Vector(Vec<(String, String)>);

impl Vector {
    fn text(&self, key: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.trim_matches('"'));
        found.unwrap_or_else(|| panic!("no {key} in {:?}", self.0))
    }

    fn hex(&self, key: &str) -> Bytes {
        HEXLOWER.decode(self.text(key).as_bytes()).expect("hex").into()
    }

    fn array<const N: usize>(&self, key: &str) -> [u8; N] {
        self.hex(key).as_ref().try_into().unwrap_or_else(|_| panic!("{key} has {N} bytes"))
    }

    fn now(&self) -> u64 {
        self.text("now").parse().expect("milliseconds")
    }

    /// Names of what the page shows, with spaces between them.
    fn shown(&self) -> Vec<&str> {
        if self.0.iter().any(|(key, _)| key == "shown") { self.text("shown").split(' ').collect() } else { Vec::new() }
    }
}

fn quoted(text: &str) -> String {
    assert!(!text.contains(['"', '\\']), "no escapes in this file: {text}");
    format!("\"{text}\"")
}

fn hex(bytes: &[u8]) -> String {
    quoted(&HEXLOWER.encode(bytes))
}

/// MessagePack as JSON, with bytes as hex.
fn json(value: &rmpv::Value) -> String {
    match value {
        rmpv::Value::Nil => "null".into(),
        rmpv::Value::Binary(bytes) => hex(bytes),
        rmpv::Value::String(text) => quoted(text.as_str().expect("UTF-8")),
        rmpv::Value::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        rmpv::Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}: {}", json(key), json(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn fields(bytes: &[u8]) -> (&'static str, String) {
    ("fields", json(&msgpack::decode(bytes).expect("MessagePack")))
}

/// What is written once it was read is what was read.
fn again<E: Debug>(bytes: &[u8], written: Result<impl AsRef<[u8]>, E>) -> Results {
    assert_eq!(written.expect("it can be read").as_ref(), bytes);
    vec![fields(bytes)]
}

fn frame(bytes: &Bytes) -> Results {
    let decoder = frame::Decoder::new(frame::MAX);
    let body = decoder.next(&mut bytes.as_ref().into()).expect("within the limit").expect("whole");
    let mut written = BytesMut::new();
    Message::decode(&body).expect("a message").encode_into(&mut written);
    assert_eq!(&written, bytes);
    vec![fields(&body)]
}

/// The payload signed anew, opened, and once more sealed.
fn signed<E: Debug>(v: &Vector, domain: Domain, again: impl Fn(Bytes, &SigningKey) -> Result<Signed, E>) -> Results {
    let (secret, payload) = (SigningKey::from_bytes(&v.array("secret")), v.hex("bytes").slice(SIGNATURE..));
    let made = Signed::seal(domain, &secret, &payload);
    assert_eq!(again(made.raw().clone(), &secret).expect("it opens"), made);
    vec![("bytes", hex(made.raw())), ("sha256", hex(&made.id())), fields(&payload)]
}

fn why<T: Debug, E: ToString>(outcome: Result<T, E>) -> Results {
    vec![("refused", quoted(&outcome.map_err(|error| error.to_string()).expect_err("refused").replace('"', "'")))]
}

/// As it is read, whatever it looks like; and MessagePack and checksum.
fn ticket(v: &Vector) -> Results {
    let text = v.text("text").parse::<Ticket>().expect("a ticket").to_string();
    let body = text.strip_prefix("p2pn1").expect("the first form");
    let bytes = BASE32_NOPAD_NOCASE.decode(body.as_bytes()).expect("base32");
    let payload = bytes.strip_suffix(&bytes[bytes.len() - 4..]).expect("a checksum");
    assert_eq!(Ticket::decode(payload).expect("a ticket").to_string(), text);
    vec![("ticket", quoted(&text)), ("bytes", hex(&bytes)), fields(payload)]
}

fn refused(v: &Vector) -> Results {
    if v.text("as") == "ticket" {
        return why(v.text("text").parse::<Ticket>());
    }
    let bytes = v.hex("bytes");
    match v.text("as") {
        "frame with its length" => why(frame::Decoder::new(frame::MAX).next(&mut bytes.as_ref().into())),
        "frame" => why(Message::decode(&bytes)),
        "hello" => why(Hello::decode(&bytes)),
        "body of a message" => why(talk::Message::decode(&bytes)),
        "card" => why(Card::open(bytes, v.now())),
        "mail" => why(Mail::open(bytes)),
        "event" => why(Event::open(bytes)),
        "value" => why(Value::open(bytes)),
        other => panic!("nothing is read as {other}"),
    }
}

fn names(v: &Vector, what: &str) -> Results {
    let swarm = || SwarmId(v.array("swarm"));
    match what {
        "peer" => {
            let secret = SigningKey::from_bytes(&v.array("secret"));
            vec![("peer", hex(secret.verifying_key().as_bytes()))]
        }
        "open swarm" => {
            let name: SwarmName = v.text("name").parse().expect("a name");
            vec![("normal", quoted(name.as_str())), ("swarm", hex(&SwarmId::open(&name).0))]
        }
        "blinded swarm" => vec![("blinded", hex(&swarm().blind(&v.array("nonce"))))],
        "topic" => vec![("topic", quoted(&key::topic(&swarm())))],
        "key of members" => vec![("key", quoted(&key::swarm(&swarm())))],
        "key of a capability" => vec![("key", quoted(&key::capability(&swarm(), v.text("name"), 0)))],
        "key of a name" => vec![("key", quoted(&key::name(&swarm(), v.text("name"))))],
        "key of a value" => vec![("key", quoted(&value::key(&PeerKey(v.array("owner")), v.text("name"))))],
        "pattern" => {
            let matching = |pattern: Pattern| -> Vec<_> {
                v.text("subjects").split(' ').filter(|subject| pattern.matches(subject)).collect()
            };
            let found = v.text("pattern").parse().map(|pattern| quoted(&matching(pattern).join(" ")));
            vec![("matches", found.unwrap_or_else(|_| "null".into()))]
        }
        other => panic!("no vector of {other}"),
    }
}

fn results(v: &Vector) -> Results {
    let bytes = || v.hex("bytes");
    match v.text("what") {
        "frame" => frame(&bytes()),
        "body of a request" => again(&bytes(), RequestBody::decode(&bytes()).map(|body| body.encode())),
        "hello" => again(&bytes(), Hello::decode(&bytes()).map(|hello| hello.encode())),
        "reply to that hello" => again(&bytes(), HelloReply::decode(&bytes()).map(|reply| reply.encode())),
        "reply to mail" => again(&bytes(), MailReply::decode(&bytes()).map(|reply| reply.encode())),
        "body of a message" => again(&bytes(), talk::Message::decode(&bytes()).map(|message| message.encode())),
        "body of an emit" => again(&bytes(), Emitted::decode(&bytes()).map(|emitted| emitted.encode())),
        "body of an error" => {
            again(&bytes(), msgpack::decode::<Failure>(&bytes()).map(|failure| msgpack::encode(&failure)))
        }
        "meta of an event" => again(&bytes(), Ok::<_, ()>(Meta::decode(&bytes()).encode())),
        "card" => signed(v, Domain::Card, |raw, key| Card::open(raw, v.now()).map(|(card, _)| card.seal(key))),
        "mail" => signed(v, Domain::Mail, |raw, key| Mail::open(raw).map(|(mail, _)| mail.seal(key))),
        "event" => signed(v, Domain::Event, |raw, key| Event::open(raw).map(|(event, _)| event.seal(key))),
        "value" => signed(v, Domain::Value, |raw, key| Value::open(raw).map(|(value, _)| value.seal(key))),
        "ticket" => ticket(v),
        "refused" => refused(v),
        other => names(v, other),
    }
}

/// An array of objects, one pair a line: all that the file needs of JSON.
fn read() -> Vec<Vector> {
    let text = fs::read_to_string(VECTORS).expect("tests/vectors.json");
    let mut vectors: Vec<Vector> = Vec::new();
    for line in text.lines().map(|line| line.trim().trim_end_matches(',')) {
        let pair = line.strip_prefix('"').and_then(|line| line.split_once("\": "));
        match (pair, vectors.last_mut()) {
            (Some((key, value)), Some(vector)) => vector.0.push((key.into(), value.into())),
            _ if line == "{" => vectors.push(Vector::default()),
            _ => assert!(["[", "]", "}"].contains(&line), "one pair a line: {line}"),
        }
    }
    vectors
}

fn write(vectors: &[Vector]) -> String {
    let pair = |(key, value): &(String, String)| format!("    \"{key}\": {value}");
    let object = |v: &Vector| format!("  {{\n{}\n  }}", v.0.iter().map(pair).collect::<Vec<_>>().join(",\n"));
    format!("[\n{}\n]\n", vectors.iter().map(object).collect::<Vec<_>>().join(",\n"))
}

fn is_updating() -> bool {
    std::env::var_os("UPDATE_VECTORS").is_some()
}

#[test]
fn the_vectors_are_what_the_code_does() {
    let mut vectors = read();
    for vector in &mut vectors {
        for (key, value) in results(vector) {
            match vector.0.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => *known = value,
                None => vector.0.push((key.into(), value)),
            }
        }
    }
    let made = write(&vectors);
    if is_updating() {
        return fs::write(VECTORS, made).expect("written");
    }
    let found = fs::read_to_string(VECTORS).expect("tests/vectors.json");
    for (number, (found, made)) in found.lines().zip(made.lines()).enumerate() {
        assert_eq!(found, made, "line {} of vectors.json", number + 1);
    }
    assert_eq!(found.len(), made.len(), "vectors.json ends otherwise");
}

#[test]
fn the_page_has_the_errors_and_shows_vectors() {
    if is_updating() {
        return; // They are being written.
    }
    let page = fs::read_to_string(PAGE).expect("docs/protocol.md");
    for code in ErrorCode::ALL {
        let retry = if code.retryable() { "yes" } else { "" };
        let row = format!("| {} | `{code}` | {retry} | {} | {} |", code.number(), code.describe(), code.exit());
        assert!(page.contains(&row), "docs/protocol.md lacks {row}");
    }
    let page: String = page.split_whitespace().collect();
    for vector in &read() {
        for result in vector.shown().into_iter().map(|key| vector.text(key)) {
            assert!(page.contains(result), "docs/protocol.md lacks {result}");
        }
    }
}
