//! The command line: one struct per verb, global options, help.

pub(crate) mod archive;
pub(crate) mod artifact;
pub(crate) mod ask;
pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod daemon;
pub(crate) mod dht;
mod explain;
pub(crate) mod given;
pub(crate) mod global;
mod help;
pub(crate) mod history;
pub(crate) mod id;
pub(crate) mod join;
pub(crate) mod look;
pub(crate) mod mail;
pub(crate) mod reach;
pub(crate) mod schedule;
pub(crate) mod talk;
pub(crate) mod up;
pub(crate) mod value;

use std::ffi::OsString;

use clap::{ArgMatches, FromArgMatches, Parser, Subcommand, error::ErrorKind, parser::ValueSource};
use clap_complete::Shell;

pub(crate) use self::global::{Early, Global};
use crate::error::CliError;

/// A serverless swarm for agents, tools and services
#[derive(Debug, Clone, Parser)]
#[command(name = "p2pnode", version, arg_required_else_help = false, subcommand_required = true)]
pub(crate) struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Start a node here and serve until Ctrl-C
    Up(Box<up::Up>),
    /// Leave and stop the node that runs in the background
    Down(daemon::Down),
    /// Show the running node on one screen
    Status(daemon::Status),
    /// Print the log of the node that runs in the background
    Logs(daemon::Logs),
    /// Wait until something is there
    Wait(reach::Wait),
    /// List the swarms that can be seen from here
    Swarms(look::Swarms),
    /// Join a swarm by a ticket, by its name, or at the address of a member
    Join(join::Join),
    /// Forget a swarm that was joined
    Leave(join::Leave),
    /// Print a ticket with which others join a swarm of the running node
    Invite(join::Invite),
    /// List the peers of one swarm
    Members(look::Members),
    /// List the peers that can be seen from here
    Peers(look::Peers),
    Peer(look::Peer),
    /// Find nodes through the directory, also those that are no neighbours
    Find(look::Find),
    /// List, fetch and keep documents that nodes serve
    Artifact(artifact::Artifact),
    /// Show and set the agent card that nodes serve
    Card(artifact::Card),
    /// Measure the round trip to a peer and show the path
    Ping(reach::Ping),
    /// Show what routers do to this host, and how it is reached from outside
    Netcheck(reach::Netcheck),
    /// Ask a swarm, or one peer; acks and replies stream in
    Ask(ask::Ask),
    /// Call an endpoint of everybody in a swarm who serves it
    Broadcast(talk::Broadcast),
    /// Tell a swarm that something happened
    Emit(talk::Emit),
    /// Print what is emitted, as it comes
    Subscribe(talk::Subscribe),
    /// Write to a peer, there or not; it is tried until it has the message
    Send(mail::Send),
    /// Answer a message of the inbox
    Reply(mail::Reply),
    /// Read the messages that came, and keep order among them
    Inbox(mail::Inbox),
    /// Look after the messages of this node that are on their way
    Outbox(mail::Outbox),
    /// Read conversations: what was said, by whom, in order
    Conv(history::Conv),
    /// Search what was said in swarms and written to this node
    History(history::History),
    /// Run no programs for what a peer says
    Mute(talk::Mute),
    /// Run programs for a peer again
    Unmute(talk::Mute),
    /// Have nothing to do with a peer
    Block(talk::Block),
    /// Let a blocked peer be again
    Unblock(talk::Block),
    /// Show who bears which name, and let a name go
    Names(look::Names),
    /// Tell others whether the running node takes work
    Availability(daemon::Availability),
    /// Call an endpoint of a peer and print its result
    Call(call::Call),
    /// Make a program callable in a swarm
    Serve(Box<talk::Serve>),
    /// Let the running node act by itself: every so often, by a cron expression, with the sun
    Schedule(schedule::Schedule),
    /// Watch a swarm: joins, leaves, questions, answers
    Watch(talk::Watch),
    /// Read and write the distributed hash table
    Dht(dht::Dht),
    Bench(bench::Bench),
    /// Show, make, save and restore the identity of a profile
    Id(id::Id),
    /// Save a whole profile in one file
    Export(archive::Export),
    /// Restore a profile from such a file
    Import(archive::Import),
    /// Print a completion script: bash, zsh, fish, elvish or powershell
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

impl Verb {
    /// Whether it is about what the node that runs here has or does itself: its own node would have nothing.
    pub(crate) fn is_about_itself(&self) -> bool {
        matches!(self, Self::Conv(_) | Self::History(_)) || self.needs_running()
    }

    /// Whether a node that runs must have no part in it.
    pub(crate) fn is_without_node(&self) -> bool {
        match self {
            Self::History(history) => matches!(history.verb, history::HistoryVerb::Salvage {}),
            Self::Invite(invite) => invite.verb.is_some(),
            _ => false,
        }
    }

    /// Whether nothing but a node that runs can do it.
    pub(crate) fn needs_running(&self) -> bool {
        match self {
            Self::Status(_) | Self::Mute(_) | Self::Unmute(_) | Self::Block(_) | Self::Unblock(_) => true,
            Self::Names(_) | Self::Availability(_) => true,
            Self::Invite(args) => args.verb.is_none(),
            Self::Schedule(args) => args.needs_node(),
            Self::Artifact(args) => args.needs_node(),
            Self::Subscribe(args) => args.mail,
            Self::Conv(conv) => conv.needs_node(),
            Self::History(history) => matches!(history.verb, history::HistoryVerb::Cleanup(_)),
            _ => self.is_mail(),
        }
    }

    fn is_mail(&self) -> bool {
        matches!(self, Self::Send(_) | Self::Reply(_) | Self::Inbox(_) | Self::Outbox(_))
    }

    /// The swarm among the words of the verb.
    pub(crate) fn swarm(&self) -> Option<&str> {
        match self {
            Self::Ask(args) => args.swarm(),
            Self::Members(args) => args.swarm.as_deref(),
            Self::Invite(args) => args.invite_swarm.as_deref(),
            Self::Broadcast(args) => Some(args.broadcast_swarm.as_str()),
            Self::Watch(args) => args.watch_swarm.as_deref(),
            _ => None,
        }
    }

    /// The word typed, which is also `kind` in JSON.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Down(_) => "down",
            Self::Status(_) => "status",
            Self::Logs(_) => "logs",
            Self::Wait(_) => "wait",
            Self::Swarms(_) => "swarms",
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Invite(_) => "invite",
            Self::Members(_) => "members",
            Self::Peers(_) => "peers",
            Self::Peer(_) => "peer",
            Self::Find(_) => "find",
            Self::Artifact(_) => "artifact",
            Self::Card(_) => "card",
            Self::Ping(_) => "ping",
            Self::Netcheck(_) => "netcheck",
            Self::Ask(_) => "ask",
            Self::Broadcast(_) => "broadcast",
            Self::Emit(_) => "emit",
            Self::Subscribe(_) => "subscribe",
            Self::Mute(_) => "mute",
            Self::Unmute(_) => "unmute",
            Self::Block(_) => "block",
            Self::Unblock(_) => "unblock",
            Self::Names(_) => "names",
            Self::Availability(_) => "availability",
            Self::Call(_) => "call",
            Self::Serve(_) => "serve",
            Self::Send(_) => "send",
            Self::Reply(_) => "reply",
            Self::Inbox(_) => "inbox",
            Self::Outbox(_) => "outbox",
            Self::Conv(_) => "conv",
            Self::History(_) => "history",
            Self::Schedule(_) => "schedule",
            Self::Watch(_) => "watch",
            Self::Dht(_) => "dht",
            Self::Bench(_) => "bench",
            Self::Id(_) => "id",
            Self::Export(_) => "export",
            Self::Import(_) => "import",
            Self::Completions { .. } => "completions",
            Self::Version => "version",
        }
    }
}

/// What came of reading the command line.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Something to do.
    Run(Box<Cli>),
    /// Help or version was asked for: to stdout, exit 0. The text holds ANSI colours.
    Show(String),
    /// No verb at all: the help, as an error (exit 2).
    NoVerb(String),
    /// Wrong words, with the verb they were for, as far as it is known.
    Wrong(Box<CliError>, &'static str),
}

/// Reads the command line. Never prints and never exits.
pub(crate) fn parse(words: &[OsString]) -> Parsed {
    let mut root = help::root();
    let failure = match root.try_get_matches_from_mut(words) {
        Ok(matches) => match read(&matches) {
            Ok(cli) => return Parsed::Run(Box::new(cli)),
            Err(error) => error,
        },
        Err(error) => error,
    };
    match failure.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Parsed::Show(failure.render().ansi().to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand if words.len() < 2 => {
            Parsed::NoVerb(root.render_help().ansi().to_string())
        }
        _ => {
            let verb = help::verb_of(&root, words);
            Parsed::Wrong(Box::new(explain::usage(&failure, &root, verb)), verb.unwrap_or("usage"))
        }
    }
}

/// The same tree for completion scripts.
pub(crate) fn tree() -> clap::Command {
    help::root()
}

/// `up` and what watches run for ever: a limit meant for questions, set in the environment, must not stop it.
fn read(matches: &ArgMatches) -> Result<Cli, clap::Error> {
    let mut cli = Cli::from_arg_matches(matches)?;
    let typed = |matches: &ArgMatches| matches.value_source("timeout") == Some(ValueSource::CommandLine);
    let typed = typed(matches) || matches.subcommand().is_some_and(|(_, sub)| typed(sub));
    let endless =
        matches!(cli.verb, Verb::Up(_) | Verb::Serve(_) | Verb::Watch(_) | Verb::Subscribe(_) | Verb::Logs(_));
    let endless = endless || matches!(&cli.verb, Verb::Conv(conv) if conv.is_endless());
    if endless && !typed {
        cli.global.timeout = None;
    }
    Ok(cli)
}

#[cfg(test)]
mod tests;
