//! A garden caretaker: a node that acts by itself. It looks at the soil every so often, waters in the morning by the
//! clock on the wall, and opens and closes the greenhouse with the sun. Another node hears what it does.
//!
//! Run it with `cargo run -p p2pnode --example garden_caretaker`.

use std::{error::Error, path::Path, time::Duration};

use futures::StreamExt;
use p2pnode::{
    Builder, HandlerError, Node, Paths, Periodic, presets,
    schedule::{Event, Schedule, every, solar},
};

/// London.
const PLACE: (f64, f64) = (51.5, -0.1);

/// A node of this example's own swarm, with its own folder. Real programs use `presets::Lan` and set no paths.
fn node(name: &str, folder: &Path) -> Result<Builder, Box<dyn Error>> {
    Ok(Node::builder(presets::Loopback).paths(Paths::in_folder(folder)?).swarm(swarm()).name(name))
}

fn swarm() -> String {
    format!("garden-{}", std::process::id())
}

/// Tells the swarm.
async fn tell(node: Node, subject: &'static str, what: &'static str) -> Result<(), HandlerError> {
    node.emit(subject, &what).await.map(drop).map_err(|error| HandlerError::new(error.to_string()))
}

fn greenhouse(event: Event) -> Result<Schedule, Box<dyn Error>> {
    Ok(solar(event, PLACE.0, PLACE.1).tz("Europe/London").build()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let neighbour = node("neighbour", folder.path())?.start().await?;
    let mut heard = neighbour.subscribe("garden.>")?;
    let caretaker = node("caretaker", folder.path())?.start().await?;
    if !caretaker.wait_until(Duration::from_secs(20), |peers| !peers.is_empty()).await {
        return Err("the neighbour was not found".into());
    }

    // A period begins with a run at once. A program that is kept running calls `detach` instead of holding them.
    let soil = caretaker.periodic(every(Duration::from_millis(200)), |node| tell(node, "garden.soil", "dry"))?;
    let watering = "cron 30 7 * * * Europe/London";
    let water = caretaker.periodic(watering, |node| tell(node, "garden.water", "on"))?;
    let open = caretaker.periodic(greenhouse(Event::Sunrise)?, |node| tell(node, "garden.greenhouse", "open"))?;
    let close = caretaker.periodic(greenhouse(Event::Sunset)?, |node| tell(node, "garden.greenhouse", "closed"))?;

    for _ in 0..3 {
        let event = tokio::time::timeout(Duration::from_secs(20), heard.next()).await?.ok_or("the node has stopped")?;
        println!("neighbour hears from {}: the soil is {}", event.author.name, event.data::<String>()?);
    }
    drop(soil);
    let at = |work: &Periodic| work.next_run().map_or("never".to_owned(), |at| at.to_string());
    println!("water at {}, open at {}, close at {}", at(&water), at(&open), at(&close));
    caretaker.shutdown().await;
    Ok(())
}
