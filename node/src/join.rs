//! Joining a swarm while the node runs, and tickets to swarms.

use bytes::Bytes;
use libp2p::{Multiaddr, multiaddr::Protocol};
use p2pnode_behaviours::{
    peer_of,
    upkeep::{ip_of, is_loopback, is_public, is_relayed, is_web},
};
use p2pnode_wire::{
    ids::{NameError, SwarmId, SwarmName},
    ticket::{ADDRESSES_MAX, PeerAddresses, Ticket, TicketError},
};
use tokio::sync::oneshot;

use crate::{
    addr::BootstrapAddr,
    command::Command,
    history,
    node::{Node, lock},
    store::StoreError,
};

/// Why a swarm was not joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Its name is not well formed.
    #[error("{0}")]
    SwarmName(#[from] NameError),
    /// The node is in as many as it may be.
    #[error("this node is in {limit} swarms, and may be in no more")]
    TooManySwarms {
        /// [`Limits::swarms`](crate::Limits::swarms).
        limit: usize,
    },
    /// What is kept of the swarm cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopped,
}

/// Why no ticket was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// The node is not in that swarm.
    #[error("this node is not in the swarm \"{swarm}\"")]
    NotJoined {
        /// Which.
        swarm: String,
    },
    /// There is no address of the wanted kind.
    #[error("this node has no {which} address")]
    NoAddress {
        /// Of which kind.
        which: &'static str,
    },
    /// The ticket would say too much.
    #[error(transparent)]
    Ticket(#[from] TicketError),
}

/// Which addresses of this node go into a ticket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TicketAddresses {
    /// Those that others reach from anywhere, circuits over relays among them; where there are none, those of the local
    /// network.
    #[default]
    Best,
    /// Both.
    All,
    /// Those of the local network.
    Lan,
    /// Those that others reach from anywhere.
    Public,
    /// None: this node's id alone, to be looked up in the DHT of a network that the other is in already.
    IdOnly,
}

impl Node {
    /// Joins a swarm while the node runs, and looks for its members at `seeds`, besides. True if the node was not in it.
    /// It is for this run: who starts the node again names the swarm again.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(&self, swarm: &str, seeds: impl IntoIterator<Item = BootstrapAddr>) -> Result<bool, JoinError> {
        let name: SwarmName = swarm.parse()?;
        let id = SwarmId::open(&name);
        // Before anything is kept for it.
        self.inner().swarms.may_join(&id).map_err(|full| JoinError::TooManySwarms { limit: full.0 })?;
        // What was said there earlier is known before anything new is heard.
        if let Some(keep) = &self.inner().keep {
            keep.join(id).await?;
        }
        if let Some(store) = &self.inner().store {
            let mut swarms = self.inner().swarms.all().to_vec();
            swarms.push((id, name.clone()));
            history::introduce(store, &self.peer_id(), self.name(), &swarms).await?;
        }
        let (done, joined) = oneshot::channel();
        self.send(Command::Join { id, name, seeds: seeds.into_iter().collect(), done }).await;
        match joined.await {
            Ok(Ok(new)) => Ok(new),
            Ok(Err(full)) => Err(JoinError::TooManySwarms { limit: full.0 }),
            Err(_) => Err(JoinError::Stopped),
        }
    }

    /// A ticket to one of this node's swarms: who has it finds the swarm by way of this node. It does not wait for the
    /// network, so a node that has just been started may know less of itself than a second later.
    ///
    /// # Errors
    /// [`InviteError`].
    pub fn ticket(&self, swarm: &str, which: TicketAddresses) -> Result<Ticket, InviteError> {
        let absent = || InviteError::NotJoined { swarm: swarm.to_owned() };
        let id = self.inner().swarms.id_of(swarm).ok_or_else(absent)?;
        let name = self.inner().swarms.name_of(&id).ok_or_else(absent)?;
        let card = lock(&self.inner().shared.own).card.clone();
        let known: Vec<Multiaddr> =
            card.iter().flat_map(|card| &card.addresses).filter_map(|text| text.parse().ok()).collect();
        let public = || known.iter().filter(|addr| is_public(addr) || is_relayed(addr));
        // A ticket is for another host; loopback is better than nothing where there is nothing else.
        let lan = || known.iter().filter(|addr| !is_public(addr) && !is_relayed(addr) && !is_loopback(addr));
        let here = || known.iter().filter(|addr| is_loopback(addr));
        let chosen: Vec<&Multiaddr> = match which {
            TicketAddresses::IdOnly => Vec::new(),
            TicketAddresses::Public => public().collect(),
            TicketAddresses::Lan => lan().collect(),
            TicketAddresses::All => public().chain(lan()).collect(),
            TicketAddresses::Best => {
                let best: Vec<&Multiaddr> = public().collect();
                if best.is_empty() { lan().collect() } else { best }
            }
        };
        let chosen = match (which, chosen.is_empty()) {
            (TicketAddresses::Public, true) => return Err(InviteError::NoAddress { which: "public" }),
            (TicketAddresses::IdOnly, _) | (_, false) => chosen,
            (_, true) => here().collect(),
        };
        let addresses = spread(&chosen).into_iter().map(|addr| Bytes::from(bare(addr).to_vec())).collect();
        let peer = self.inner().identity.peer_key();
        Ok(Ticket::open(name, vec![PeerAddresses { peer, addresses }])?)
    }
}

/// As many as a ticket holds, of different hosts and transports first: two ports of one address fail together.
fn spread<'a>(addresses: &[&'a Multiaddr]) -> Vec<&'a Multiaddr> {
    let kind = |addr: &Multiaddr| {
        let quic = addr.iter().any(|part| matches!(part, Protocol::Udp(_)));
        (ip_of(addr).is_some_and(|ip| ip.is_ipv6()), quic, is_web(addr), is_relayed(addr))
    };
    let (mut first, mut rest, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for addr in addresses {
        if kinds.contains(&kind(addr)) {
            rest.push(*addr);
        } else {
            kinds.push(kind(addr));
            first.push(*addr);
        }
    }
    first.extend(rest);
    first.truncate(ADDRESSES_MAX);
    first
}

/// Without the peer's own id at the end, which the ticket has once.
fn bare(addr: &Multiaddr) -> Multiaddr {
    let mut addr = addr.clone();
    if matches!(addr.iter().last(), Some(Protocol::P2p(_))) {
        addr.pop();
    }
    addr
}

/// Where a ticket says that a peer is, without the peer's id.
pub fn ticket_addresses(peer: &PeerAddresses) -> impl Iterator<Item = Multiaddr> {
    peer.addresses.iter().filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok())
}

/// Where a ticket says that the swarm is found. What is no address here is left out: a later version may know it.
pub fn ticket_seeds(ticket: &Ticket) -> Vec<BootstrapAddr> {
    let of = |peer: &PeerAddresses| {
        let id = peer_of(&peer.peer);
        let whole = ticket_addresses(peer).filter_map(move |addr| Some(addr.with(Protocol::P2p(id?))));
        whole.filter_map(|addr| addr.to_string().parse().ok()).collect::<Vec<_>>()
    };
    ticket.peers().iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_ticket_has_addresses_of_different_kinds() {
        let all: Vec<Multiaddr> = [
            "/ip4/10.0.0.7/udp/9999/quic-v1",
            "/ip4/192.168.1.7/udp/9999/quic-v1",
            "/ip4/172.17.0.1/udp/9999/quic-v1",
            "/ip4/10.0.0.7/tcp/9999",
            "/ip6/fd00::7/tcp/9999",
        ]
        .map(addr)
        .to_vec();
        let chosen: Vec<String> = spread(&all.iter().collect::<Vec<_>>()).iter().map(ToString::to_string).collect();
        assert_eq!(
            chosen,
            [
                "/ip4/10.0.0.7/udp/9999/quic-v1",
                "/ip4/10.0.0.7/tcp/9999",
                "/ip6/fd00::7/tcp/9999",
                "/ip4/192.168.1.7/udp/9999/quic-v1"
            ]
        );
    }

    #[test]
    fn seeds_are_the_addresses_with_the_peer() {
        let key = crate::Identity::generate();
        let here = addr("/ip4/10.0.0.7/tcp/9999");
        let relay = libp2p::PeerId::random();
        let circuit = addr(&format!("/ip4/1.2.3.4/tcp/1/p2p/{relay}/p2p-circuit"));
        let addresses = vec![Bytes::from(here.to_vec()), Bytes::from(circuit.to_vec()), Bytes::from_static(b"\xff?")];
        let name = "garden".parse().expect("a name");
        let ticket = Ticket::open(name, vec![PeerAddresses { peer: key.peer_key(), addresses }]).expect("a ticket");
        let shown: Vec<String> = ticket_seeds(&ticket).iter().map(ToString::to_string).collect();
        assert_eq!(shown, [format!("{here}/p2p/{}", key.peer_id()), format!("{circuit}/p2p/{}", key.peer_id())]);
    }
}
