use serde::{Deserialize, Serialize};

/// Settings of the hello behaviour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Program name and version shown to peers, at most 64 characters. Default `p2pnode/<version>`.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub agent: String,
    /// Do not tell the names of open swarms to peers that are not in them. Default off.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub hidden: bool,
    /// This node lives for one command: peers do not pass its card on. Default off.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub ephemeral: bool,
    /// Members remembered per swarm, to be passed on to newcomers. Default 1,024.
    pub members: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agent: concat!("p2pnode/", env!("CARGO_PKG_VERSION")).into(),
            hidden: false,
            ephemeral: false,
            members: 1_024,
        }
    }
}
