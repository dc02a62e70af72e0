//! A scenario file, and what is wrong with it.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Deserialize;

use super::{
    sybils::Sybils,
    threshold::Threshold,
    units::{Bandwidth, Churn, Rate, Size, Span},
};
use crate::net::{Fidelity, Latency, Model};

/// The newest version of scenario files.
const VERSION: u32 = 1;

/// More nodes than one process holds.
const MAX_NODES: usize = 20_000;

/// What is run: nodes, the network between them, what they do, what goes wrong, and what must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Version of this format: 1.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// One line.
    #[serde(default)]
    pub description: String,
    /// All chance comes from it. Default 1.
    #[serde(default = "one")]
    pub seed: u64,
    /// How long the nodes work, in virtual time.
    pub duration: Span,
    /// Time between the last join and the first work. Default 5 s.
    #[serde(default = "five_seconds")]
    pub warmup: Span,
    /// `direct`, `plain` or `noise`. Default `direct`.
    #[serde(default)]
    pub fidelity: Layers,
    /// The nodes.
    pub nodes: Nodes,
    /// The network.
    #[serde(default)]
    pub network: Network,
    /// Attackers. Default: none.
    #[serde(default)]
    pub sybils: Option<Sybils>,
    /// What the nodes do.
    #[serde(default)]
    pub workload: Vec<Workload>,
    /// What happens to them.
    #[serde(default)]
    pub event: Vec<Event>,
    /// What must hold in the end: metric and expression.
    #[serde(default)]
    pub thresholds: BTreeMap<String, Threshold>,
}

fn one() -> u64 {
    1
}

fn five_seconds() -> Span {
    Span(Duration::from_secs(5))
}

/// [`Fidelity`] as it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layers {
    /// See [`Fidelity::Direct`].
    #[default]
    Direct,
    /// See [`Fidelity::Plain`].
    Plain,
    /// See [`Fidelity::Noise`].
    Noise,
}

impl From<Layers> for Fidelity {
    fn from(layers: Layers) -> Self {
        match layers {
            Layers::Direct => Self::Direct,
            Layers::Plain => Self::Plain,
            Layers::Noise => Self::Noise,
        }
    }
}

/// The nodes of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// How many.
    pub count: usize,
    /// How they come. Default: at random moments of 3 s.
    #[serde(default)]
    pub join: Join,
    /// So many of them share a public /24; at most 254. Default 1: each has its own.
    #[serde(default = "one_node")]
    pub per_network: usize,
    /// The first so many are the bootstrap peers of all. Default 1.
    #[serde(default = "one_node")]
    pub bootstrap: usize,
    /// The clock of each node is wrong by a fixed time, drawn evenly up to this, ahead or behind. Default: all are right.
    #[serde(default = "no_time")]
    pub clock_skew: Span,
    /// Kinds of nodes; without any, all alike.
    #[serde(default)]
    pub roles: Vec<Role>,
}

fn one_node() -> usize {
    1
}

fn no_time() -> Span {
    Span(Duration::ZERO)
}

/// How nodes come.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// One after the other at equal steps, or all at once.
    #[serde(default)]
    pub pattern: Pattern,
    /// Within this time.
    #[serde(default = "three_seconds")]
    pub over: Span,
}

impl Default for Join {
    fn default() -> Self {
        Self { pattern: Pattern::Ramp, over: three_seconds() }
    }
}

fn three_seconds() -> Span {
    Span(Duration::from_secs(3))
}

/// When each node comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// At equal steps.
    #[default]
    Ramp,
    /// At random moments.
    Random,
    /// All at once.
    Burst,
}

/// A kind of nodes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name, for `from` of a workload.
    pub name: String,
    /// Share of all nodes.
    pub share: f64,
    /// What these nodes can do.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// The network of a scenario.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// One-way times. Default: log-normal, median 30 ms, p99 180 ms.
    pub latency: Option<Dist>,
    /// Up to so much more each time. Default 2 ms.
    pub jitter: Option<Span>,
    /// Share of segments sent again. Default 0.
    pub loss: f64,
    /// Of each node's uplink. Default 20 Mbit/s.
    pub bandwidth: Option<Bandwidth>,
    /// Shares of nodes behind a NAT. Default: none.
    pub nat: Nats,
}

/// Shares of nodes behind a NAT. Bootstrap peers never are.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nats {
    /// Reached only by those they have dialled themselves.
    pub cone: f64,
    /// Reached by nobody.
    pub symmetric: f64,
}

/// A distribution of one-way times.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(tag = "dist", rename_all = "lowercase", deny_unknown_fields)]
pub enum Dist {
    /// All alike.
    Fixed {
        /// Each.
        time: Span,
    },
    /// Anything between.
    Uniform {
        /// At least.
        min: Span,
        /// At most.
        max: Span,
    },
    /// Many near, few far.
    Lognormal {
        /// Half of them are nearer.
        median: Span,
        /// One of a hundred is further.
        p99: Span,
    },
    /// At random places on a square.
    Plane {
        /// From corner to corner.
        diagonal: Span,
        /// Between neighbours.
        least: Span,
    },
}

impl Network {
    pub(crate) fn model(&self) -> Model {
        let default = Model::default();
        let latency = self.latency.map_or(default.latency, |dist| match dist {
            Dist::Fixed { time } => Latency::Fixed(time.0),
            Dist::Uniform { min, max } => Latency::Uniform { min: min.0, max: max.0 },
            Dist::Lognormal { median, p99 } => Latency::LogNormal { median: median.0, p99: p99.0 },
            Dist::Plane { diagonal, least } => Latency::Plane { diagonal: diagonal.0, least: least.0 },
        });
        Model {
            latency,
            jitter: self.jitter.map_or(default.jitter, |jitter| jitter.0),
            loss: self.loss,
            bandwidth: self.bandwidth.map_or(default.bandwidth, |bandwidth| Some(bandwidth.0)),
        }
    }
}

/// What nodes do, again and again.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Workload {
    /// A random node says something to all.
    Broadcast {
        /// How often, all together.
        rate: Rate,
        /// How large. Default 512 B.
        #[serde(default = "half_a_kilobyte")]
        size: Size,
        /// Only nodes of this role.
        #[serde(default)]
        from: Option<String>,
        /// Begins so long after the warm-up. Default at once.
        #[serde(default)]
        after: Option<Span>,
    },
    /// A random node asks all; everybody else answers.
    Ask {
        /// How often, all together.
        rate: Rate,
        /// Only nodes of this role.
        #[serde(default)]
        from: Option<String>,
        /// Begins so long after the warm-up. Default at once.
        #[serde(default)]
        after: Option<Span>,
    },
    /// A random node looks up where another one is.
    Lookup {
        /// How often, all together.
        rate: Rate,
        /// Begins so long after the warm-up. Default at once.
        #[serde(default)]
        after: Option<Span>,
    },
    /// A random node looks for who can do something.
    Search {
        /// How often, all together.
        rate: Rate,
        /// What must be found: a capability of a role.
        capability: String,
        /// Begins so long after the warm-up. Default at once.
        #[serde(default)]
        after: Option<Span>,
    },
    /// A random node reads one of the values that were published before or after attackers came.
    Read {
        /// How often, all together.
        rate: Rate,
        /// Begins so long after the warm-up. Default at once.
        #[serde(default)]
        after: Option<Span>,
    },
    /// A random node finds members that can do something, as programs do: by their cards.
    Find {
        /// How often, all together.
        rate: Rate,
        /// What must be found: a capability of a role.
        capability: String,
        /// At most so many. Default 1.
        #[serde(default = "one_node")]
        limit: usize,
        /// Begins so long after the warm-up. Default at once.
        #[serde(default)]
        after: Option<Span>,
    },
}

fn half_a_kilobyte() -> Size {
    Size(512)
}

/// What happens once, or from a moment on.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Event {
    /// Nodes are parted.
    Partition {
        /// When, after the warm-up.
        at: Span,
        /// Shares of the nodes, in the order of their numbers.
        #[serde(default = "halves")]
        groups: Vec<f64>,
        /// The first group still hears the second.
        #[serde(default)]
        one_way: bool,
        /// So many nodes hear both.
        #[serde(default)]
        bridge: usize,
        /// Ends so much later. Default: never.
        #[serde(default)]
        heal_after: Option<Span>,
    },
    /// Nodes crash and come back.
    Churn {
        /// When it begins.
        at: Span,
        /// How many how often.
        rate: Churn,
        /// Each comes back after. Default: never.
        #[serde(default)]
        restart_after: Option<Span>,
        /// Ends so much later. Default: never.
        #[serde(default)]
        until: Option<Span>,
    },
    /// Some nodes crash at once.
    Crash {
        /// When.
        at: Span,
        /// Which share.
        share: f64,
        /// They come back after. Default: never.
        #[serde(default)]
        restart_after: Option<Span>,
    },
    /// Some nodes say goodbye and end.
    Leave {
        /// When.
        at: Span,
        /// Which share.
        share: f64,
    },
    /// Some nodes are cut off for good: nothing is closed, nothing answers.
    Vanish {
        /// When.
        at: Span,
        /// Which share.
        share: f64,
    },
    /// Nothing happens: what the nodes cost then is measured, `quiet.*`.
    Quiet {
        /// From when.
        at: Span,
        /// For how long.
        lasts: Span,
    },
    /// Some nodes stand still.
    Pause {
        /// When.
        at: Span,
        /// Which share.
        share: f64,
        /// For how long.
        lasts: Span,
    },
    /// Everything to and from some nodes takes longer.
    Slow {
        /// When.
        at: Span,
        /// Which share.
        share: f64,
        /// By so much.
        by: Span,
        /// For how long. Default: to the end.
        #[serde(default)]
        lasts: Option<Span>,
    },
    /// Somebody comes late, and looks for members that can do something.
    Newcomer {
        /// When.
        at: Span,
        /// Capabilities of roles; each must be found.
        finds: Vec<String>,
    },
}

fn halves() -> Vec<f64> {
    vec![0.5, 0.5]
}

/// What is wrong with a scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl Scenario {
    /// Reads a scenario; `name` is the file, for errors.
    ///
    /// # Errors
    /// [`Wrong`]: file, line, what is wrong there, and what may be meant.
    pub fn parse(name: &str, text: &str) -> Result<Self, Wrong> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let meant = meant(error.message()).map(|meant| format!("\nhelp: did you mean `{meant}`?"));
            Wrong(format!("{name}: {}{}", error.to_string().trim_end(), meant.unwrap_or_default()))
        })?;
        scenario.check().map_err(|(key, why)| Wrong(format!("{name}{}: {why}", line_of(text, key))))?;
        Ok(scenario)
    }

    /// Whether who is taken for there is watched: it is not cheap.
    pub(super) fn watches_presence(&self) -> bool {
        let gone = |event: &Event| matches!(event, Event::Leave { .. } | Event::Vanish { .. });
        self.thresholds.keys().any(|metric| metric.starts_with("presence.")) || self.event.iter().any(gone)
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let count = self.nodes.count;
        if self.version != VERSION {
            return Err(("version", format!("version {} is unknown here, the newest is {VERSION}", self.version)));
        }
        if !(2..=MAX_NODES).contains(&count) {
            return Err(("count", format!("count = {count}: at least 2 nodes, at most {MAX_NODES}")));
        }
        if self.nodes.bootstrap == 0 || self.nodes.bootstrap > count {
            return Err(("bootstrap", format!("bootstrap = {}: from 1 to {count}", self.nodes.bootstrap)));
        }
        if !(1..=254).contains(&self.nodes.per_network) {
            return Err(("per_network", format!("per_network = {}: from 1 to 254", self.nodes.per_network)));
        }
        if let Some(sybils) = &self.sybils {
            sybils.check(&self.nodes)?;
        }
        if self.duration.0.is_zero() {
            return Err(("duration", "duration must be more than nothing".into()));
        }
        let share = |key, share: f64| {
            if (0.0..=1.0).contains(&share) { Ok(()) } else { Err((key, format!("{key} = {share}: from 0 to 1"))) }
        };
        share("loss", self.network.loss)?;
        share("nat", self.network.nat.cone + self.network.nat.symmetric)?;
        for role in &self.nodes.roles {
            share("share", role.share)?;
        }
        let roles: f64 = self.nodes.roles.iter().map(|role| role.share).sum();
        if roles > 1.000_001 {
            return Err(("roles", format!("the shares of all roles are {roles}, more than 1")));
        }
        for workload in &self.workload {
            match workload {
                Workload::Broadcast { from: Some(role), .. } | Workload::Ask { from: Some(role), .. }
                    if !self.nodes.roles.iter().any(|known| known.name == *role) =>
                {
                    return Err(("from", format!("no role is named \"{role}\"")));
                }
                Workload::Read { .. } if self.sybils.as_ref().is_none_or(|sybils| sybils.values == 0) => {
                    return Err(("kind = \"read\"", "no values are published: sybils.values".into()));
                }
                Workload::Search { capability, .. } | Workload::Find { capability, .. }
                    if !self.nodes.roles.iter().any(|role| role.capabilities.contains(capability)) =>
                {
                    return Err(("capability", format!("no role has the capability \"{capability}\"")));
                }
                _ => {}
            }
        }
        for event in &self.event {
            match event {
                Event::Partition { groups, .. } => {
                    let all: f64 = groups.iter().sum();
                    if groups.len() < 2 || groups.iter().any(|group| *group < 0.0) || all > 1.000_001 {
                        return Err(("groups", "groups: two shares or more, at most 1 together".into()));
                    }
                }
                Event::Crash { share: part, .. }
                | Event::Leave { share: part, .. }
                | Event::Vanish { share: part, .. }
                | Event::Pause { share: part, .. }
                | Event::Slow { share: part, .. } => {
                    share("share", *part)?;
                }
                Event::Newcomer { finds, .. } => {
                    let unknown =
                        |name: &&String| !self.nodes.roles.iter().any(|role| role.capabilities.contains(name));
                    if let Some(name) = finds.iter().find(unknown) {
                        return Err(("finds", format!("no role has the capability \"{name}\"")));
                    }
                }
                Event::Churn { .. } | Event::Quiet { .. } => {}
            }
        }
        Ok(())
    }
}

/// `:3` for the line where a key is first set.
fn line_of(text: &str, key: &str) -> String {
    let at = text.lines().position(|line| line.trim_start().starts_with(key) || line.contains(&format!("{key} =")));
    at.map_or_else(String::new, |at| format!(":{}", at + 1))
}

/// From "unknown field `conut`, expected one of `count`, `join`": the nearest.
fn meant(message: &str) -> Option<String> {
    let mut words = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown ") {
        return None;
    }
    let written = words.next()?;
    let near = words.map(|word| (strsim::damerau_levenshtein(written, word), word)).min()?;
    (near.0 <= 2.max(written.len() / 3)).then(|| near.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "version = 1\nname = \"small\"\nduration = \"10s\"\n[nodes]\ncount = 5\n";

    #[test]
    fn a_small_one_has_defaults() {
        let scenario = Scenario::parse("small.toml", SMALL).expect("a scenario");
        assert_eq!((scenario.seed, scenario.nodes.bootstrap, scenario.fidelity), (1, 1, Layers::Direct));
        assert_eq!(scenario.network.model(), Model::default());
    }

    #[test]
    fn errors_name_file_line_and_what_may_be_meant() {
        let wrong = |text: &str| Scenario::parse("x.toml", text).expect_err("wrong").to_string();
        let typo = wrong(&SMALL.replace("count", "conut"));
        assert!(typo.contains("x.toml") && typo.contains("line 5") && typo.contains("^^^^^"), "{typo}");
        assert!(typo.contains("did you mean `count`?"), "{typo}");
        let few = wrong(&SMALL.replace("count = 5", "count = 1"));
        assert_eq!(few, "x.toml:5: count = 1: at least 2 nodes, at most 20000");
        let kind = wrong(&format!("{SMALL}[[workload]]\nkind = \"brodcast\"\nrate = \"1/s\"\n"));
        assert!(kind.contains("did you mean `broadcast`?"), "{kind}");
        let unit = wrong(&SMALL.replace("\"10s\"", "\"10 parsecs\""));
        assert!(unit.contains("line 3") && unit.contains("no time"), "{unit}");
        let threshold = wrong(&format!("{SMALL}[thresholds]\n\"gossip.delivery_ratio\" = \"> = 3\"\n"));
        assert!(threshold.contains("line 7"), "{threshold}");
        assert!(
            wrong(&format!("{SMALL}[[workload]]\nkind = \"ask\"\nrate = \"1/s\"\nfrom = \"boss\"\n")).contains("boss")
        );
    }
}
