//! Nodes of one process in real time, over memory: what needs addresses that are neither loopback nor of a network.

use std::time::Duration;

use futures::StreamExt;
use p2pnode::{Builder, Context, Endpoint, Node, Said};
use p2pnode_simulator::memory;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// A node that finds nobody by itself.
fn node(name: &str) -> Builder {
    let alone = |builder: Builder| builder.mdns(false).local(false).dht(false).transport(memory);
    Node::builder(alone).listen("/memory/0".parse().expect("an address")).swarm("garden").name(name)
}

/// Gossip brings a broadcast further than its author is known. Whether the author is near enough to be served only a
/// connection proves, and where to connect to the broadcast says.
#[tokio::test]
async fn who_never_met_the_author_answers_it_all_the_same() {
    let middle = node("middle").start().await.expect("started");
    let seeds: Vec<_> = middle.listen_addrs().iter().filter_map(|addr| addr.to_string().parse().ok()).collect();
    let asker = node("asker").bootstrap(seeds.clone()).start().await.expect("started");
    let far =
        node("far").bootstrap(seeds).endpoint(Endpoint::new("review"), |cx: Context, (text,): (String,)| async move {
            cx.progress("reading").await?;
            Ok(format!("read {text}"))
        });
    let far = far.start().await.expect("started");
    for node in [&asker, &far] {
        assert!(node.wait_until(LIMIT, |peers| peers.len() == 1).await, "{} sees {:?}", node.name(), node.peers());
    }
    let mut talk = asker.broadcast("review", "this diff").await.expect("sent");
    let answered = async {
        loop {
            let event = talk.next().await.expect("it goes on");
            if let Said::Reply(value) = event.said {
                return (event.author.name, value.to_string());
            }
        }
    };
    let reply = tokio::time::timeout(LIMIT, answered).await.expect("an answer");
    assert_eq!(reply, ("far".to_owned(), "\"read this diff\"".to_owned()));
}
