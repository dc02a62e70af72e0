//! `p2pnode dht`: the distributed hash table by hand.

use std::{collections::HashMap, path::Path, time::Duration};

use p2pnode::{
    ErrorCode, Identity, PeerId, TablePeer,
    wire::{ids::SwarmId, key},
};
use serde_json::{Value, json};

use crate::{
    args::{
        dht::{Dht, Verb},
        given::Given,
    },
    connect::{self, Session, Want},
    context::Ctx,
    error::CliError,
    input,
    output::{
        asked::body,
        json::bytes,
        render::count,
        style::Role,
        table::{Column, Table},
    },
    profile,
};

/// Without `--timeout`.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Does one of the six.
pub(super) async fn run(ctx: &Ctx, args: Dht) -> Result<(), CliError> {
    match args.verb {
        Verb::Put { name, value } => put(ctx, &name, value).await,
        Verb::Get { key, out } => get(ctx, &key, out.as_deref()).await,
        Verb::Providers { key } => providers(ctx, &key).await,
        Verb::Lookup { peer } => lookup(ctx, &peer).await,
        Verb::Table { wide } => table(ctx, wide).await,
        Verb::Stats {} => stats(ctx).await,
    }
}

/// Looks around first: without anybody there is no table.
async fn with<T>(
    ctx: &Ctx,
    want: Want<'_>,
    work: impl AsyncFnOnce(&Session) -> Result<T, CliError>,
) -> Result<T, CliError> {
    connect::with(ctx, want, None, async |session| {
        let work = async {
            session.discovered().await;
            work(session).await
        };
        ctx.guard(Some(TIMEOUT), work).await
    })
    .await
}

async fn put(ctx: &Ctx, name: &str, mut value: Given) -> Result<(), CliError> {
    ctx.guard(None, input::bytes(&mut value)).await?;
    let data = match input::value_in(&value)? {
        rmpv::Value::String(text) => text.into_bytes(),
        rmpv::Value::Binary(data) => data,
        other => return Err(CliError::usage(format!("{other} is neither text nor bytes"))),
    };
    let profile = profile::chosen(&ctx.global);
    if name.is_empty() || name.contains('/') {
        return Err(CliError::usage(format!("\"{name}\" cannot be the name of a value: it is empty or holds a slash")));
    }
    let owner = Identity::load_or_create(&profile::paths(&ctx.global)?.identity_path(profile)?)?;
    with(ctx, Want::All(None), async |session| {
        let nodes = session.node().dht().put_as(&owner, name, data.into()).await?;
        let key = format!("{}/{name}", owner.peer_id());
        let stored = count(nodes, "node", "nodes");
        ctx.out.say(&format!("stored on {stored} for an hour, signed by the identity of profile \"{profile}\""));
        ctx.answer(json!({"key": key, "nodes": nodes}), session.meta(), || key.clone())
    })
    .await
}

async fn get(ctx: &Ctx, key: &str, out: Option<&Path>) -> Result<(), CliError> {
    if !key.contains('/') {
        return Err(CliError::usage(format!("\"{key}\" is not PEER/NAME, as `dht put` prints it")));
    }
    with(ctx, Want::All(None), async |session| {
        let found = session.node().dht().get(key).await?;
        let text = std::str::from_utf8(&found.body).ok();
        if let Some(file) = out {
            return save(ctx, &found.body, file);
        }
        let value = text.map_or_else(|| bytes(&found.body), Value::from);
        let data = json!({
            "owner": found.owner.to_string(), "name": found.name, "seq": found.seq, "value": value,
            "from": found.from.map(|peer| peer.to_string()),
        });
        ctx.answer(data, session.meta(), || {
            let value = text.map_or_else(|| rmpv::Value::Binary(found.body.to_vec()), rmpv::Value::from);
            body(&value)
        })
    })
    .await
}

fn save(ctx: &Ctx, data: &[u8], file: &Path) -> Result<(), CliError> {
    if file == Path::new("-") && !ctx.out.is_json() {
        return ctx.out.bytes(data);
    }
    let shown = file.display().to_string();
    ctx.out.file(file, data)?;
    ctx.answer(json!({"file": shown, "bytes": data.len()}), ctx.meta(), String::new)
}

async fn providers(ctx: &Ctx, what: &str) -> Result<(), CliError> {
    let (kind, name) = what.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(|| unknown_key(what))?;
    let want = match kind {
        "swarm" => Want::One(Some(name)),
        "cap" | "name" => Want::One(None),
        _ => return Err(unknown_key(what)),
    };
    with(ctx, want, async |session| {
        let swarm = session.swarm().parse().map(|name| SwarmId::open(&name));
        let swarm = swarm.map_err(|error| CliError::usage(format!("swarm \"{}\": {error}", session.swarm())))?;
        let key = match kind {
            "swarm" => key::swarm(&swarm),
            "cap" => key::capability(&swarm, name, 0),
            _ => key::name(&swarm, name),
        };
        let found = session.node().dht().providers(&key).await?;
        if found.providers.is_empty() {
            return Err(CliError::of(ErrorCode::NotFound, format!("nobody has announced {what}")));
        }
        let ids: Vec<String> = found.providers.iter().map(ToString::to_string).collect();
        let data = json!({"key": key, "providers": ids, "requests": found.requests});
        ctx.answer(data, session.meta(), || ids.join("\n"))
    })
    .await
}

fn unknown_key(what: &str) -> CliError {
    CliError::usage(format!("\"{what}\" is not swarm:NAME, cap:NAME or name:NAME"))
        .try_this("p2pnode dht providers cap:code-review --swarm garden")
}

async fn lookup(ctx: &Ctx, peer: &str) -> Result<(), CliError> {
    let id: PeerId =
        peer.parse().map_err(|_| CliError::usage(format!("\"{peer}\" is no peer id: they begin with 12D3KooW")))?;
    with(ctx, Want::All(None), async |session| {
        let found = session.node().dht().lookup(id).await?;
        let Some(addresses) = found.addresses else {
            let error = CliError::of(ErrorCode::NotFound, format!("{id} is not to be found in the DHT"));
            return Err(error.try_this("p2pnode peers"));
        };
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let data = json!({"id": id.to_string(), "addresses": addresses, "requests": found.requests});
        ctx.answer(data, session.meta(), || format!("{id}  {}", addresses.join(" ")).trim_end().to_owned())
    })
    .await
}

async fn table(ctx: &Ctx, wide: bool) -> Result<(), CliError> {
    with(ctx, Want::All(None), async |session| {
        let there = session.node().dht().table().await?;
        let names: HashMap<PeerId, String> =
            session.node().peers().into_iter().map(|peer| (peer.id, peer.name)).collect();
        let data: Value = there.iter().map(|one| entry(one, names.get(&one.peer))).collect();
        ctx.answer(data, session.meta(), || {
            let unknown = ctx.out.glyphs.unknown;
            let mut table = Table::new(&[
                Column::new("BUCKET").right(),
                Column::new("NAME").flexible(),
                Column::new("ID").flexible(),
                Column::new("ANSWERED"),
                Column::new("ADDRESS").flexible().optional(1),
            ]);
            for one in &there {
                let name = names.get(&one.peer).filter(|name| !name.is_empty());
                table.row([
                    (one.bucket.to_string(), None),
                    (name.map_or(unknown, String::as_str).to_owned(), Some(Role::Name)),
                    (one.peer.to_string(), None),
                    (if one.answered { "yes" } else { "not yet" }.to_owned(), None),
                    (one.addresses.first().map_or_else(|| unknown.to_owned(), ToString::to_string), None),
                ]);
            }
            let width = (!wide).then_some(ctx.out.width);
            let rows = table.render(width, ctx.out.style, ctx.out.glyphs.cut);
            format!("{rows}\n{}", count(there.len(), "peer", "peers"))
        })
    })
    .await
}

fn entry(one: &TablePeer, name: Option<&String>) -> Value {
    let addresses: Vec<String> = one.addresses.iter().map(ToString::to_string).collect();
    json!({
        "id": one.peer.to_string(), "name": name, "bucket": one.bucket, "answered": one.answered, "addresses": addresses,
    })
}

async fn stats(ctx: &Ctx) -> Result<(), CliError> {
    with(ctx, Want::All(None), async |session| {
        let stats = session.node().dht().stats().await?;
        let mode = if stats.server { "server" } else { "client" };
        let data = json!({
            "mode": mode,
            "table": {"peers": stats.peers, "heard_of": stats.heard_of, "buckets": stats.buckets},
            "store": {"values": stats.values, "keys": stats.keys},
            "own": stats.own,
            "queries": stats.queries,
        });
        ctx.answer(data, session.meta(), || {
            let row = |label: &str, text: String| {
                format!("{} {text}", ctx.out.style.paint(Role::Dim, &format!("{label:<9}")))
            };
            let (peers, buckets) = (count(stats.peers, "peer", "peers"), count(stats.buckets, "bucket", "buckets"));
            [
                row("mode", format!("{mode}: {}", if stats.server { "it answers others" } else { "it only asks" })),
                row("table", format!("{peers} in {buckets}, {} only heard of", stats.heard_of)),
                row(
                    "store",
                    format!(
                        "{}, providers of {}",
                        count(stats.values, "value", "values"),
                        count(stats.keys, "key", "keys")
                    ),
                ),
                row("own", format!("{} announced", count(stats.own, "key or value", "keys and values"))),
                row("lookups", format!("{} under way", stats.queries)),
            ]
            .join("\n")
        })
    })
    .await
}
