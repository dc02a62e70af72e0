//! Who takes whom for there: how soon what happens is known, and what it costs that nothing happens.

use std::time::Duration;

use p2pnode::{Node, PeerId, PeerState};
use p2pnode_wire::protocol::PRESENCE;

use super::{
    measure::{cpu_time, ms},
    world::{Member, World},
};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// What is not known by then is not known.
const LIMIT: Duration = Duration::from_secs(60);

/// The share of the nodes that must know.
const MOST: f64 = 0.99;

/// Of those that go at once, so many are followed.
const FOLLOWED: usize = 8;

/// Looks at others in one second.
const LOOKS: usize = 100_000;

/// A node that came so long ago should know all, and be known.
const SETTLED: Duration = Duration::from_secs(10);

/// What all should see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    There,
    Gone,
}

impl Seen {
    fn is(self, state: Option<PeerState>) -> bool {
        match self {
            Self::There => state == Some(PeerState::Online),
            // Whoever never knew of it does not offer it either.
            Self::Gone => matches!(state, None | Some(PeerState::Offline)),
        }
    }
}

/// Nodes that are up, with their numbers.
fn living(world: &World, least: Duration) -> Vec<(usize, Node, PeerId)> {
    let now = world.sim.elapsed();
    let settled = |m: &Member| !m.paused && m.since.is_some_and(|since| since + least <= now);
    let one = |(index, m): (usize, &Member)| Some((index, m.node.node().ok()?, m.node.peer_id()));
    world.members(|members| members.iter().enumerate().filter(|(_, m)| settled(m)).filter_map(one).collect())
}

/// Notes how long it takes until nearly all see of `chosen` what they should.
pub(super) async fn known(world: &World, chosen: &[usize], seen: Seen, metric: &'static str) {
    let began = world.sim.elapsed();
    let peer_of = |index: &usize| (*index, world.node(*index).peer_id());
    let mut open: Vec<(usize, PeerId)> = chosen.iter().take(FOLLOWED).map(peer_of).collect();
    while !open.is_empty() {
        let took = world.sim.elapsed().saturating_sub(began);
        if took > LIMIT {
            break;
        }
        let nodes = living(world, SETTLED);
        let enough = (nodes.len() as f64 * MOST).floor() as usize;
        open.retain(|(index, peer)| {
            let others = nodes.iter().filter(|(other, ..)| other != index);
            let (mut all, mut know) = (0, 0);
            for (_, node, _) in others {
                all += 1;
                know += usize::from(seen.is(node.state_of(peer)));
            }
            let is_known = know >= enough.min(all);
            if is_known {
                world.tally(|tally| tally.metrics.sample(metric, ms(took)));
            }
            !is_known
        });
        tokio::time::sleep(LOOK).await;
    }
    open.iter().for_each(|_| world.tally(|tally| tally.metrics.sample(metric, f64::INFINITY)));
}

/// Looks at what some of the nodes think of all others; others at each time.
pub(super) fn look(world: &World, time: usize) {
    if world.tally(|tally| tally.hushed) {
        return;
    }
    let nodes = living(world, SETTLED);
    let looking = (LOOKS / nodes.len().max(1)).clamp(1, nodes.len().max(1));
    let first = time * looking;
    let (mut pairs, mut online) = (0_u64, 0_u64);
    for at in first..first + looking {
        let Some((own, node, _)) = nodes.get(at % nodes.len().max(1)) else { return };
        for (other, _, peer) in nodes.iter().filter(|(other, ..)| other != own) {
            let state = node.state_of(peer);
            pairs += 1;
            online += u64::from(state == Some(PeerState::Online));
            if state == Some(PeerState::Offline) {
                world.tally(|tally| tally.falsely_offline.insert(*other));
            }
        }
    }
    world.tally(|tally| {
        tally.metrics.number("presence.online_ratio", online as f64 / pairs.max(1) as f64);
        tally.metrics.number("presence.false_offline", tally.falsely_offline.len() as f64);
    });
}

/// What the nodes cost while nothing happens.
pub(super) async fn quiet(world: &World, lasts: Duration) {
    world.tally(|tally| tally.hushed = true);
    let sent = || {
        let hosts = world.members(|members| members.iter().map(|m| m.node.host()).collect::<Vec<_>>());
        hosts.into_iter().map(|host| world.sim.net().host(host)).fold((0, 0, 0), |(sent, dials, open), host| {
            (sent + host.sent, dials + host.dials, open + host.connections)
        })
    };
    let words = || {
        let protocols = world.sim.net().protocols();
        protocols.iter().find(|(name, _)| name == PRESENCE).map_or(0, |(_, traffic)| traffic.bytes)
    };
    let (before, told, cpu) = (sent(), words(), cpu_time());
    tokio::time::sleep(lasts).await;
    let (after, told, cpu) = (sent(), words() - told, cpu_time() - cpu);
    let nodes = world.members(|members| members.iter().filter(|m| m.since.is_some()).count());
    let each = nodes.max(1) as f64 * lasts.as_secs_f64();
    world.tally(|tally| {
        tally.hushed = false;
        tally.metrics.number("quiet.sent_bytes_per_s", (after.0 - before.0) as f64 / each);
        tally.metrics.number("quiet.presence_bytes_per_s", told as f64 / each);
        tally.metrics.number("quiet.cpu_ms_per_s", ms(cpu) / each);
        tally.metrics.number("quiet.dials_per_min", (after.1 - before.1) as f64 / each * 60.0);
        tally.metrics.number("quiet.connections", after.2 as f64 / nodes.max(1) as f64);
    });
}
