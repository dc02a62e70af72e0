//! Finding members by what they can do.

use std::{collections::HashSet, time::Duration};

use libp2p::PeerId;
use p2pnode_wire::key;

use crate::{
    dht::DhtError,
    node::{Node, lock},
    peers::{Peer, PeerState},
};

/// Time for providers found in the DHT to be connected and greeted.
const GREET: Duration = Duration::from_secs(4);

/// What to look for; all that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// An advertised capability, exactly.
    pub capability: Option<String>,
    /// The name, exactly.
    pub name: Option<String>,
    /// The role, exactly.
    pub role: Option<String>,
    /// A text in name, description, role, capabilities or endpoints, whatever its case.
    pub text: Option<String>,
    /// At most so many; 0: all.
    pub limit: usize,
}

impl Query {
    /// Who advertises this capability.
    pub fn capability(name: impl Into<String>) -> Self {
        Self { capability: Some(name.into()), ..Self::default() }
    }

    /// Who has this role.
    pub fn role(role: impl Into<String>) -> Self {
        Self { role: Some(role.into()), ..Self::default() }
    }

    /// Who says this anywhere on its card.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }
}

/// How a member was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// It was known already: this host, multicast, bootstrap or introduction.
    Known,
    /// By a provider record in the DHT.
    Dht,
}

/// A member that fits.
#[derive(Debug, Clone)]
pub struct Found {
    /// The member; its signed card was fetched from itself.
    pub peer: Peer,
    /// How it was found.
    pub via: Via,
}

/// Why nothing could be looked up.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The DHT failed and nobody is known either.
    #[error("{0}")]
    Dht(#[from] DhtError),
}

pub(crate) async fn find(node: &Node, query: Query) -> Result<Vec<Found>, FindError> {
    node.discovered(Duration::from_secs(3)).await;
    let known: HashSet<PeerId> = node.peers().iter().map(|p| p.id).collect();
    let mut failure = None;
    if let Some(capability) = &query.capability {
        failure = by_capability(node, capability).await.err();
    }
    let mut found: Vec<Found> = node
        .peers()
        .into_iter()
        .filter(|peer| fits(peer, &query))
        .map(|peer| Found { via: if known.contains(&peer.id) { Via::Known } else { Via::Dht }, peer })
        .collect();
    if query.limit > 0 {
        found.truncate(query.limit);
    }
    match failure {
        Some(error) if found.is_empty() && known.is_empty() => Err(error.into()),
        _ => Ok(found),
    }
}

fn fits(peer: &Peer, query: &Query) -> bool {
    let equal = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|w| w == value);
    let capable = |c: &String| peer.capabilities.iter().any(|known| known.name == *c);
    peer.state != PeerState::Offline
        && !peer.ephemeral
        && equal(&query.name, &peer.name)
        && equal(&query.role, &peer.role)
        && query.capability.as_ref().is_none_or(capable)
        && query.text.as_ref().is_none_or(|text| mentions(peer, text))
}

fn mentions(peer: &Peer, text: &str) -> bool {
    let text = text.to_lowercase();
    let capabilities = peer.capabilities.iter().flat_map(|c| [&c.name, &c.description]);
    let endpoints = peer.endpoints.iter().flat_map(|e| [&e.name, &e.description]);
    let own = [&peer.name, &peer.description, &peer.role];
    own.into_iter().chain(capabilities).chain(endpoints).any(|field| field.to_lowercase().contains(&text))
}

/// Asks the DHT who provides a capability, connects to those, and waits until they have shown their cards. A provider
/// record is a hint; only the card counts.
pub(crate) async fn by_capability(node: &Node, capability: &str) -> Result<(), DhtError> {
    let mut wanted = HashSet::new();
    let mut failure = None;
    for (swarm, _) in &node.inner().swarms {
        match node.dht().providers(&key::capability(swarm, capability, 0)).await {
            Ok(found) => wanted.extend(found.providers),
            Err(error) => failure = Some(error),
        }
    }
    wanted.remove(&node.peer_id());
    wanted.retain(|id| !lock(&node.inner().shared.peers).is_member(id));
    if let (true, Some(error)) = (wanted.is_empty(), failure) {
        return Err(error);
    }
    for id in &wanted {
        node.dial(*id).await;
    }
    if !wanted.is_empty() {
        node.wait_until(GREET, |peers| wanted.iter().all(|id| peers.iter().any(|p| p.id == *id))).await;
    }
    Ok(())
}
