//! Three nodes that introduce themselves: each has a card (role, capabilities, description), signed by its key, that
//! all members see, and each takes questions. One prints everybody's card and puts a question to the swarm.
//!
//! Run it with `cargo run -p p2pnode --example trio`.

use std::{error::Error, path::Path, time::Duration};

use futures::StreamExt;
use p2pnode::{Ask, AskEnd, AskEvent, Capability, HandlerError, Node, Paths, presets};

const LIMIT: Duration = Duration::from_secs(10);

/// Name, role, capability and description.
const TEAM: [[&str; 4]; 3] = [
    ["rosa", "gardener", "planting", "Knows when to plant what"],
    ["theo", "carpenter", "woodwork", "Builds sheds and benches"],
    ["mina", "cook", "recipes", "Cooks whatever grows"],
];

/// Starts one of them. Real programs use `presets::Lan` and set no paths: this example keeps to itself.
async fn start([name, role, skill, description]: [&'static str; 4], folder: &Path) -> Result<Node, Box<dyn Error>> {
    let answer = move |cx: Ask, question: String| async move {
        println!("{name}: {} asks: {question}", cx.from.name);
        cx.ack().await?;
        Ok::<_, HandlerError>(format!("I am the {role}: ask me about {skill}"))
    };
    let node = Node::builder(presets::Loopback)
        .paths(Paths::in_folder(folder)?)
        .swarm(swarm())
        .name(name)
        .role(role)
        .description(description)
        .capability(Capability::new(skill))
        .ask(answer);
    Ok(node.start().await?)
}

fn swarm() -> String {
    format!("trio-{}", std::process::id())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let [rosa, theo, mina] = TEAM;
    let rosa = start(rosa, folder.path()).await?;
    let (theo, mina) = (start(theo, folder.path()).await?, start(mina, folder.path()).await?);
    if !rosa.wait_until(LIMIT, |peers| peers.len() == 2).await {
        return Err("rosa has not found the others".into());
    }

    let own = rosa.card().ok_or("rosa has no card yet")?;
    println!("{} ({}): {} {:?}", own.name, own.role, own.description, names(&own.capabilities));
    for peer in rosa.peers() {
        println!("{} ({}): {} {:?}", peer.name, peer.role, peer.description, names(&peer.capabilities));
    }

    // To all who take questions, but not to oneself. It ends when all who acked have answered.
    let mut asked = rosa.ask(swarm(), "What can you do?").timeout(LIMIT).await?;
    while let Some(event) = asked.next().await {
        match event {
            AskEvent::Ack { peer, .. } => println!("rosa hears: {} thinks about it", peer.name),
            AskEvent::Reply { peer, result, .. } => println!("rosa hears: {}: {result}", peer.name),
            other => return Err(format!("unexpected: {other:?}").into()),
        }
    }
    let outcome = asked.outcome().await.ok_or("the node has stopped")?;
    println!("rosa: {} of {} answered", outcome.replies, outcome.members);
    for node in [&rosa, &theo, &mina] {
        node.shutdown().await;
    }
    let as_expected = (outcome.end, outcome.members, outcome.replies) == (AskEnd::Complete, 2, 2);
    if as_expected { Ok(()) } else { Err(format!("not as expected: {outcome:?}").into()) }
}

fn names(capabilities: &[Capability]) -> Vec<&str> {
    capabilities.iter().map(|capability| capability.name.as_str()).collect()
}
