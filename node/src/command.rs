//! What handles ask of the event loop.

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{
    discovery::{DhtStats, TablePeer},
    gossip,
    mail::{self, DeliverError},
    sync::{ExchangeError, Ticket},
    upkeep::Hold,
};
use p2pnode_wire::{
    card::Availability,
    error::RpcError,
    ids::{SwarmId, SwarmName},
    mail::MailAck,
    sync::{SyncReply, SyncRequest},
};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{
    addr::BootstrapAddr,
    dht::{DhtError, PeerFound, ProvidersFound, ValueFound},
    swarms::Full,
    talk::{Draft, PublishError, Published},
};

/// Commands waiting for the event loop: it takes each in microseconds, so this is a burst of all handles at once.
pub(crate) const COMMAND_QUEUE: usize = 1_024;

/// A command and where its result goes.
pub(crate) enum Command {
    /// Connect to an address the user gave; the peer behind it is the answer.
    Connect {
        addr: Multiaddr,
        done: oneshot::Sender<Result<PeerId, String>>,
    },
    /// Tell others whether this node takes work.
    Availability {
        availability: Availability,
    },
    /// Be in a swarm from now on, and look for its members at these addresses.
    Join {
        id: SwarmId,
        name: SwarmName,
        seeds: Vec<BootstrapAddr>,
        done: oneshot::Sender<Result<bool, Full>>,
    },
    /// Have nothing to do with a peer, or let it be again.
    Block {
        peer: PeerId,
        block: bool,
    },
    /// Tell when a peer has shown its card, over a connection that is there or one to be made.
    Greet {
        peer: PeerId,
        done: oneshot::Sender<Result<(), String>>,
    },
    Deliver {
        peer: PeerId,
        sealed: Bytes,
        done: oneshot::Sender<Result<MailAck, DeliverError>>,
    },
    /// Tell the sender of a message what became of it.
    Acknowledge {
        ticket: mail::Ticket,
        verdict: Result<MailAck, RpcError>,
    },
    Hold {
        peer: PeerId,
        done: oneshot::Sender<Hold>,
    },
    Publish {
        draft: Draft,
        /// Gossip may take it so much later: whoever waits for it gets it straight.
        later: Duration,
        done: oneshot::Sender<Result<Published, PublishError>>,
    },
    /// Let gossip have what it was to take later: who waits for it did not get it straight.
    PublishDeferred,
    /// Connect to the author of a message where it says it is.
    DialAt {
        peer: PeerId,
        addrs: Vec<Multiaddr>,
        source: PeerId,
    },
    /// An event that a peer brought straight to us.
    Inject {
        source: PeerId,
        raw: Bytes,
        done: oneshot::Sender<Result<(), gossip::Refused>>,
    },
    PutValue {
        sealed: Bytes,
        done: oneshot::Sender<Result<usize, DhtError>>,
    },
    GetValue {
        key: String,
        done: oneshot::Sender<Result<ValueFound, DhtError>>,
    },
    Providers {
        key: String,
        /// It ends when so many are found.
        enough: usize,
        done: oneshot::Sender<Result<ProvidersFound, DhtError>>,
    },
    Lookup {
        peer: PeerId,
        done: oneshot::Sender<Result<PeerFound, DhtError>>,
    },
    /// Ask a member what it keeps.
    Sync {
        peer: PeerId,
        request: SyncRequest,
        done: oneshot::Sender<Result<SyncReply, ExchangeError>>,
    },
    /// Answer one who has asked us that.
    Answer {
        ticket: Ticket,
        reply: Box<SyncReply>,
    },
    Table {
        done: oneshot::Sender<(Vec<TablePeer>, DhtStats)>,
    },
    Shutdown {
        done: oneshot::Sender<()>,
    },
}
