//! Mail that is faster than the greeting of who sends it: nobody is held to what strangers may leave before it is known
//! that he is one.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identity, noise,
    request_response::{self, ProtocolSupport, ResponseChannel},
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use p2pnode::{Node, Paths, presets, store::InboxQuery};
use p2pnode_behaviours::mail::{self, DeliverError};
use p2pnode_wire::{
    error::ErrorCode,
    ids::{ConversationId, MailId, PeerKey},
    mail::{Mail, MailAck, Part, kind},
    protocol,
};
use tokio::sync::oneshot;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Hears a hello and has no answer to it.
#[derive(Clone, Default)]
struct Mute;

impl request_response::Codec for Mute {
    type Protocol = StreamProtocol;
    type Request = ();
    type Response = ();

    async fn read_request<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<()> {
        io.read_exact(&mut [0]).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<()> {
        Err(io::Error::other("it asks nothing"))
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, _: &mut T, (): ()) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::Error::other("it asks nothing"))
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, _: &mut T, (): ()) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::Error::other("it answers nothing"))
    }
}

#[derive(NetworkBehaviour)]
struct Peer {
    mail: mail::Behaviour,
    hello: request_response::Behaviour<Mute>,
}

/// A program that writes, and does not say who it is.
struct Writer {
    swarm: Swarm<Peer>,
    key: identity::Keypair,
    /// Hellos that wait for an answer.
    asked: Vec<ResponseChannel<()>>,
}

impl Writer {
    async fn connect(to: &Node) -> Self {
        let key = identity::Keypair::generate_ed25519();
        let hello = [(StreamProtocol::new(protocol::HELLO), ProtocolSupport::Full)];
        let mut swarm = SwarmBuilder::with_existing_identity(key.clone())
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("a transport")
            .with_behaviour(|key| Peer {
                mail: mail::Behaviour::new(key.public().to_peer_id()),
                hello: request_response::Behaviour::new(hello, request_response::Config::default()),
            })
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(LIMIT))
            .build();
        let tcp = |addr: &&Multiaddr| addr.to_string().contains("/tcp/");
        let addr = to.listen_addrs().iter().find(tcp).expect("it listens").clone();
        swarm.dial(addr).expect("a dial");
        let mut writer = Self { swarm, key, asked: Vec::new() };
        while writer.asked.is_empty() {
            writer.step().await;
        }
        writer
    }

    async fn step(&mut self) {
        let event = tokio::time::timeout(LIMIT, self.swarm.select_next_some()).await.expect("something happens");
        if let SwarmEvent::Behaviour(PeerEvent::Hello(request_response::Event::Message {
            message: request_response::Message::Request { channel, .. },
            ..
        })) = event
        {
            self.asked.push(channel);
        }
    }

    /// Delivers a message while `work` is done after each step.
    async fn deliver(&mut self, to: PeerId, mut work: impl FnMut(&mut Self)) -> Result<MailAck, DeliverError> {
        let (done, mut ended) = oneshot::channel();
        let raw = self.letter(to);
        self.swarm.behaviour_mut().mail.deliver(to, raw, done);
        loop {
            tokio::select! {
                outcome = &mut ended => return outcome.expect("it ends"),
                () = self.step() => work(self),
            }
        }
    }

    fn letter(&self, to: PeerId) -> Bytes {
        let key = self.key.clone().try_into_ed25519().expect("such a key");
        let key = ed25519_dalek::SigningKey::from_bytes(key.secret().as_ref().try_into().expect("32 bytes"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let now = u64::try_from(now).expect("before 2500");
        let mail = Mail {
            v: 1,
            id: MailId::new(),
            swarm: None,
            from: PeerKey(key.verifying_key().to_bytes()),
            to: p2pnode_behaviours::key_of(&to).expect("an ed25519 key"),
            kind: kind::MESSAGE.into(),
            conversation: ConversationId::new(),
            in_reply_to: None,
            priority: None,
            via: Vec::new(),
            sent_ms: now,
            not_after_ms: now + 60_000,
            trace: None,
            meta: None,
            parts: vec![Part::Text("before my name".into())],
        };
        mail.seal(&key).into_raw()
    }
}

#[tokio::test]
async fn mail_waits_until_it_is_known_whether_its_sender_is_a_stranger() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::builder(presets::Loopback).paths(Paths::in_folder(folder.path()).expect("paths")).swarm("garden");
    let node = node.name("moss").start().await.expect("started");
    let mut writer = Writer::connect(&node).await;

    // Our hello is under way.
    let refused = writer.deliver(node.peer_id(), |_| {}).await.expect_err("not yet");
    let DeliverError::Refused(error) = refused else { panic!("{refused}") };
    assert_eq!((error.code, error.retryable), (ErrorCode::Overloaded, true), "{error}");
    assert!(error.retry_after.is_some_and(|after| after < Duration::from_secs(1)), "soon: {error:?}");

    // It never says who it is.
    writer.asked.clear();
    let taken = async {
        loop {
            match writer.deliver(node.peer_id(), |writer| writer.asked.clear()).await {
                Ok(ack) => return ack,
                Err(DeliverError::Refused(error)) if error.code == ErrorCode::Overloaded => {}
                Err(other) => panic!("{other}"),
            }
        }
    };
    let ack = tokio::time::timeout(LIMIT, taken).await.expect("in time");
    let query = InboxQuery { limit: 10, ..InboxQuery::default() };
    let inbox = node.mail().expect("it keeps").inbox(query).await.expect("it reads");
    let kept: Vec<_> = inbox.iter().map(|mail| (mail.mail.id, mail.stranger)).collect();
    assert_eq!(kept, [(ack.id, true)]);
    node.shutdown().await;
}
