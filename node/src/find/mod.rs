//! Finding members by what they are and can do: a ranked search over signed cards, of those known and of those who have
//! announced themselves in the DHT.

mod far;
mod rank;

use std::{collections::HashSet, time::Duration};

use futures::{StreamExt, future, stream};
use libp2p::PeerId;

use crate::{
    dht::DhtError,
    node::Node,
    peers::{Availability, Peer, PeerState},
};
pub(crate) use far::{by_capability, by_name};

/// For the first round of discovery.
const DISCOVERY: Duration = Duration::from_secs(3);

/// Members asked for their cards at once. Each is a dial.
const AT_ONCE: usize = 16;

/// Members asked for their cards in one search without a limit: as many as all shards of a capability hold.
const MOST: usize = 512;

/// What to look for; all that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Words that must all be found: in name, role, capabilities, endpoints and their tags exactly, as a beginning, inside
    /// or misspelt; in descriptions not misspelt. At most [`Query::WORDS`] count. The best come first.
    pub text: Option<String>,
    /// Advertised capabilities, exactly; all of them.
    pub capabilities: Vec<String>,
    /// A published endpoint of that name, or one with that tag.
    pub skill: Option<String>,
    /// The name, exactly.
    pub name: Option<String>,
    /// The role, exactly.
    pub role: Option<String>,
    /// The team, exactly.
    pub team: Option<String>,
    /// In that swarm, by name.
    pub swarm: Option<String>,
    /// Only those who are neither busy nor away.
    pub available: bool,
    /// At most so many; 0: all that are found, 512 at most.
    pub limit: usize,
}

impl Query {
    /// Words of a text that are looked for; more are left out.
    pub const WORDS: usize = 8;

    /// Who advertises this capability.
    pub fn capability(name: impl Into<String>) -> Self {
        Self { capabilities: vec![name.into()], ..Self::default() }
    }

    /// Who has this role.
    pub fn role(role: impl Into<String>) -> Self {
        Self { role: Some(role.into()), ..Self::default() }
    }

    /// Who says this anywhere on its card.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// How well `peer` fits, from 1 to 100: 100 without a text; none if it does not.
    pub fn score(&self, peer: &Peer) -> Option<u8> {
        let equal = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let able = |wanted: &String| peer.capabilities.iter().any(|known| known.name == *wanted);
        let skilled = |wanted: &String| peer.endpoints.iter().any(|e| e.name == *wanted || e.tags.contains(wanted));
        let fits = peer.state != PeerState::Offline
            && !peer.ephemeral
            && equal(&self.name, &peer.name)
            && equal(&self.role, &peer.role)
            && equal(&self.team, peer.team.as_deref().unwrap_or_default())
            && self.swarm.as_ref().is_none_or(|swarm| peer.swarms.contains(swarm))
            && self.capabilities.iter().all(able)
            && self.skill.as_ref().is_none_or(skilled)
            && !(self.available && peer.availability != Availability::Online);
        let text = self.text.as_deref().map_or(Some(rank::EXACT), |text| rank::score(text, peer));
        text.filter(|_| fits)
    }

    fn most(&self) -> usize {
        if self.limit == 0 { MOST } else { self.limit.min(MOST) }
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
    /// The member; it has shown its signed card, or shown it again, during the search.
    pub peer: Peer,
    /// How it was found.
    pub via: Via,
    /// How well it fits, from 1 to 100; 100 without a text.
    pub score: u8,
}

/// Why nothing could be looked up.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The DHT failed and nobody is known either.
    #[error("{0}")]
    Dht(#[from] DhtError),
}

/// Those who are known, and those the DHT tells of if they are not enough. Whoever is offered has answered: a provider
/// record is a hint, and a card in memory may be that of a node that has crashed since.
pub(crate) async fn find(node: &Node, query: Query) -> Result<Vec<Found>, FindError> {
    let (most, ids) = (query.most(), HashSet::from_iter(node.peers().iter().map(|peer| peer.id)));
    let (mut hints, mut failure) = (Vec::new(), None);
    if known(node, &query).len() < most {
        // Whom the DHT knows need not wait for all neighbours.
        match far::hints(node, &query, most).await {
            Ok(told) => hints = told,
            Err(error) => failure = Some(error),
        }
        if hints.len() < most {
            node.discovered(DISCOVERY).await;
        }
    }
    let mut candidates = known(node, &query);
    let here: HashSet<PeerId> = candidates.iter().copied().collect();
    candidates.extend(hints.into_iter().filter(|id| !here.contains(id)));
    let there = answering(node, &query, candidates, most).await;
    let there = there.iter().filter_map(|id| node.known(id)).filter(|peer| peer.state == PeerState::Online);
    let mut found: Vec<Found> = fitting(&query, there.collect(), &ids).collect();
    sort(&mut found);
    match failure {
        Some(error) if found.is_empty() && ids.is_empty() => Err(error.into()),
        _ => Ok(found),
    }
}

/// Members that are known to fit, the best first.
fn known(node: &Node, query: &Query) -> Vec<PeerId> {
    let mut known: Vec<Found> = fitting(query, node.peers(), &HashSet::new()).collect();
    sort(&mut known);
    known.into_iter().map(|one| one.peer.id).collect()
}

/// Those of `peers` that fit; `known` had been known before.
fn fitting<'a>(query: &'a Query, peers: Vec<Peer>, known: &'a HashSet<PeerId>) -> impl Iterator<Item = Found> + 'a {
    peers.into_iter().filter_map(|peer| {
        let score = query.score(&peer)?;
        let via = if known.contains(&peer.id) { Via::Known } else { Via::Dht };
        Some(Found { peer, via, score })
    })
}

/// The best first; of equals those who are there and free, then the least busy, then the nearest.
fn sort(found: &mut [Found]) {
    found.sort_by_cached_key(|one| {
        let peer = &one.peer;
        let away = (peer.state != PeerState::Online, peer.availability != Availability::Online);
        let rtt = peer.rtt.unwrap_or(Duration::MAX);
        (std::cmp::Reverse(one.score), away, peer.load.unwrap_or_default(), rtt, peer.name.clone(), peer.id)
    });
}

/// The first `most` of them that answer and fit, in their order.
async fn answering(node: &Node, query: &Query, candidates: Vec<PeerId>, most: usize) -> Vec<PeerId> {
    let asked = stream::iter(candidates).map(|id| async move {
        let there = node.greet(id).await.is_ok();
        node.known(&id).filter(|peer| there && query.score(peer).is_some()).map(|_| id)
    });
    let there = asked.buffered(AT_ONCE.min(most.max(1))).filter_map(future::ready);
    there.take(most).collect().await
}
