//! The control socket: a node that runs serves its verbs by HTTP and JSON over a Unix socket.
//!
//! The body of a request is a verb's options, its response what the command prints. The same code runs in a process of
//! its own and for a client; only [`Session`](crate::connect::Session) and [`Out`](crate::output::Out) differ. So every
//! talking verb attaches, `curl` is a client, and nothing is written twice.

mod about;
mod attach;
mod body;
mod client;
mod daemon;
mod find;
mod query;
mod routes;
mod run;
mod server;
mod socket;
mod verbs;

use std::time::Duration;

pub(crate) use self::{
    attach::{Attached, attach, not_running},
    client::Client,
    daemon::{Daemon, Facts},
    find::{Running, probe, the_one},
    server::Server,
    socket::Socket,
};

/// Version of routes and fields. A node answers only clients of the same.
pub(crate) const API: &str = "1";

/// Headers: the version; the client's name for its command, to cancel it by; how its terminal is; what was typed.
const HEADER_API: &str = "x-p2pnode-api";
const HEADER_COMMAND: &str = "x-p2pnode-command";
const HEADER_TERMINAL: &str = "x-p2pnode-terminal";
const HEADER_TYPED: &str = "x-p2pnode-typed";

/// What our own client asks for: what a terminal shows, line by line.
const TERMINAL: &str = "application/vnd.p2pnode.terminal+json";
const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

/// Clients at once: enough for a person with scripts, too few to harm the node.
const CLIENTS: usize = 16;

/// Clients beyond those, who may still see whether it lives, cancel their commands, and stop the node.
const REFUSED: usize = 16;

/// Bytes of a request's body, and of its headers.
const BODY: usize = 1024 * 1024;
const HEADERS: usize = 16 * 1024;

/// Time for the headers, and for the body, of a request.
const SEND: Duration = Duration::from_secs(10);

/// Pieces of output, of a few MiB at most, that wait for a client; then its command waits.
const PIECES: usize = 16;

/// A command that was told to stop has this long to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(5);
