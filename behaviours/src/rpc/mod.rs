//! Remote procedure calls over two roads with one meaning.
//!
//! * The **fast road**, `/p2pnode/rpc-mux/1`: one long-lived substream per peer and direction carries many calls, told
//!   apart by id. A call costs two frames and no trip through the swarm task.
//! * The **classic road**, `/p2pnode/rpc/1`: libp2p request-response, one substream per call. Any libp2p program can
//!   speak it, with [`Codec`] or with thirty lines of its own.
//!
//! A caller tries the fast road first and falls back. Both carry the envelopes of [`p2pnode_wire::rpc`].
//!
//! ```text
//! Client ── encodes into ──► Link ◄── drains ── handler (connection task) ══ substream ══ handler ──► Service
//! ```
//! Handlers run inside the connection's own task, so the swarm task sees a peer once, when its link opens, and never a
//! call. What a [`Service`] does with a call it does elsewhere: it must return at once.
//!
//! A result is one body of up to [`Config::max_body`], in chunks under credit, or a stream of items as long as the
//! call's time, of which no more is on its way than the reader's window. Deadlines end a call on both sides, dropping it
//! cancels it at the peer; see `docs/protocol.md` for the bytes.

mod behaviour;
mod client;
mod codec;
mod config;
mod error;
mod items;
mod lines;
mod mux;
mod service;

pub use behaviour::{Behaviour, Event};
pub use client::{Answer, Client, Stats};
pub use codec::{Codec, Reply};
pub use config::Config;
pub use error::CallError;
pub use items::Items;
pub use mux::describe_dial_error;
pub use service::{Calls, Incoming, ItemSender, NotTaken, Request, Responder, Road, Service, channel};
