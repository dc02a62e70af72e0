#![doc = include_str!("../../README.md")]
#![forbid(unsafe_code)]

mod access;
mod acquaintances;
mod addr;
pub mod artifacts;
mod ask;
mod blocks;
mod builder;
mod call;
mod client;
mod command;
mod dht;
mod endpoint;
mod event_loop;
mod events;
mod find;
mod history;
mod identity;
mod join;
mod kept_peers;
mod limits;
mod listen;
mod mail;
mod mutes;
mod names;
mod node;
mod path;
mod peers;
mod periodic;
mod pins;
pub mod presets;
mod profile;
mod progress;
mod reach;
mod registry;
mod reserved;
mod resolve;
pub mod schedule;
mod schedules;
mod signals;
mod start;
pub mod store;
mod swarm;
mod swarms;
mod talk;
mod target;
pub mod value;

pub use addr::{AddrError, BootstrapAddr, DEFAULT_PORT};
pub use ask::{Answer, AnswerError, Ask, AskBuilder, AskEnd, AskError, AskEvent, AskHandler, AskOutcome, Asked};
pub use blocks::Blocks;
pub use builder::{Allow, Builder};
pub use call::{Call, CallError, CallReply, Items, Pick, Pong};
pub use client::{Client, ConnectError};
pub use dht::{Dht, DhtError, DhtStats, PeerFound, ProvidersFound, TablePeer, ValueFound};
pub use endpoint::{
    ArgsError, Arguments, Context, DynHandler, DynStreamHandler, Endpoint, EndpointError, Erased, Handler,
    HandlerError, IntoArgs, ItemSender, Kwargs, Outlet, Parameter, Registration, StreamOf, parameters,
};
pub use events::{Events, NodeEvent};
pub use find::{FindError, Found, Query, Via};
pub use history::{CompactError, Compaction, Condensed, Folding, Summary};
pub use history::{History, KeptEntry, KeptEvent, Retention, Surplus};
pub use identity::{Identity, IdentityError};
pub use jiff;
pub use join::{InviteError, JoinError, TicketAddresses, ticket_addresses, ticket_seeds};
pub use kept_peers::PeerListError;
pub use libp2p::{Multiaddr, PeerId};
pub use limits::Limits;
pub use mail::{InboxMail, MailLimits, Mailbox, OutboxMail, Send, SendError};
pub use mutes::Mutes;
pub use names::default_name;
pub use node::{Looked, Node};
pub use p2pnode_behaviours::{
    Clock, discovery, gossip, hello, nat, peer_of,
    rpc::{self, Road},
    upkeep,
};
pub use p2pnode_wire::{
    self as wire,
    card::{Capability, Card, EndpointInfo},
    error::{ErrorCode, RpcError},
    ids::{ConversationId, EventId},
    subject::SubjectError,
};
pub use path::Path;
pub use peers::{Availability, KnownAddress, Peer, PeerRef, PeerState, SwarmSeen};
pub use periodic::Periodic;
pub use pins::PinnedName;
pub use presets::Preset;
pub use profile::{Paths, Profile, ProfileError};
pub use registry::{Announcement, Entry, LocalRegistry, RegistryError};
pub use reserved::Info;
pub use rmpv::Value;
pub use schedules::{Action, Added, ExecRun, ScheduleInfo, Schedules, SchedulesError};
pub use start::StartError;
pub use swarm::{BoxedTransport, executor, multiplexer};
pub use talk::{Broadcast, Conversation, ConversationEvent, Emit, Hook, PublishError, Said, Sent, Subscription};
pub use target::{Candidate, Target, TargetError, near};
