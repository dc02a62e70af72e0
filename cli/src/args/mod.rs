//! The command line: one struct per verb, global options, help.

pub(crate) mod ask;
pub(crate) mod call;
pub(crate) mod dht;
mod explain;
pub(crate) mod global;
mod help;
pub(crate) mod id;
pub(crate) mod look;
pub(crate) mod reach;
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
    /// Wait until something is there
    Wait(reach::Wait),
    /// List the swarms that can be seen from here
    Swarms(look::Swarms),
    /// List the peers of one swarm
    Members(look::Members),
    /// List the peers that can be seen from here
    Peers(look::Peers),
    Peer(look::Peer),
    /// Find nodes through the directory, also those that are no neighbours
    Find(look::Find),
    /// Measure the round trip to a peer and show the path
    Ping(reach::Ping),
    /// Ask a swarm, or one peer; acks and replies stream in
    Ask(ask::Ask),
    /// Call an endpoint of everybody in a swarm who serves it
    Broadcast(talk::Broadcast),
    /// Tell a swarm that something happened
    Emit(talk::Emit),
    /// Print what is emitted, as it comes
    Subscribe(talk::Subscribe),
    /// Call an endpoint of a peer and print its result
    Call(call::Call),
    /// Make a program callable in a swarm
    Serve(Box<talk::Serve>),
    /// Watch a swarm: joins, leaves, questions, answers
    Watch(talk::Watch),
    /// Read and write the distributed hash table
    Dht(dht::Dht),
    /// Show, make, save and restore the identity of a profile
    Id(id::Id),
    /// Print a completion script: bash, zsh, fish, elvish or powershell
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

impl Verb {
    /// The word typed, which is also `kind` in JSON.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Wait(_) => "wait",
            Self::Swarms(_) => "swarms",
            Self::Members(_) => "members",
            Self::Peers(_) => "peers",
            Self::Peer(_) => "peer",
            Self::Find(_) => "find",
            Self::Ping(_) => "ping",
            Self::Ask(_) => "ask",
            Self::Broadcast(_) => "broadcast",
            Self::Emit(_) => "emit",
            Self::Subscribe(_) => "subscribe",
            Self::Call(_) => "call",
            Self::Serve(_) => "serve",
            Self::Watch(_) => "watch",
            Self::Dht(_) => "dht",
            Self::Id(_) => "id",
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
    let endless = matches!(cli.verb, Verb::Up(_) | Verb::Serve(_) | Verb::Watch(_) | Verb::Subscribe(_));
    if endless && !typed {
        cli.global.timeout = None;
    }
    Ok(cli)
}

#[cfg(test)]
mod tests;
