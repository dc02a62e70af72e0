//! `p2pnode call`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{
    given::{self, Given},
    value::{count, duration},
};

/// How stdin is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stdin {
    /// JSON arguments: a list is positional, an object is named, anything else is one argument.
    Json,
    /// The same in MessagePack.
    Msgpack,
    /// The bytes as one argument.
    Raw,
}

/// Which peer is taken where several match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pick {
    /// The nearest by round-trip time.
    #[default]
    Rtt,
    /// Any.
    Random,
}

/// Call an endpoint of a peer and print its result
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  p2pnode call calculator sum 1 2
  p2pnode call cap:resize image.resize @in.png -k width=320 --out out.png
  p2pnode call builder logs --stream

TARGET is a name, name@swarm, cap:X, role:X, an id or a prefix of it, host:port or a multiaddr.

An argument is JSON if it parses as JSON, the bytes of a file if it begins with @, else text. \
What begins with a dash and is no number goes after `--`.

Exits: 5 no such endpoint or name, 6 nobody there, 3 known but unreachable, 7 the handler failed."
)]
pub(crate) struct Call {
    /// Whom to call
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,

    /// What to call
    #[arg(value_name = "ENDPOINT", required_unless_present = "list")]
    #[serde(default)]
    pub(crate) endpoint: Option<String>,

    /// Arguments by position
    #[arg(value_name = "ARG")]
    #[serde(default)]
    pub(crate) args: Vec<Given>,

    /// Argument by name (repeatable)
    #[arg(short = 'k', long = "kwarg", value_name = "NAME=VALUE", value_parser = given::pair)]
    #[serde(default, rename = "kwargs", with = "given::named")]
    pub(crate) named: Vec<(String, Given)>,

    /// Read more arguments from stdin
    #[arg(long, value_name = "HOW", value_enum)]
    #[serde(skip)]
    pub(crate) stdin: Option<Stdin>,

    /// List what the peer offers
    #[arg(long, conflicts_with_all = ["endpoint", "args", "named", "stdin", "out", "repeat"])]
    #[serde(default)]
    pub(crate) list: bool,

    /// Write the result to a file; `-` is stdout, byte for byte
    #[arg(long, value_name = "FILE", conflicts_with = "repeat")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) out: Option<PathBuf>,

    /// Which peer to take if several match
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    #[serde(default)]
    pub(crate) pick: Pick,

    /// Take the result item by item, as it comes: at most 10 minutes, or `--timeout`
    #[arg(long, conflicts_with_all = ["list", "out", "repeat"])]
    #[serde(default)]
    pub(crate) stream: bool,

    /// Call this many times
    #[arg(long, value_name = "N", value_parser = count)]
    #[serde(default, deserialize_with = "given::maybe_count")]
    pub(crate) repeat: Option<u32>,

    /// Pause between repeated calls [default: 1s]
    #[arg(long, value_name = "DUR", value_parser = duration, requires = "repeat")]
    #[serde(default, with = "given::span::maybe")]
    pub(crate) interval: Option<Duration>,
}
