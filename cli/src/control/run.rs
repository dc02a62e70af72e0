//! One command of a client, in the node's process.

use std::{sync::Arc, time::Instant};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    time::sleep,
};

use super::{Daemon, LAST_WORDS, PIECES, verbs::Common};
use crate::{
    args::{Global, Verb},
    commands,
    context::Ctx,
    error::{CliError, exit},
    output::{Out, Terminal, render::typed_by_client, sink::Piece},
    signals::{INTERRUPTED, Stop},
};

/// What a client wants.
#[derive(Debug)]
pub(super) struct Order {
    /// The verb with its options.
    pub(super) verb: Verb,
    /// Options of every verb.
    pub(super) common: Common,
    /// How the client's terminal is; none for programs.
    pub(super) terminal: Option<Terminal>,
    /// What was typed, for hints.
    pub(super) typed: Option<Vec<String>>,
    /// By which name the client may cancel it.
    pub(super) id: Option<String>,
}

/// A command under way. Dropped, it is told to stop: whoever wanted it has gone.
#[derive(Debug)]
pub(super) struct Command {
    pieces: mpsc::Receiver<Piece>,
    stop: watch::Sender<Option<u8>>,
}

impl Command {
    /// Starts it. `None`: a command of that id runs already.
    pub(super) fn start(daemon: &Arc<Daemon>, order: Order) -> Option<Self> {
        let (sender, pieces) = mpsc::channel(PIECES);
        let (stop, told) = Stop::told();
        let key = daemon.begin(order.id.as_deref(), stop.clone())?;
        let (daemon, handle) = (daemon.clone(), Handle::current());
        // A thread of its own: a slow client holds up its command, as a slow pipe does, and nothing else.
        tokio::task::spawn_blocking(move || {
            let code = handle.block_on(run(&daemon, order, told, sender.clone()));
            let _ = handle.block_on(sender.send(Piece::Exit(code)));
            daemon.end(key);
        });
        Some(Self { pieces, stop })
    }

    /// What it tells next; nothing after its exit.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        self.stop.send_if_modified(|code| code.replace(code.unwrap_or(INTERRUPTED)).is_none());
    }
}

async fn run(daemon: &Arc<Daemon>, order: Order, stop: Stop, sender: mpsc::Sender<Piece>) -> u8 {
    let Order { verb, common, terminal, typed, .. } = order;
    let name = verb.name();
    let verbose = u8::from(common.verbose);
    let global = Global { swarm: common.swarm, timeout: common.timeout, verbose, ..daemon.global() };
    let out = Out::to(sender, terminal.as_ref(), common.verbose);
    typed_by_client(typed.unwrap_or_else(|| vec![name.to_owned(), "...".to_owned()]));
    let ctx = Ctx { global, out, stop, verb: name, started: Instant::now(), daemon: Some(daemon.clone()) };
    let outcome = tokio::select! {
        outcome = commands::local(&ctx, verb) => outcome,
        () = overdue(&ctx.stop) => Err(CliError::new("interrupted", exit::INTERNAL, "the command did not stop in time")),
    };
    outcome.unwrap_or_else(|error| ctx.out.fail(name, &error))
}

/// It was told to stop, and has not.
async fn overdue(stop: &Stop) {
    stop.requested().await;
    sleep(LAST_WORDS).await;
}
