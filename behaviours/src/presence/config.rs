use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of presence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Take part: tell others of this node, and learn of members without a connection. Default on.
    pub enabled: bool,
    /// Members known per swarm, those that are gone included, at some 500 bytes each; of a larger swarm the nearest ones
    /// to the swarm's id, so that all know the same. Default 4,096.
    pub members: usize,
    /// Neighbours that are told at once of what is new. Default 12.
    pub fanout: usize,
    /// What is new waits so long for more of it, after something was sent to that neighbour. Default 150 ms.
    pub batch: Duration,
    /// How long a member that does not answer has for saying that it is there. Default 3 s.
    pub suspicion: Duration,
    /// The same when two members say that it does not answer. Default 2 s.
    pub confirmed: Duration,
    /// A neighbour that has been silent for so long is asked whether it is there. Default 7 s.
    pub probe: Duration,
    /// Whether it answers is decided after this time. Default 5 s.
    pub probe_timeout: Duration,
    /// The connection with one that does not is closed so long after. Default 5 s.
    pub hang_up: Duration,
    /// One neighbour is compared with so often, ±30 %. Default 30 s.
    pub compare: Duration,
    /// Members that are gone are remembered so long, so that nobody brings them back. Default 10 min.
    pub remember: Duration,
    /// New words that one neighbour may bring per second. Default 300.
    pub words: f64,
    /// How many of them at once: a newcomer gets the whole list. Default 8,192.
    pub words_burst: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            members: 4_096,
            fanout: 12,
            batch: Duration::from_millis(150),
            suspicion: Duration::from_secs(3),
            confirmed: Duration::from_secs(2),
            probe: Duration::from_secs(7),
            probe_timeout: Duration::from_secs(5),
            hang_up: Duration::from_secs(5),
            compare: Duration::from_secs(30),
            remember: Duration::from_secs(600),
            words: 300.0,
            words_burst: 8_192.0,
        }
    }
}
