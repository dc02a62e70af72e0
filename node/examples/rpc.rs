//! Calls between two nodes: an endpoint with typed arguments, called by name and by capability, with positional and
//! keyword arguments, and what a caller sees when something is wrong.
//!
//! Run it with `cargo run -p p2pnode --example rpc`.

use std::{error::Error, path::Path, time::Duration};

use futures::StreamExt;
use p2pnode::{
    Builder, Capability, Context, Endpoint, ErrorCode, HandlerError, ItemSender, Node, Paths, kwargs, presets,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The arguments of `divide`. Callers give them by position, in this order, or by name.
#[derive(Deserialize, JsonSchema)]
struct Divide {
    dividend: u64,
    divisor: u64,
}

/// Its result.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Quotient {
    quotient: u64,
    remainder: u64,
}

async fn divide(cx: Context, Divide { dividend, divisor }: Divide) -> Result<Quotient, HandlerError> {
    println!("calculator: {} wants {dividend} / {divisor}", cx.caller.name);
    if divisor == 0 {
        return Err(HandlerError::new("nothing can be divided by zero"));
    }
    Ok(Quotient { quotient: dividend / divisor, remainder: dividend % divisor })
}

/// A result that is a stream: each prime is on its way while the next is looked for, and nobody looks for more than the
/// caller reads.
async fn primes(_: Context, (above,): (u64,), mut items: ItemSender<u64>) -> Result<(), HandlerError> {
    for n in above.max(2).. {
        if (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d)) {
            items.send(&n).await?;
        }
    }
    Ok(())
}

/// A node of this example's own swarm, with its own folder. Real programs use `presets::Lan` and set no paths.
fn node(name: &str, folder: &Path) -> Result<Builder, Box<dyn Error>> {
    let swarm = format!("rpc-{}", std::process::id());
    Ok(Node::builder(presets::Loopback).paths(Paths::in_folder(folder)?).swarm(swarm).name(name))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let calculator = node("calculator", folder.path())?
        .capability(Capability::new("math").describe("divides integers"))
        .endpoint(Endpoint::new("divide").describe("Divide two integers").idempotent(), divide)
        .endpoint(Endpoint::new("primes").describe("Primes, the least first"), primes)
        .start()
        .await?;
    let caller = node("caller", folder.path())?.start().await?;

    // By name, arguments by position. A call waits until the peer has been found.
    let limit = Duration::from_secs(10);
    let by_name: Quotient = caller.call("calculator", "divide", (17, 5)).timeout(limit).await?;
    println!("caller: 17 / 5 = {by_name:?}");
    // By what the peer can do, arguments by name; `details` also tells who answered, and how fast.
    let args = kwargs! { divisor: 5, dividend: 17 };
    let reply = caller.call::<Quotient>("cap:math", "divide", args).timeout(limit).details().await?;
    println!("caller: {} says the same, in {:?}", reply.peer.name, reply.elapsed);
    if by_name != (Quotient { quotient: 3, remainder: 2 }) || reply.value != by_name {
        return Err(format!("wrong results: {by_name:?}, {:?}", reply.value).into());
    }

    // Item by item. Who has enough drops the stream, and that ends the handler.
    let primes = caller.call::<u64>("calculator", "primes", (1_000_000,)).stream().await?;
    let primes: Vec<u64> = primes.take(3).map(|prime| prime.unwrap_or_default()).collect().await;
    println!("caller: primes above a million: {primes:?}");
    if primes != [1_000_003, 1_000_033, 1_000_037] {
        return Err(format!("wrong primes: {primes:?}").into());
    }

    // An error has a code for programs and a text for people.
    let by_zero = caller.call::<Quotient>("calculator", "divide", (1, 0)).timeout(limit).await;
    let misspelt = caller.call::<Quotient>("calculator", "devide", (1, 1)).timeout(limit).await;
    for (outcome, code) in [(by_zero, ErrorCode::HandlerFailed), (misspelt, ErrorCode::EndpointNotFound)] {
        match outcome {
            Err(error) if error.code() == code => println!("caller: {}: {error}", code.name()),
            other => return Err(format!("expected {}, got {other:?}", code.name()).into()),
        }
    }

    caller.shutdown().await;
    calculator.shutdown().await;
    Ok(())
}
