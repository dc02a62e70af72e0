//! One file per verb.

mod ask;
mod call;
mod dht;
mod find;
mod id;
mod members;
mod peer;
mod peers;
mod ping;
mod serve;
mod swarms;
mod talk;
mod tooling;
mod up;
mod wait;
mod watch;

use crate::{args::Verb, context::Ctx, error::CliError};

/// Does what was asked. The number is the exit code of a command that has told everything itself.
pub(crate) async fn run(ctx: &Ctx, verb: Verb) -> Result<u8, CliError> {
    // Boxed: the futures differ much in size.
    match verb {
        Verb::Up(args) => Box::pin(up::run(ctx, *args)).await,
        Verb::Wait(args) => Box::pin(wait::run(ctx, &args)).await.map(|()| 0),
        Verb::Swarms(args) => Box::pin(swarms::run(ctx, &args)).await.map(|()| 0),
        Verb::Members(args) => Box::pin(members::run(ctx, &args)).await.map(|()| 0),
        Verb::Peer(args) => Box::pin(peer::run(ctx, &args)).await.map(|()| 0),
        Verb::Peers(args) => Box::pin(peers::run(ctx, &args)).await.map(|()| 0),
        Verb::Find(args) => Box::pin(find::run(ctx, &args)).await.map(|()| 0),
        Verb::Ping(args) => Box::pin(ping::run(ctx, &args)).await,
        Verb::Ask(args) => Box::pin(ask::run(ctx, args)).await,
        Verb::Broadcast(args) => Box::pin(talk::broadcast(ctx, args)).await,
        Verb::Emit(args) => Box::pin(talk::emit(ctx, &args)).await.map(|()| 0),
        Verb::Subscribe(args) => Box::pin(watch::subscribe(ctx, &args)).await,
        Verb::Serve(args) => Box::pin(serve::run(ctx, *args)).await,
        Verb::Watch(args) => Box::pin(watch::watch(ctx, &args)).await,
        Verb::Call(args) => Box::pin(call::run(ctx, args)).await,
        Verb::Dht(args) => Box::pin(dht::run(ctx, args)).await.map(|()| 0),
        Verb::Id(args) => id::run(ctx, &args).map(|()| 0),
        Verb::Completions { shell } => tooling::completions(ctx, shell).map(|()| 0),
        Verb::Version => tooling::version(ctx).map(|()| 0),
    }
}
