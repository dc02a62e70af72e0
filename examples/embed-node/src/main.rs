//! Two nodes on this host: one serves a function, the other calls it by name.

use std::error::Error;

use p2pnode::{Context, Endpoint, Node, Paths, presets};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Sum {
    a: i64,
    b: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A registry of their own, so that they meet each other and nobody else; without it, all nodes of this user meet.
    let folder = tempfile::tempdir()?;
    let paths = Paths::in_folder(folder.path())?;
    let calculator = Node::builder(presets::Loopback)
        .paths(paths.clone())
        .swarm("garden.example.com")
        .name("calculator")
        .endpoint(Endpoint::new("sum").describe("Add two numbers"), |_cx: Context, Sum { a, b }: Sum| async move {
            Ok(a + b)
        })
        .start()
        .await?;
    let caller = Node::builder(presets::Loopback).paths(paths).swarm("garden.example.com").start().await?;

    let three: i64 = caller.call("calculator", "sum", (1, 2)).await?;
    println!("1 + 2 = {three}");
    calculator.shutdown().await;
    caller.shutdown().await;
    if three == 3 { Ok(()) } else { Err("that is not three".into()) }
}
