//! One file per verb.

mod archive;
mod artifact;
mod ask;
mod bench;
mod call;
mod cleanup;
mod condense;
mod conv;
mod dht;
mod down;
mod find;
mod history;
mod hook;
mod id;
mod inbox;
mod join;
mod kept;
mod logs;
mod members;
mod mute;
mod names;
mod netcheck;
mod outbox;
mod peer;
mod peers;
mod ping;
mod salvage;
mod schedule;
mod send;
mod serve;
mod status;
mod swarms;
mod talk;
mod tooling;
mod up;
mod wait;
mod watch;

pub(crate) use self::{cleanup::unasked, logs::old_path};
use crate::{
    args::Verb,
    context::Ctx,
    control::{Attached, attach, not_running},
    error::CliError,
};

/// Does what was asked, through a running node where one fits. The number is the exit code of a command that has told
/// everything itself.
pub(crate) async fn run(ctx: &Ctx, mut verb: Verb) -> Result<u8, CliError> {
    if let Verb::Card(card) = verb {
        verb = Verb::Artifact(card.into());
    }
    if let Verb::Schedule(args) = &mut verb {
        schedule::check(ctx, args)?;
    }
    if let Verb::Subscribe(args) = &mut verb {
        hook::check(args)?;
    }
    match Box::pin(attach(ctx, verb)).await {
        Attached::Done(outcome) => outcome,
        Attached::Here(verb) => local(ctx, verb).await,
    }
}

/// An error before a command has begun, in the form that the command would give it.
pub(crate) fn failed_early(ctx: &Ctx, verb: &Verb, error: CliError) -> Result<u8, CliError> {
    match verb {
        Verb::Ask(_) => ask::failed(ctx, error),
        _ => Err(error),
    }
}

/// Does it in this process: with a node of its own, or with the one that runs here.
pub(crate) async fn local(ctx: &Ctx, verb: Verb) -> Result<u8, CliError> {
    // Boxed: the futures differ much in size.
    match verb {
        Verb::Up(args) => Box::pin(up::run(ctx, *args)).await,
        // Without a node of another process behind it there is none at all.
        verb if verb.needs_running() && ctx.daemon.is_none() => Err(not_running(&verb)),
        Verb::Down(_) => Box::pin(down::run(ctx)).await.map(|()| 0),
        Verb::Status(args) => Box::pin(status::run(ctx, &args)).await,
        Verb::Logs(args) => Box::pin(logs::run(ctx, &args)).await,
        Verb::Wait(args) => Box::pin(wait::run(ctx, &args)).await.map(|()| 0),
        Verb::Swarms(args) => Box::pin(swarms::run(ctx, &args)).await.map(|()| 0),
        Verb::Join(args) => Box::pin(join::join(ctx, &args)).await.map(|()| 0),
        Verb::Leave(args) => join::leave(ctx, &args).map(|()| 0),
        Verb::Invite(args) => Box::pin(join::invite(ctx, &args)).await.map(|()| 0),
        Verb::Members(args) => Box::pin(members::run(ctx, &args)).await.map(|()| 0),
        Verb::Peer(args) => Box::pin(peer::run(ctx, &args)).await.map(|()| 0),
        Verb::Peers(args) => Box::pin(peers::run(ctx, &args)).await.map(|()| 0),
        Verb::Find(args) => Box::pin(find::run(ctx, &args)).await.map(|()| 0),
        Verb::Netcheck(args) => Box::pin(netcheck::run(ctx, &args)).await.map(|()| 0),
        Verb::Ping(args) => Box::pin(ping::run(ctx, &args)).await,
        Verb::Artifact(args) => Box::pin(artifact::run(ctx, args)).await.map(|()| 0),
        Verb::Card(args) => Box::pin(artifact::run(ctx, args.into())).await.map(|()| 0),
        Verb::Ask(args) => Box::pin(ask::run(ctx, args)).await,
        Verb::Broadcast(args) => Box::pin(talk::broadcast(ctx, args)).await,
        Verb::Emit(args) => Box::pin(talk::emit(ctx, args)).await.map(|()| 0),
        Verb::Schedule(args) => Box::pin(schedule::run(ctx, args)).await.map(|()| 0),
        Verb::Mute(args) => mute::mute(ctx, &args).await.map(|()| 0),
        Verb::Unmute(args) => mute::unmute(ctx, &args).await.map(|()| 0),
        Verb::Block(args) => mute::block(ctx, &args).await.map(|()| 0),
        Verb::Unblock(args) => mute::unblock(ctx, &args).await.map(|()| 0),
        Verb::Names(args) => names::run(ctx, &args).await.map(|()| 0),
        Verb::Availability(args) => status::availability(ctx, &args).await.map(|()| 0),
        Verb::Subscribe(args) => Box::pin(watch::subscribe(ctx, &args)).await,
        Verb::Serve(args) => Box::pin(serve::run(ctx, *args)).await,
        Verb::Watch(args) => Box::pin(watch::watch(ctx, &args)).await,
        Verb::Send(args) => Box::pin(send::send(ctx, args)).await.map(|()| 0),
        Verb::Reply(args) => Box::pin(send::reply(ctx, args)).await.map(|()| 0),
        Verb::Inbox(args) => Box::pin(inbox::run(ctx, &args)).await.map(|()| 0),
        Verb::Outbox(args) => Box::pin(outbox::run(ctx, &args)).await.map(|()| 0),
        Verb::Conv(args) => Box::pin(conv::run(ctx, &args)).await,
        Verb::History(args) => Box::pin(history::run(ctx, args)).await.map(|()| 0),
        Verb::Call(args) => Box::pin(call::run(ctx, args)).await,
        Verb::Dht(args) => Box::pin(dht::run(ctx, args)).await.map(|()| 0),
        Verb::Bench(args) => Box::pin(bench::run(ctx, args)).await,
        Verb::Id(args) => id::run(ctx, &args).map(|()| 0),
        Verb::Export(args) => Box::pin(archive::export(ctx, &args)).await.map(|()| 0),
        Verb::Import(args) => Box::pin(archive::import(ctx, &args)).await.map(|()| 0),
        Verb::Completions { shell } => tooling::completions(ctx, shell).map(|()| 0),
        Verb::Version => tooling::version(ctx).map(|()| 0),
    }
}
