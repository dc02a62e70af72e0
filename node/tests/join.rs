//! Joining while a node runs, and tickets between nodes that do not see each other.

mod common;

use common::{Host, LIMIT, until};
use futures::StreamExt;
use p2pnode::{
    Builder, Context, Endpoint, JoinError, Limits, Node, NodeEvent, Paths, TicketAddresses, presets, store::EventQuery,
    ticket_seeds, wire::ticket::Ticket,
};

/// A node of a host, in swarms of that name.
fn builder(host: &Host, name: &str, swarm: &str) -> Builder {
    let paths = Paths::in_folder(host.0.path()).expect("paths");
    let sum = |_: Context, (a, b): (i64, i64)| async move { Ok(a + b) };
    Node::builder(presets::Loopback).paths(paths).swarm(swarm).name(name).endpoint(Endpoint::new("sum"), sum)
}

#[tokio::test]
async fn a_ticket_leads_into_a_swarm_that_is_not_seen_from_here() {
    let (here, there) = (Host::new(), Host::new());
    let fern = builder(&here, "fern", "garden").start().await.expect("starts");
    let moss = builder(&there, "moss", "lab").start().await.expect("starts");
    moss.emit("lab.opened", &1).await.expect("said");

    let text = moss.ticket("lab", TicketAddresses::Best).expect("a ticket").to_string();
    let ticket: Ticket = text.parse().expect("it is whole");
    let places = ticket_seeds(&ticket);
    assert!(!places.is_empty() && places.iter().all(|place| place.peer() == Some(moss.peer_id())), "{places:?}");
    assert!(moss.ticket("garden", TicketAddresses::Best).is_err(), "it is not in that one");
    assert!(moss.ticket("lab", TicketAddresses::Public).is_err(), "nobody reaches it from outside");
    assert!(ticket_seeds(&moss.ticket("lab", TicketAddresses::IdOnly).expect("a ticket")).is_empty());

    assert_eq!(fern.join(ticket.name().as_str(), places.clone()).await.ok(), Some(true));
    assert_eq!(fern.join("lab", places).await.ok(), Some(false), "it is in it already");
    assert_eq!(fern.swarms(), ["garden", "lab"]);
    let meets = |name: &'static str| move |peers: &[p2pnode::Peer]| peers.iter().any(|peer| peer.name == name);
    assert!(fern.wait_until(LIMIT, meets("moss")).await, "{:?}", fern.looked());
    assert!(moss.wait_until(LIMIT, meets("fern")).await);
    assert_eq!(fern.call::<i64>("moss", "sum", (1, 2)).await, Ok(3));
    assert_eq!(moss.call::<i64>("fern", "sum", (3, 4)).await, Ok(7), "fern knows in whose name it is called");

    let mut heard = moss.events();
    fern.emit("plants.arrived", &2).to("lab").await.expect("said");
    let heard = async {
        while let Some(event) = heard.next().await {
            if matches!(&event, NodeEvent::Conversation(said) if said.author.name == "fern" && said.swarm == "lab") {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, heard).await.expect("it is heard");
    let history = fern.history().expect("it keeps");
    let both = async || {
        let all = history.events(EventQuery { limit: 100, ..EventQuery::default() }).await.expect("it reads");
        all.iter().filter(|kept| kept.event.swarm == "lab").count() == 2
    };
    until("what was said before it came, and what it has said", both).await;
}

#[tokio::test]
async fn there_is_room_for_so_many_swarms() {
    let host = Host::new();
    let limits = Limits { swarms: 1, ..Limits::default() };
    let node = builder(&host, "fern", "garden").limits(limits).start().await.expect("starts");
    assert!(matches!(node.join("lab", []).await, Err(JoinError::TooManySwarms { limit: 1 })));
    assert!(matches!(node.join("no good name!", []).await, Err(JoinError::SwarmName(_))));
    assert!(matches!(node.join("garden", []).await, Ok(false)));
    assert_eq!(node.swarms(), ["garden"]);
    let other = node.clone();
    node.shutdown().await;
    assert!(other.join("garden", []).await.is_err());
}
