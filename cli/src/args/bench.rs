//! `p2pnode bench`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::value::{bytes, count, duration};

/// Calls under way at once: as many as a node takes from one peer; an endpoint may take fewer.
const IN_FLIGHT_MAX: u32 = 512;

/// Per second: more is measured without `--rate`, and less than one in a quarter of an hour by nobody.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1e6;

/// Nodes of `bench gossip`, in one process: some 5 MiB of memory, and a hundred file descriptors, each.
pub(crate) const NODES_MAX: u32 = 100;

/// Measure calls, gossip and the directory
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  p2pnode bench rpc reviewer -c 8 -z 10s
  p2pnode bench rpc reviewer --rate 500 --endpoint echo --size 1k
  p2pnode bench gossip --nodes 20
  p2pnode bench dht garden

Each measures with nodes of its own, never through a running one; what is still under way two seconds after \
the end has failed. --json ends with a line of kind \
`summary`, in which `histogram` has [microseconds, how many] for each value, also after Ctrl-C.")]
pub(crate) struct Bench {
    /// What to measure.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    Rpc(Rpc),
    Gossip(Gossip),
    Dht(Dht),
}

impl Verb {
    /// The word typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Rpc(_) => "rpc",
            Self::Gossip(_) => "gossip",
            Self::Dht(_) => "dht",
        }
    }
}

/// How many, or for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Length {
    /// For how long [default: 10s, or as long as -n takes]
    #[arg(short = 'z', long, value_name = "DUR", value_parser = span)]
    pub(crate) duration: Option<Duration>,

    /// How many
    #[arg(short = 'n', long, value_name = "N", value_parser = count)]
    pub(crate) count: Option<u32>,
}

/// Call an endpoint of a peer again and again
///
/// Without --rate each caller calls again as soon as it has its answer (closed loop): that shows what can be had. With
/// --rate calls are due at fixed times, and each is measured from when it was due (open loop): a call that has to wait
/// for slow ones before it is slow as well, as it is for users.
#[derive(Debug, Clone, Args)]
pub(crate) struct Rpc {
    /// Whom to call
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,

    /// What to call
    #[arg(long, value_name = "NAME", default_value = "_node.ping")]
    pub(crate) endpoint: String,

    /// Bytes of the one argument; without it there is none
    #[arg(long, value_name = "BYTES", value_parser = bytes, requires = "endpoint")]
    pub(crate) size: Option<u64>,

    /// Calls under way at once, at most [default: 8; 256 with --rate]
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(IN_FLIGHT_MAX)))]
    pub(crate) concurrency: Option<u32>,

    /// Calls per second, due at fixed times
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    #[command(flatten)]
    pub(crate) length: Length,
}

/// Let nodes of this process say things to each other
///
/// They are connected over loopback, in a swarm that nobody else is in, and take turns in saying something.
#[derive(Debug, Clone, Args)]
pub(crate) struct Gossip {
    /// Nodes
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(2..=i64::from(NODES_MAX)))]
    pub(crate) nodes: u32,

    /// Messages
    #[arg(short = 'n', long, value_name = "N", default_value = "100", value_parser = count)]
    pub(crate) count: u32,

    /// Messages per second, of all together; one node sends 18 a second at most, and more wait
    #[arg(long, value_name = "R", default_value = "20", value_parser = rate)]
    pub(crate) rate: f64,

    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value = "128", value_parser = bytes)]
    pub(crate) size: u64,
}

/// Look random keys up in the directory of a swarm
///
/// Each lookup walks to the nodes nearest to a key that nobody has announced: what a search costs that finds nobody
/// sooner.
#[derive(Debug, Clone, Args)]
pub(crate) struct Dht {
    /// In which swarm
    #[arg(value_name = "SWARM")]
    pub(crate) bench_swarm: Option<String>,

    /// Lookups under way at once, at most
    #[arg(short = 'c', long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) concurrency: u32,

    #[command(flatten)]
    pub(crate) length: Length,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (RATE_MIN..=RATE_MAX).contains(rate));
    rate.ok_or_else(|| format!("`{text}` is no number of things per second, from {RATE_MIN} to {RATE_MAX:.0}"))
}

fn span(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    if span.is_zero() { Err("nothing can be measured in no time".to_owned()) } else { Ok(span) }
}
