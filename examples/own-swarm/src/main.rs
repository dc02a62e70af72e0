//! Two libp2p programs with Swarms of their own, each with ping and p2pnode's RPC: one calls the other.

use std::{error::Error, sync::Arc, time::Duration};

use futures::StreamExt;
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, ping, swarm::NetworkBehaviour, swarm::SwarmEvent, tcp, yamux};
use p2pnode_behaviours::rpc;

#[derive(NetworkBehaviour)]
struct Behaviour {
    ping: ping::Behaviour,
    rpc: rpc::Behaviour,
}

/// A Swarm that answers each call with its own arguments, and a client that calls through it.
fn swarm() -> Result<(Swarm<Behaviour>, rpc::Client), Box<dyn Error>> {
    let echo = Arc::new(|call: rpc::Incoming| call.reply.ok(call.request.args));
    let (rpc, client) = rpc::Behaviour::new(rpc::Config::default(), echo);
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| Behaviour { ping: ping::Behaviour::default(), rpc })?
        .build();
    Ok((swarm, client))
}

async fn listen(swarm: &mut Swarm<Behaviour>) -> Result<(PeerId, Multiaddr), Box<dyn Error>> {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return Ok((*swarm.local_peer_id(), address));
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut server, _) = swarm()?;
    let (id, address) = listen(&mut server).await?;
    let (mut caller, client) = swarm()?;
    caller.dial(address)?;
    tokio::spawn(async move { while server.next().await.is_some() {} });
    while !caller.is_connected(&id) {
        caller.next().await;
    }
    tokio::spawn(async move { while caller.next().await.is_some() {} });

    let mut request = rpc::Request::new("echo");
    request.args = b"\x91\xa5hello".as_slice().into();
    request.timeout = Duration::from_secs(10);
    let answer = client.call(id, request.clone()).await?;
    println!("{} bytes came back over the {} road", answer.result.len(), answer.road.as_str());
    if answer.result != request.args || answer.road != rpc::Road::Fast {
        return Err("another answer, or another road".into());
    }
    Ok(())
}
