//! `p2pnode schedule`: what the running node does by itself.

use std::time::Duration;

use clap::{
    ArgGroup, Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use p2pnode::{
    Action,
    schedule::{CatchUp, Overlap},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    given,
    value::{count, duration},
};

/// Let the running node act by itself: every so often, by a cron expression, with the sun
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(transparent)]
#[command(after_help = "\
Examples:
  p2pnode schedule add digest 'cron 0 9 * * mon-fri Europe/London' --ask garden \"daily digest\"
  p2pnode schedule add backup 'every 6h jitter 10m' --exec './backup.sh --all' --overlap skip
  p2pnode schedule next 'solar sunset-30m 51.5 -0.1' -n 7

WHEN is `every TIME`, `cron FIELDS [ZONE]` with five fields, six with seconds in front, or a nickname such as @daily, or \
`solar EVENT LATITUDE LONGITUDE [ZONE]`; events are sunrise, sunset, dawn, dusk, noon and others. Times are in UTC unless a \
zone is named. Schedules belong to the node that runs, and outlast it.")]
pub(crate) struct Schedule {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Schedule {
    /// Whether it changes what a running node does.
    pub(crate) fn needs_node(&self) -> bool {
        !matches!(self.verb, Verb::List {} | Verb::Next(_))
    }

    /// Whether it is about an expression alone.
    pub(crate) fn is_pure(&self) -> bool {
        matches!(&self.verb, Verb::Next(next) if next.is_expression())
    }
}

/// What to do with schedules.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Verb {
    /// List all, with their next and last runs; also while no node runs
    List {},
    /// Add one; the same one twice is no error
    Add(Box<Add>),
    /// Remove one
    Rm {
        /// Which one
        name: String,
    },
    /// Run one now, out of turn
    Run {
        /// Which one
        name: String,
    },
    /// Start no runs of one until it is resumed
    Pause {
        /// Which one
        name: String,
    },
    /// Go on with one; what was due meanwhile is left out
    Resume {
        /// Which one
        name: String,
    },
    /// Print the times of the next runs; an expression needs no node
    Next(Next),
}

/// A schedule to be added.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(
    allow_negative_numbers = true,
    group = ArgGroup::new("what").required(true).multiple(false),
    after_help = "\
Exits: 0 added, or there already, 2 WHEN is wrong, 3 no node runs, 8 another one has the name."
)]
pub(crate) struct Add {
    /// What to call it
    pub(crate) name: String,

    /// When it runs, as one word: quote it
    pub(crate) when: String,

    /// Put a question to a swarm
    #[arg(long, num_args = 2, value_names = ["SWARM", "TEXT"], group = "what")]
    #[serde(skip)]
    pub(crate) ask: Vec<String>,

    /// Call an endpoint of all who serve it
    #[arg(long, num_args = 2.., value_names = ["SWARM", "ENDPOINT", "ARG"], group = "what")]
    #[serde(skip)]
    pub(crate) broadcast: Vec<String>,

    /// Tell the swarm that something happened
    #[arg(long, num_args = 1..=2, value_names = ["SUBJECT", "DATA"], group = "what")]
    #[serde(skip)]
    pub(crate) emit: Vec<String>,

    /// Run a program; split by shell rules, no shell runs
    #[arg(long, value_name = "CMD", group = "what")]
    #[serde(skip)]
    pub(crate) exec: Option<String>,

    /// What the words above mean, once they were read.
    #[arg(skip)]
    pub(crate) action: Option<Action>,

    /// Each run comes up to so much later
    #[arg(long, value_name = "DUR", value_parser = duration)]
    #[serde(default, with = "given::span::maybe")]
    pub(crate) jitter: Option<Duration>,

    /// When the run before has not ended: run both, leave one out, or wait
    #[arg(long, value_name = "HOW", default_value = "allow", value_parser = word::<Overlap>(&["allow", "skip", "queue"]))]
    #[serde(default)]
    pub(crate) overlap: Overlap,

    /// How many of the runs that were missed are made up for
    #[arg(long, value_name = "HOW", default_value = "none", value_parser = word::<CatchUp>(&["none", "one", "all"]))]
    #[serde(default)]
    pub(crate) catch_up: CatchUp,

    /// Also run at once, and whenever the node starts [default for `every`]
    #[arg(long, conflicts_with = "no_run_now")]
    #[serde(default)]
    pub(crate) run_now: bool,

    /// Wait for the first time [default for `cron` and `solar`]
    #[arg(long)]
    #[serde(default)]
    pub(crate) no_run_now: bool,

    /// Time zone, if WHEN names none [default: UTC]
    #[arg(long, value_name = "ZONE")]
    #[serde(default)]
    pub(crate) tz: Option<String>,

    /// Put it in the place of another one of that name
    #[arg(long)]
    #[serde(default)]
    pub(crate) replace: bool,
}

/// Which runs to tell of.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Next {
    /// A schedule of the node, or an expression; without it, the next run of each schedule
    #[arg(value_name = "NAME|WHEN")]
    #[serde(default)]
    pub(crate) what: Option<String>,

    /// So many times [default: 5]
    #[arg(short = 'n', long, value_name = "N", value_parser = count)]
    #[serde(default, deserialize_with = "given::maybe_count")]
    pub(crate) count: Option<u32>,

    /// Begin with this day or time instead of now
    #[arg(long, value_name = "DATE")]
    #[serde(default)]
    pub(crate) from: Option<String>,

    /// Time zone, if the expression names none [default: UTC]
    #[arg(long, value_name = "ZONE")]
    #[serde(default)]
    pub(crate) tz: Option<String>,
}

/// Words that an expression begins with.
const KINDS: [&str; 3] = ["every", "cron", "solar"];

impl Next {
    /// Whether the words are an expression, which needs no node: names have no spaces.
    pub(crate) fn is_expression(&self) -> bool {
        let what = self.what.as_deref().unwrap_or_default().trim();
        what.contains(char::is_whitespace) || KINDS.iter().any(|kind| kind.eq_ignore_ascii_case(what))
    }
}

/// One of several words, as serde reads it.
fn word<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    words: &'static [&'static str],
) -> impl clap::builder::TypedValueParser<Value = T> {
    PossibleValuesParser::new(words.iter().copied()).try_map(|word| serde_json::from_value(word.into()))
}
