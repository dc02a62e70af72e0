use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of gossip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Neighbours per swarm that get every event at once. 4 costs a third less, 10 is a fifth faster. Default 6.
    pub mesh: usize,
    /// How often the mesh is mended. Default 1 s.
    pub heartbeat: Duration,
    /// Neighbours are told that an event of at least this size need not be sent any more. Below it, telling costs more
    /// than it saves. Default 4 KiB.
    pub idontwant: usize,
    /// How long an event may wait for a slow neighbour; gossipsub's own 1 to 5 s lose events in bursts. Default 60 s.
    pub queue_time: Duration,
    /// Events waiting for one neighbour; with events of 64 KiB these are 16 MiB. Default 256.
    pub queue: usize,
    /// Swarms a peer may be in. Default 32.
    pub swarms_per_peer: usize,
    /// What one neighbour may bring of everybody's events together. Default 500 a second, 2,000 at once.
    pub per_source: Budget,
    /// How much of that may be by authors whom this node does not know to be members
    /// ([`Behaviour::know`](super::Behaviour::know)): a flood under many keys leaves room for the others. Default 100 a
    /// second, 1,000 at once.
    pub strangers: Budget,
    /// What one author may publish; more is not passed on. Default 20 events a second, 100 at once, and 1 MiB.
    pub per_author: Budget,
    /// What this node publishes; more is sent later. Default a little less than `per_author`.
    pub own: Budget,
    /// Events of this node waiting to be sent; more are refused. Default 1,024.
    pub outbox: usize,
    /// Do not pass accepted events on before [`Behaviour::report`](super::Behaviour::report) says so. Default off.
    pub await_verdict: bool,
}

/// How many events and bytes, per second and at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Events per second.
    pub events: f64,
    /// Events at once.
    pub burst: f64,
    /// Bytes per second.
    pub bytes: f64,
    /// Bytes at once.
    pub bytes_burst: f64,
}

/// What this node sends stays below what others take from one author: on its way a stream of events bunches up, and what
/// is over the limit then would be lost. The difference allows for a second of delay.
const OWN: Budget = Budget { events: 18.0, burst: 80.0, bytes: 0.9 * MIB, bytes_burst: 5.5 * MIB };

const MIB: f64 = 1024.0 * 1024.0;

/// 20 events and 1 MiB per second, 100 events and 7 MiB at once (100 of the largest events).
const AUTHOR: Budget = Budget { events: 20.0, burst: 100.0, bytes: MIB, bytes_burst: 7.0 * MIB };

impl Default for Config {
    fn default() -> Self {
        Self {
            mesh: 6,
            heartbeat: Duration::from_secs(1),
            idontwant: 4 * 1024,
            queue_time: Duration::from_secs(60),
            queue: 256,
            swarms_per_peer: 32,
            // A neighbour brings the events of everybody: one question to a hundred nodes makes hundreds of answers.
            per_source: Budget { events: 500.0, burst: 2_000.0, bytes: 8.0 * MIB, bytes_burst: 32.0 * MIB },
            // Most authors of a large swarm are strangers, who speak now and then.
            strangers: Budget { events: 100.0, burst: 1_000.0, bytes: 2.0 * MIB, bytes_burst: 16.0 * MIB },
            per_author: AUTHOR,
            own: OWN,
            outbox: 1_024,
            await_verdict: false,
        }
    }
}
