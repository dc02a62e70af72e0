//! Attackers of a scenario.

use std::time::Duration;

use serde::Deserialize;

use super::{file::Nodes, units::Span};

/// Attackers at most: each is a Swarm.
const MAX: usize = 10_000;

/// Attackers: one owner's identities, which get into routing tables, tell only of each other and keep nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sybils {
    /// How many.
    pub count: usize,
    /// In so many public /24s, by turns. Default 1.
    #[serde(default = "one")]
    pub networks: usize,
    /// The capability whose key in the DHT they surround; without one they have any ids.
    #[serde(default)]
    pub near: Option<String>,
    /// Keys that are tried for each of them, to lie near. Default 1,000.
    #[serde(default = "thousand")]
    pub trials: usize,
    /// They come so long after the warm-up.
    pub at: Span,
    /// Within this time. Default 20 s.
    #[serde(default = "twenty_seconds")]
    pub over: Span,
    /// So long after the last of them they count as established: then late nodes come, late values are published, and
    /// what is poisoned is sent. Default 20 s.
    #[serde(default = "twenty_seconds")]
    pub settle: Span,
    /// Nodes that each of them gets to know: the nearest to the key it surrounds, if any, and others. Default 30.
    #[serde(default = "thirty")]
    pub dials: usize,
    /// They claim to be each in a network of its own, too, and tell of each other as providers, and of forged values.
    #[serde(default)]
    pub lies: bool,
    /// Honest nodes with the capability `near` that come late. Default 0.
    #[serde(default)]
    pub late: usize,
    /// Values that nodes publish before they come, and as many after. Default 0.
    #[serde(default)]
    pub values: usize,
    /// Forged, stale, foreign and too large records that they send to those who keep the values. Default 0.
    #[serde(default)]
    pub poison: usize,
}

fn one() -> usize {
    1
}

fn thirty() -> usize {
    30
}

fn thousand() -> usize {
    1_000
}

fn twenty_seconds() -> Span {
    Span(Duration::from_secs(20))
}

impl Sybils {
    /// What the types cannot say: the key, and why not.
    pub(super) fn check(&self, nodes: &Nodes) -> Result<(), (&'static str, String)> {
        if self.networks == 0 || self.count > MAX {
            return Err((
                "networks",
                format!("{} in {} networks: at most {MAX}, in one at least", self.count, self.networks),
            ));
        }
        let known = |name: &String| nodes.roles.iter().any(|role| role.capabilities.contains(name));
        match &self.near {
            Some(name) if !known(name) => Err(("near", format!("no role has the capability \"{name}\""))),
            None if self.late > 0 => Err(("late", "late nodes have the capability that `near` names".into())),
            _ if self.poison > 0 && self.values == 0 => Err(("poison", "there are no values to be poisoned".into())),
            _ => Ok(()),
        }
    }
}
