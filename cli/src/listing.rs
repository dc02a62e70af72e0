//! Lists of peers: gathering, filtering, ordering, showing.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use p2pnode::{Peer, PeerState};
use serde_json::Value;

use crate::{
    args::look::{Listing, Sort},
    connect::Session,
    context::Ctx,
    error::CliError,
    output::peers::{peer_json, sum, table},
};

/// Round trips are measured for a list, but a list does not wait long for them.
const MEASURE: Duration = Duration::from_millis(400);

/// At once.
const MEASURE_AT_ONCE: usize = 16;

/// The peers a list shows, with fresh round trips.
pub(crate) async fn look(session: &Session, listing: &Listing) -> Result<Vec<Peer>, CliError> {
    session.discovered().await;
    let _ = tokio::time::timeout(MEASURE, measure(session)).await;
    let mut peers: Vec<Peer> = session.roster().into_iter().filter(|peer| fits(peer, listing)).collect();
    order(&mut peers, listing.sort);
    Ok(peers)
}

async fn measure(session: &Session) {
    let unknown = session.peers().into_iter().filter(|peer| peer.rtt.is_none() && peer.state == PeerState::Online);
    stream::iter(unknown)
        .for_each_concurrent(MEASURE_AT_ONCE, |peer| async move {
            let _ = session.node().ping(peer.id).await;
        })
        .await;
}

fn fits(peer: &Peer, listing: &Listing) -> bool {
    (listing.all || !peer.ephemeral)
        && (!listing.online || peer.state == PeerState::Online)
        && listing.role.as_ref().is_none_or(|role| *role == peer.role)
        && listing.team.as_ref().is_none_or(|team| peer.team.as_ref() == Some(team))
        && listing.name.as_ref().is_none_or(|glob| matches(glob, &peer.name))
        && listing.cap.iter().all(|wanted| peer.capabilities.iter().any(|capability| capability.name == *wanted))
}

/// `*` is any text, `?` any sign; nothing else is special.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    // What of the glob may have been used up after each sign of the name: no backtracking, no explosion.
    let mut reach = vec![false; glob.len() + 1];
    reach[0] = true;
    skip_stars(&glob, &mut reach);
    for sign in name {
        let mut next = vec![false; glob.len() + 1];
        for (at, wild) in glob.iter().enumerate().filter(|(at, _)| reach[*at]) {
            match wild {
                '*' => next[at] = true,
                wild if *wild == '?' || *wild == sign => next[at + 1] = true,
                _ => {}
            }
        }
        skip_stars(&glob, &mut next);
        reach = next;
    }
    reach[glob.len()]
}

fn skip_stars(glob: &[char], reach: &mut [bool]) {
    for (at, wild) in glob.iter().enumerate() {
        if reach[at] && *wild == '*' {
            reach[at + 1] = true;
        }
    }
}

fn order(peers: &mut [Peer], by: Sort) {
    match by {
        Sort::Name => peers.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id))),
        Sort::Rtt => peers.sort_by_key(|peer| peer.rtt.unwrap_or(Duration::MAX)),
        Sort::Seen => peers.sort_by_key(|peer| peer.last_seen),
    }
}

/// Prints the list.
pub(crate) fn show(ctx: &Ctx, session: &Session, peers: &[Peer], listing: &Listing) -> Result<(), CliError> {
    let data: Value = peers.iter().map(peer_json).collect();
    ctx.answer(data, session.meta(), || {
        if listing.ids {
            return peers.iter().map(|peer| peer.id.to_string()).collect::<Vec<_>>().join("\n");
        }
        let width = (!listing.wide).then_some(ctx.out.width);
        match peers.is_empty() {
            true => sum(peers),
            false => {
                let table = table(peers, ctx.out.glyphs).render(width, ctx.out.style, ctx.out.glyphs.cut);
                format!("{table}\n{}", sum(peers))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, name, fits) in [
            ("*", "", true),
            ("*", "anything", true),
            ("rev*", "reviewer", true),
            ("*er", "reviewer", true),
            ("r*v*r", "reviewer", true),
            ("re?iewer", "reviewer", true),
            ("reviewer", "reviewer", true),
            ("rev", "reviewer", false),
            ("?", "", false),
            ("", "", true),
            ("", "x", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(glob, name), fits, "{glob} {name}");
        }
        assert!(!matches(&"*a".repeat(40), &"b".repeat(4_000)), "ends soon");
    }
}
