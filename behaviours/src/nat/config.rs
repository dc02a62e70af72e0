use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a node has to do with circuits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relay {
    /// It uses those of others, and reserves a place with members that offer one when it cannot be reached itself.
    #[default]
    Auto,
    /// Nothing.
    Off,
    /// As `Auto`, and it carries circuits for members.
    Server,
}

/// Settings of reaching and being reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What it has to do with circuits.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub relay: Relay,
    /// Let the router open ports. Default off.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub upnp: bool,
    /// Find out whether others reach it: off in nodes that live for one command. Default on.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub probe: bool,
    /// Reserve places also where nothing shows that they are needed. Default off.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub always_reserve: bool,
    /// Relays with which a node that cannot be reached reserves a place. Default 2.
    pub relays: usize,
    /// Places that a relay gives to members. Default 64.
    pub reservations: usize,
    /// Circuits that a relay carries at once. Default 32.
    pub circuits: usize,
    /// Of these, from one member. Default 8.
    pub circuits_per_peer: usize,
    /// Bytes over one circuit, both ways together; then it is cut. Default 4 Mi.
    pub circuit_bytes: u64,
    /// A circuit is cut after this time: it is meant for the way to a direct connection. Default 5 min.
    pub circuit_time: Duration,
    /// A place is given for this long; who has it renews it in time. Default 60 min.
    pub reservation_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            relay: Relay::Auto,
            upnp: false,
            probe: true,
            always_reserve: false,
            relays: 2,
            reservations: 64,
            circuits: 32,
            circuits_per_peer: 8,
            circuit_bytes: 4 * 1024 * 1024,
            circuit_time: Duration::from_secs(5 * 60),
            reservation_time: Duration::from_secs(60 * 60),
        }
    }
}
