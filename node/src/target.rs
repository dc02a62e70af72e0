//! How people name a peer, and which one they mean; pure.

use std::{convert::Infallible, fmt, str::FromStr, time::Duration};

use libp2p::{Multiaddr, PeerId};
use p2pnode_wire::{error::ErrorCode, ids::SwarmName};

use crate::{addr::BootstrapAddr, peers::PeerState};

/// Characters of an id that must be given at least.
const PREFIX_MIN: usize = 6;

/// Similar names offered.
const NEAR_MAX: usize = 3;

/// A peer by name, `name@swarm`, `cap:NAME`, `role:NAME`, id, unique prefix of an id, address, or `.` for this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Own,
    Id(PeerId),
    Address(Box<BootstrapAddr>),
    Capability(String),
    Role(String),
    /// A name, or the beginning of an id.
    Name {
        name: String,
        swarm: Option<String>,
    },
}

impl Target {
    fn parse(text: &str) -> Kind {
        if text == "." {
            return Kind::Own;
        }
        if let Ok(id) = text.parse() {
            return Kind::Id(id);
        }
        if let Some(name) = text.strip_prefix("cap:") {
            return Kind::Capability(name.to_owned());
        }
        if let Some(name) = text.strip_prefix("role:") {
            return Kind::Role(name.to_owned());
        }
        // A bare host name looks like a node's name; only a port or a slash makes it an address.
        if (text.starts_with('/') || text.contains(':'))
            && let Ok(addr) = text.parse()
        {
            return Kind::Address(Box::new(addr));
        }
        match text.rsplit_once('@') {
            Some((name, swarm)) => Kind::Name { name: name.to_owned(), swarm: Some(plain(swarm)) },
            None => Kind::Name { name: text.to_owned(), swarm: None },
        }
    }

    pub(crate) fn is_self(&self) -> bool {
        self.kind == Kind::Own
    }

    pub(crate) fn peer_id(&self) -> Option<PeerId> {
        match self.kind {
            Kind::Id(id) => Some(id),
            _ => None,
        }
    }

    pub(crate) fn address(&self) -> Option<&BootstrapAddr> {
        match &self.kind {
            Kind::Address(addr) => Some(addr),
            _ => None,
        }
    }

    pub(crate) fn capability(&self) -> Option<&str> {
        match &self.kind {
            Kind::Capability(name) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name { name, .. } => Some(name),
            _ => None,
        }
    }

    pub(crate) fn swarm(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name { swarm, .. } => swarm.as_deref(),
            _ => None,
        }
    }

    /// Which of the known ones is meant.
    pub(crate) fn resolve(&self, known: &[Candidate]) -> Resolution {
        let fitting: Vec<&Candidate> = known.iter().filter(|c| self.fits(c)).collect();
        match (&self.kind, fitting.as_slice()) {
            (_, []) => self.by_prefix(known),
            // Any will do: the caller chooses.
            (Kind::Capability(_) | Kind::Role(_), all) => Resolution::Found(all.iter().map(|c| c.id).collect()),
            (_, [one]) => Resolution::Found(vec![one.id]),
            (_, many) => disambiguate(many),
        }
    }

    fn fits(&self, candidate: &Candidate) -> bool {
        let there = candidate.state != PeerState::Offline;
        match &self.kind {
            Kind::Own | Kind::Address(_) => false,
            Kind::Id(id) => candidate.id == *id,
            Kind::Capability(name) => candidate.capabilities.contains(name) && there,
            // Most peers have no role, and some no name yet: nobody means those by leaving it out.
            Kind::Role(role) => candidate.role == *role && !role.is_empty() && there,
            Kind::Name { name, swarm } => candidate.name == *name && !name.is_empty() && is_in(candidate, swarm),
        }
    }

    fn by_prefix(&self, known: &[Candidate]) -> Resolution {
        let near = || Resolution::Unknown { near: self.near(known) };
        let Kind::Name { name, swarm } = &self.kind else { return near() };
        if name.len() < PREFIX_MIN {
            return near();
        }
        let begins = |candidate: &&Candidate| candidate.id.to_string().starts_with(name.as_str());
        let fitting: Vec<&Candidate> = known.iter().filter(begins).filter(|c| is_in(c, swarm)).collect();
        match fitting.as_slice() {
            [] => near(),
            [one] => Resolution::Found(vec![one.id]),
            many => Resolution::Ambiguous(many.iter().map(|c| (*c).clone()).collect()),
        }
    }

    fn near(&self, known: &[Candidate]) -> Vec<String> {
        match &self.kind {
            Kind::Name { name, .. } => near(name, known.iter().map(|c| c.name.as_str())),
            Kind::Capability(name) => {
                let all = known.iter().flat_map(|c| &c.capabilities).map(String::as_str);
                near(name, all).into_iter().map(|n| format!("cap:{n}")).collect()
            }
            Kind::Role(role) => {
                let all = known.iter().map(|c| c.role.as_str()).filter(|r| !r.is_empty());
                near(role, all).into_iter().map(|n| format!("role:{n}")).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// As swarms are called inside, however somebody writes them; what is no name of a swarm is in none.
fn plain(swarm: &str) -> String {
    swarm.parse::<SwarmName>().map_or_else(|_| swarm.to_owned(), |name| name.to_string())
}

fn is_in(candidate: &Candidate, swarm: &Option<String>) -> bool {
    swarm.as_ref().is_none_or(|swarm| candidate.swarms.contains(swarm))
}

/// Of several with one name, the one that is there, if only one is: others may have left their old selves behind. A
/// suspect may well be there, and so never loses to somebody else who took its name.
fn disambiguate(many: &[&Candidate]) -> Resolution {
    let there: Vec<&&Candidate> = many.iter().filter(|c| c.state != PeerState::Offline).collect();
    match there.as_slice() {
        [one] => Resolution::Found(vec![one.id]),
        _ => Resolution::Ambiguous(many.iter().map(|c| (*c).clone()).collect()),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<&str> for Target {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), kind: Self::parse(text) }
    }
}

impl From<String> for Target {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Target {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<PeerId> for Target {
    fn from(id: PeerId) -> Self {
        Self { text: id.to_string(), kind: Kind::Id(id) }
    }
}

impl From<Multiaddr> for Target {
    fn from(addr: Multiaddr) -> Self {
        Self::from(addr.to_string())
    }
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text))
    }
}

/// A peer that may be meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub id: PeerId,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Swarms shared with us.
    pub swarms: Vec<String>,
    /// Names of its capabilities.
    pub capabilities: Vec<String>,
    /// Round trip, if known.
    pub rtt: Option<Duration>,
    /// Whether it is there.
    pub state: PeerState,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Resolution {
    /// One, or several that will all do.
    Found(Vec<PeerId>),
    Ambiguous(Vec<Candidate>),
    Unknown {
        near: Vec<String>,
    },
}

/// Why a target is no peer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Several peers fit.
    #[error("\"{target}\" is ambiguous: {n} peers fit", n = .candidates.len())]
    Ambiguous {
        /// As given.
        target: String,
        /// All that fit.
        candidates: Vec<Candidate>,
    },
    /// No member of any of this node's swarms was found.
    #[error("no node was found that could be \"{target}\"")]
    Nobody {
        /// As given.
        target: String,
    },
    /// Members were found, but not this one.
    #[error("no node is called \"{target}\"")]
    Unknown {
        /// As given.
        target: String,
        /// Similar ones.
        near: Vec<String>,
    },
    /// The address does not answer.
    #[error("{addr} cannot be reached: {reason}")]
    Unreachable {
        /// As given.
        addr: String,
        /// What was tried and how it ended.
        reason: String,
    },
}

impl TargetError {
    /// The row of the error table.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Ambiguous { .. } => ErrorCode::Ambiguous,
            Self::Nobody { .. } => ErrorCode::TransportNoResponders,
            Self::Unknown { .. } => ErrorCode::NotFound,
            Self::Unreachable { .. } => ErrorCode::AgentUnavailable,
        }
    }
}

/// Names similar to `wanted`, best first: a slip or two, or one inside the other.
pub fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let limit = (wanted.chars().count() / 3).clamp(1, 3);
    let score = |name: &str| {
        let distance = strsim::damerau_levenshtein(wanted, name);
        let inside = wanted.len() >= 3 && (name.contains(wanted) || (name.len() >= 3 && wanted.contains(name)));
        ((distance <= limit && distance < wanted.chars().count()) || inside).then_some(distance)
    };
    let mut scored: Vec<(usize, &str)> =
        names.filter(|name| *name != wanted).filter_map(|name| Some((score(name)?, name))).collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().take(NEAR_MAX).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
