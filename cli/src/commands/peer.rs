//! `p2pnode peer`: everything that is known of one peer.

use p2pnode::{Availability, EndpointInfo, Peer, TargetError, parameters};
use serde_json::{Value, json};

use crate::{
    args::look::Peer as Args,
    connect::{self, Want},
    context::Ctx,
    error::{CliError, node::about},
    output::{
        escape_line,
        peers::{path, peer_json},
        render::{ago, duration},
        style::Role,
    },
};

/// Finds it and shows it.
pub(super) async fn run(ctx: &Ctx, args: &Args) -> Result<(), CliError> {
    connect::with(ctx, Want::All(None), Some(&args.target), async |session| {
        let found = ctx.guard(None, async { Ok(session.peer(&args.target).await) }).await?;
        let peer = found.map_err(|error: TargetError| about(session.node(), &args.target, error.into()))?;
        ctx.answer(facts(&peer), session.meta(), || page(ctx, &peer))
    })
    .await
}

fn facts(peer: &Peer) -> Value {
    let mut facts = peer_json(peer);
    let address = |a: &p2pnode::KnownAddress| json!({"addr": a.addr.to_string(), "source": a.source});
    facts["addresses"] = peer.addresses.iter().map(address).collect();
    facts["endpoints"] = peer.endpoints.iter().map(endpoint).collect();
    facts
}

fn schema(text: Option<&String>) -> Option<Value> {
    serde_json::from_str(text?).ok()
}

fn endpoint(info: &EndpointInfo) -> Value {
    json!({
        "name": info.name, "description": info.description, "tags": info.tags, "idempotent": info.idempotent,
        "input_schema": schema(info.input_schema.as_ref()), "output_schema": schema(info.output_schema.as_ref()),
    })
}

/// One fact a line, several of a kind below each other.
fn page(ctx: &Ctx, peer: &Peer) -> String {
    let mut lines = vec![format!("{}   {}", escape_line(&peer.name), peer.id)];
    let mut add = |label: &str, values: Vec<String>| {
        for (n, value) in values.into_iter().filter(|value| !value.is_empty()).enumerate() {
            let label = if n == 0 { label } else { "" };
            lines.push(format!(
                "  {} {}",
                ctx.out.style.paint(Role::Dim, &format!("{label:<12}")),
                escape_line(&value)
            ));
        }
    };
    add("state", vec![format!("{}, seen {}", peer.state.as_str(), ago(peer.last_seen))]);
    add("path", peer.path.iter().map(|p| format!("{}   {}", path(p), p.addr)).collect());
    add("round trip", peer.rtt.map(duration).into_iter().collect());
    add("swarms", vec![peer.swarms.join("  ")]);
    let load = peer.load.map(|load| format!("load {load} %"));
    let availability =
        Some(peer.availability).filter(|own| *own != Availability::Online).map(|own| own.as_str().to_owned());
    add("takes work", vec![[availability, load].into_iter().flatten().collect::<Vec<_>>().join(", ")]);
    add("team", peer.team.clone().into_iter().collect());
    add("role", vec![peer.role.clone()]);
    add("about", vec![peer.description.clone()]);
    add("program", vec![peer.agent.clone()]);
    add("capability", peer.capabilities.iter().map(|c| join(&c.name, &c.description)).collect());
    add("endpoint", peer.endpoints.iter().map(|e| join(&signature(e), &e.description)).collect());
    add("address", peer.addresses.iter().map(|a| format!("{}   ({})", a.addr, a.source)).collect());
    lines.join("\n")
}

fn join(what: &str, about: &str) -> String {
    if about.is_empty() { what.to_owned() } else { format!("{what}   {about}") }
}

/// `sum(a: integer, b: integer)`.
fn signature(info: &EndpointInfo) -> String {
    let arguments = schema(info.input_schema.as_ref()).map(|schema| parameters(&schema)).unwrap_or_default();
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    format!("{}({})", info.name, arguments.join(", "))
}
