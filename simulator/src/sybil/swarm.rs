//! One attacker as a process: a Swarm that greets as a member does, and answers in the DHT as it likes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ed25519_dalek::SigningKey;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    core::{muxing::StreamMuxerBox, transport::Boxed},
    swarm::{self, NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
};
use libp2p_identify as identify;
use libp2p_request_response::{self as request_response, ProtocolSupport};
use p2pnode_behaviours::hello;
use p2pnode_wire::{
    card::Card,
    ids::{PeerKey, SwarmId, SwarmName},
    protocol,
};
use tokio::sync::mpsc;

use super::{
    Accomplice, Place, Sybil,
    message::{self, Codec, Peer},
    nearest, place_of,
};
use crate::sim::SWARM;

/// As many closer peers are in an answer as honest nodes give.
const TOLD: usize = 20;

/// And as many providers, if it lies about them.
const LIES: usize = 8;

/// It keeps a connection without use for longer than honest nodes do.
const IDLE: Duration = Duration::from_secs(30);

/// A card is good for so long.
const CARD: Duration = Duration::from_secs(12 * 3_600);

/// Orders that wait for an attacker; who gives more waits, too.
const ORDERS: usize = 64;

/// What an attacker is told to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Gets to know a node.
    Meet(PeerId, Multiaddr),
    /// Sends a node a message of Kademlia.
    Send(PeerId, Multiaddr, Vec<u8>),
}

/// Where to give orders; when it is dropped, the attacker ends.
pub(crate) type Orders = mpsc::Sender<Order>;

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Behaviour {
    hello: hello::Behaviour,
    identify: identify::Behaviour,
    kad: request_response::Behaviour<Codec>,
}

/// Starts an attacker that listens at `own` and says that it is at `claimed` too.
pub(crate) fn start(
    sybil: &Sybil,
    transport: Boxed<(PeerId, StreamMuxerBox)>,
    own: Multiaddr,
    claimed: Option<Multiaddr>,
    gang: Arc<Vec<Accomplice>>,
    lies: bool,
) -> Orders {
    let (orders, mut inbox) = mpsc::channel(ORDERS);
    let mut swarm = Swarm::new(
        transport,
        behaviour(sybil, claimed.iter().chain([&own])),
        sybil.peer,
        swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE),
    );
    // Identify tells these first.
    claimed.into_iter().for_each(|addr| swarm.add_external_address(addr));
    let own_place = sybil.place;
    tokio::spawn(async move {
        if swarm.listen_on(own).is_err() {
            // Its orders fail.
            return;
        }
        loop {
            tokio::select! {
                biased;
                order = inbox.recv() => match order {
                    None => return,
                    // One that is connected already, or refuses, is met.
                    Some(Order::Meet(peer, addr)) => drop(swarm.dial(DialOpts::peer_id(peer).addresses(vec![addr]).build())),
                    Some(Order::Send(peer, addr, message)) => {
                        swarm.behaviour_mut().kad.send_request_with_addresses(&peer, message, vec![addr]);
                    }
                },
                event = swarm.select_next_some() => {
                    let SwarmEvent::Behaviour(BehaviourEvent::Kad(request_response::Event::Message {
                        message: request_response::Message::Request { request, channel, .. }, ..
                    })) = event else { continue };
                    if let Some(reply) = reply(&request, &gang, lies.then_some(&own_place)) {
                        // The asker may be gone.
                        let _ = swarm.behaviour_mut().kad.send_response(channel, reply);
                    }
                }
            }
        }
    });
    orders
}

/// What it answers; none to what needs no answer. One that lies has its place here: each tells of other providers.
fn reply(request: &[u8], gang: &[Accomplice], lies: Option<&Place>) -> Option<Vec<u8>> {
    let (kind, key) = message::read(request);
    let of = |count, place: &Place| -> Vec<Peer> {
        let near = nearest(gang, place, count, |one: &Accomplice| one.place);
        near.into_iter().map(|one| Peer { id: one.peer, addr: one.addr.clone() }).collect()
    };
    let closer = || of(TOLD, &place_of(&key));
    match kind {
        message::FIND_NODE => Some(message::answer(kind, &key, &closer(), &[], None)),
        message::GET_PROVIDERS => {
            let providers = lies.map_or_else(Vec::new, |own| of(LIES, own));
            Some(message::answer(kind, &key, &closer(), &providers, None))
        }
        message::GET_VALUE => {
            let value = lies.map(|_| b"forged".as_slice());
            Some(message::answer(kind, &key, &closer(), &[], value))
        }
        // As if it had kept the value.
        message::PUT_VALUE => Some(request.to_vec()),
        _ => None,
    }
}

fn behaviour<'a>(sybil: &Sybil, addresses: impl Iterator<Item = &'a Multiaddr>) -> Behaviour {
    let signing = SigningKey::from_bytes(&sybil.seed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let card = Card {
        seq: 1,
        not_after: u64::try_from((now + CARD).as_millis()).unwrap_or(u64::MAX),
        name: format!("s{}", sybil.peer),
        kind: "node".to_owned(),
        addresses: addresses.map(ToString::to_string).collect(),
        ..Card::new(PeerKey(signing.verifying_key().to_bytes()))
    };
    let mut hello = hello::Behaviour::new(hello::Config::default(), sybil.peer);
    hello.set_card(card.seal(&signing).into_raw());
    if let Ok(name) = SWARM.parse::<SwarmName>() {
        hello.join(SwarmId::open(&name), Some(name));
    }
    let identify = identify::Config::new("p2pnode/1".to_owned(), sybil.keypair.public()).with_cache_size(0);
    let kad = [(StreamProtocol::new(protocol::KAD), ProtocolSupport::Full)];
    Behaviour {
        hello,
        identify: identify::Behaviour::new(identify),
        kad: request_response::Behaviour::new(kad, request_response::Config::default()),
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::{super::grind, *};

    #[test]
    fn it_tells_of_nobody_else_and_keeps_nothing() {
        let all = grind(30, 1, None, &mut ChaCha8Rng::seed_from_u64(1));
        let addr: Multiaddr = "/ip4/46.0.0.1/tcp/4001".parse().expect("an address");
        let gang: Vec<Accomplice> =
            all.iter().map(|one| Accomplice { peer: one.peer, place: one.place, addr: addr.clone() }).collect();
        for kind in [message::FIND_NODE, message::GET_PROVIDERS, message::GET_VALUE] {
            let said = reply(&message::answer(kind, b"key", &[], &[], None), &gang, None).expect("an answer");
            let (mut closer, mut rest) = (0, 0);
            crate::net::fields(&said, |field, _| match field {
                8 => closer += 1,
                3 | 9 => rest += 1,
                _ => {}
            });
            assert_eq!((closer, rest), (TOLD, 0), "{kind}");
        }
        let told = Peer { id: PeerId::random(), addr };
        assert!(reply(&message::add_provider(b"key", &told), &gang, Some(&gang[0].place)).is_none());
    }
}
