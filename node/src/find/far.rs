//! Looking beyond those who are known: hints of the DHT, taken for true once the peer has shown its card.

use std::{collections::HashSet, pin::pin, time::Duration};

use futures::{StreamExt, future, stream::FuturesUnordered};
use libp2p::PeerId;
use p2pnode_behaviours::discovery::FULL;
use p2pnode_wire::{ids::SwarmId, key};
use rand::seq::SliceRandom;

use super::{Query, rank};
use crate::{
    dht::DhtError,
    node::{Node, lock},
};

/// Who announced one name, and is asked for its card. More than one makes the name ambiguous already.
const NAMESAKES: usize = 8;

/// Who is asked for its card where any holder of a capability will do.
const ANY: usize = 4;

/// Words of a text that are looked up as a name and as a capability: two lookups each.
const WORDS: usize = 3;

/// A hint is worth so much waiting, dial and greeting together.
const GREET: Duration = Duration::from_secs(4);

/// Who may fit, as the DHT tells; none for what is announced nowhere, such as a role.
pub(super) async fn hints(node: &Node, query: &Query, wanted: usize) -> Result<Vec<PeerId>, DhtError> {
    let joined = node.inner().swarms.all();
    let swarms = joined.iter().filter(|(_, name)| query.swarm.as_ref().is_none_or(|wanted| wanted == name.as_str()));
    let searches = swarms.map(|(swarm, _)| in_swarm(node, *swarm, query, wanted));
    gathered(future::join_all(searches).await)
}

/// By the narrowest that is announced: a name, a capability, or else each word as either.
async fn in_swarm(node: &Node, swarm: SwarmId, query: &Query, wanted: usize) -> Result<Vec<PeerId>, DhtError> {
    if let Some(name) = &query.name {
        return named(node, &swarm, name).await;
    }
    if let Some(capability) = query.capabilities.first() {
        // Of several, one leads to all who have them all; who has it may lack the others, or the text.
        let wanted = if query.capabilities.len() == 1 && query.text.is_none() { wanted } else { usize::MAX };
        return holders(node, &swarm, capability, wanted).await;
    }
    let words = query.text.as_deref().map(rank::words).unwrap_or_default();
    let searches = words.iter().take(WORDS).map(|word| {
        let (as_name, as_capability) = (named(node, &swarm, word), holders(node, &swarm, word, wanted));
        async move {
            let (names, capabilities) = future::join(as_name, as_capability).await;
            gathered(vec![names, capabilities])
        }
    });
    gathered(future::join_all(searches).await)
}

/// All that was told; an error only if nothing was.
fn gathered(told: Vec<Result<Vec<PeerId>, DhtError>>) -> Result<Vec<PeerId>, DhtError> {
    let (mut all, mut failure) = (Vec::new(), None);
    for told in told {
        match told {
            Ok(ids) => all.extend(ids),
            Err(error) => failure = Some(error),
        }
    }
    let mut seen = HashSet::new();
    all.retain(|id| seen.insert(*id));
    failure.filter(|_| all.is_empty()).map_or(Ok(all), Err)
}

/// Those who have announced the name, and those of whom members tell that they are there under it.
async fn named(node: &Node, swarm: &SwarmId, name: &str) -> Result<Vec<PeerId>, DhtError> {
    let told = told(node, swarm, name);
    // With an announcement come addresses; what members tell has none.
    let dht = node.dht();
    let places = future::join_all(told.iter().map(|id| dht.lookup(*id)));
    let (announced, _) = future::join(announced(node, swarm, name), places).await;
    gathered(vec![announced, Ok(without_own(node, told))])
}

async fn announced(node: &Node, swarm: &SwarmId, name: &str) -> Result<Vec<PeerId>, DhtError> {
    let found = node.dht().providers_of(&key::name(swarm, name), NAMESAKES).await?;
    Ok(without_own(node, found.providers))
}

/// Members of that name whose card is not known.
fn told(node: &Node, swarm: &SwarmId, name: &str) -> Vec<PeerId> {
    let mut told = lock(&node.inner().shared.peers).told_as(swarm, name);
    told.truncate(NAMESAKES);
    told
}

/// At least `wanted` who have announced the capability, if there are so many, drawn by lot: of a popular one each finds
/// others. Shards are read as they are written (see `discovery::Behaviour::provide_spread`).
async fn holders(node: &Node, swarm: &SwarmId, capability: &str, wanted: usize) -> Result<Vec<PeerId>, DhtError> {
    let base = key::capability_base(swarm, capability);
    let (mut shards, mut found, mut upper) = (vec![0], Vec::new(), Vec::new());
    while let Some(shard) = shards.pop()
        && found.len() < wanted
    {
        let enough = if wanted > FULL { usize::MAX } else { FULL };
        let told = node.dht().providers_of(&key::shard_key(&base, shard), enough).await;
        let mut told = match told {
            Ok(told) => told.providers,
            Err(error) if shard == 0 => return Err(error),
            Err(_) => continue,
        };
        told.shuffle(&mut rand::rng());
        let mut finer = key::finer(shard);
        if told.len() >= FULL && !finer.is_empty() {
            finer.shuffle(&mut rand::rng());
            shards.extend(finer);
            upper.extend(told);
        } else {
            found.extend(told);
        }
    }
    // Twenty who are in everybody's way come last.
    found.extend(upper);
    Ok(without_own(node, found))
}

fn without_own(node: &Node, mut ids: Vec<PeerId>) -> Vec<PeerId> {
    ids.retain(|id| *id != node.peer_id());
    ids
}

/// Asks the DHT who has a capability, and some of those for their cards.
pub(crate) async fn by_capability(node: &Node, capability: &str) -> Result<(), DhtError> {
    let query = Query::capability(capability);
    let hints = hints(node, &query, ANY).await?;
    super::answering(node, &query, hints, ANY).await;
    Ok(())
}

/// Finds who has a name, in that swarm or in all, and asks for its card. Two ways at once, since each may take longer than a caller
/// waits while many nodes have just died: by who has announced it in the DHT, and by what members tell of each other meanwhile.
pub(crate) async fn by_name(node: &Node, name: &str, swarm: Option<&str>) {
    let joined = node.inner().swarms.all();
    let swarms = joined.iter().filter(|(_, joined)| swarm.is_none_or(|wanted| wanted == joined.as_str()));
    let swarms: Vec<SwarmId> = swarms.map(|(swarm, _)| *swarm).collect();
    let mut announcements = pin!(by_announcement(node, name, swarm, &swarms));
    let (mut asked, mut greetings, mut searching) = (HashSet::new(), FuturesUnordered::new(), true);
    let mut changed = node.changed();
    loop {
        let told = swarms
            .iter()
            .flat_map(|swarm| told(node, swarm, name))
            .filter(|id| asked.len() < NAMESAKES && asked.insert(*id));
        greetings.extend(told.map(|id| meet(node, id)));
        tokio::select! {
            found = &mut announcements, if searching => {
                if found {
                    return;
                }
                searching = false;
            }
            Some(met) = greetings.next() => {
                if met {
                    return;
                }
            }
            // A newcomer is told of hundreds within its first second, and this may be before.
            Ok(()) = changed.changed(), if searching => {}
            else => return,
        }
    }
}

/// Whether somebody who has announced the name has shown its card.
async fn by_announcement(node: &Node, name: &str, swarm: Option<&str>, swarms: &[SwarmId]) -> bool {
    let query = Query { name: Some(name.to_owned()), swarm: swarm.map(str::to_owned), ..Query::default() };
    let announced = future::join_all(swarms.iter().map(|swarm| announced(node, swarm, name))).await;
    // A search that failed has found nobody.
    let hints = gathered(announced).unwrap_or_default();
    !super::answering(node, &query, hints, NAMESAKES).await.is_empty()
}

/// Whether it has shown its card. A dial without an address fails at once; where it is the DHT tells then.
async fn meet(node: &Node, id: PeerId) -> bool {
    let placed = || async { node.dht().lookup(id).await.is_ok_and(|found| found.addresses.is_some()) };
    node.greet(id).await.is_ok() || (placed().await && node.greet(id).await.is_ok())
}

impl Node {
    /// Waits until `peer` has shown its card on a connection that is there now.
    ///
    /// # Errors
    /// Why it has not, in words.
    pub(crate) async fn greet(&self, peer: PeerId) -> Result<(), String> {
        let (done, greeted) = tokio::sync::oneshot::channel();
        self.send(crate::command::Command::Greet { peer, done }).await;
        match tokio::time::timeout(GREET, greeted).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err("the node is shutting down".into())),
            Err(_) => Err(format!("no greeting within {} s", GREET.as_secs())),
        }
    }
}
