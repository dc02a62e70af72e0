//! `p2pnode artifact` and `card`: documents that nodes serve.

use std::{fs, path::Path};

use p2pnode::{
    ErrorCode,
    artifacts::{Artifact, ArtifactError, Artifacts, ExportError, NewArtifact, export},
    store::{Store, StoreError},
};
use serde_json::{Value, json};

use crate::{
    args::{
        Verb as AnyVerb,
        artifact::{Add, Artifact as Args, Verb},
    },
    connect::{self, Want},
    context::Ctx,
    control::not_running,
    error::{CliError, exit},
    input,
    output::{
        json::Meta,
        render::size,
        style::Role,
        table::{Column, Table},
    },
    profile,
};

/// Bytes that go over the control socket: in base64 they fill its body.
const THROUGH: usize = 700 * 1024;

/// Does one of the four.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<(), CliError> {
    match args.verb {
        Verb::List { target: Some(target) } => {
            connect::with(ctx, Want::All(None), Some(&target), async |session| {
                let listed = async { Ok(session.node().artifacts_of(session.target(&target)).await?) };
                show(ctx, &ctx.guard(None, listed).await?, session.meta())
            })
            .await
        }
        Verb::List { target: None } => {
            let own = match ctx.daemon.as_ref().and_then(|daemon| daemon.node().artifacts()) {
                Some(artifacts) => artifacts.list().await?,
                None => match store(ctx).await? {
                    Some(store) => Artifacts::kept(&store).await?,
                    None => Vec::new(),
                },
            };
            show(ctx, &own, ctx.meta())
        }
        Verb::Get { words, out } => get(ctx, &words, out.as_deref()).await,
        Verb::Add(args) => add(ctx, args).await,
        Verb::Rm { name } => {
            let removed = own(ctx, &name)?.remove(&name).await?;
            let words = if removed { "removed" } else { "there is none of that name" };
            ctx.answer(json!({"name": name, "removed": removed}), ctx.meta(), || format!("{name}: {words}"))
        }
    }
}

/// The artifacts of the node in whose process this runs.
fn own(ctx: &Ctx, name: &str) -> Result<Artifacts, CliError> {
    let verb = || AnyVerb::Artifact(Args { verb: Verb::Rm { name: name.to_owned() } });
    ctx.daemon.as_ref().and_then(|daemon| daemon.node().artifacts()).ok_or_else(|| not_running(&verb()))
}

/// The store of the profile, for reading.
async fn store(ctx: &Ctx) -> Result<Option<Store>, CliError> {
    let file = profile::paths(&ctx.global)?.store_path(profile::chosen(&ctx.global))?;
    if !file.exists() {
        return Ok(None);
    }
    let opened = tokio::task::spawn_blocking(move || Store::open_read_only(&file)).await;
    Ok(Some(opened.unwrap_or(Err(StoreError::Closed))?))
}

fn about(artifact: &Artifact) -> Value {
    let hex: String = artifact.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "name": artifact.name, "kind": artifact.kind, "mime": artifact.mime, "description": artifact.description,
        "size": artifact.size, "sha256": hex, "created_ms": artifact.created_ms,
        "origin": artifact.origin.map(|peer| peer.to_string()),
    })
}

fn show(ctx: &Ctx, artifacts: &[Artifact], meta: Meta) -> Result<(), CliError> {
    ctx.answer(artifacts.iter().map(about).collect(), meta, || {
        if artifacts.is_empty() {
            return "no artifacts".to_owned();
        }
        let columns = [
            Column::new("NAME"),
            Column::new("SIZE").right(),
            Column::new("MIME"),
            Column::new("DESCRIPTION").flexible(),
        ];
        let mut table = Table::new(&columns);
        for one in artifacts {
            let bytes = usize::try_from(one.size).unwrap_or(usize::MAX);
            table.row([
                (one.name.clone(), Some(Role::Name)),
                (size(bytes), None),
                (one.mime.clone(), None),
                (one.description.clone(), None),
            ]);
        }
        table.render(Some(ctx.out.width), ctx.out.style, ctx.out.glyphs.cut)
    })
}

async fn get(ctx: &Ctx, words: &[String], out: Option<&Path>) -> Result<(), CliError> {
    match words {
        [target, name] => {
            connect::with(ctx, Want::All(None), Some(target), async |session| {
                let fetched = async { Ok(session.node().artifact(session.target(target), name.as_str()).await?) };
                let fetched = ctx.guard(None, fetched).await?;
                save(ctx, &fetched.artifact, &fetched.data, out, session.meta())
            })
            .await
        }
        [name] => {
            let found = match store(ctx).await? {
                Some(store) => Artifacts::read(&store, name).await?,
                None => None,
            };
            let (artifact, data) = found.ok_or_else(|| CliError::from(ArtifactError::Unknown(name.clone())))?;
            save(ctx, &artifact, &data, out, ctx.meta())
        }
        _ => Err(CliError::usage("which artifact?")),
    }
}

/// Into a new file of this folder, unless it was said where.
fn save(ctx: &Ctx, artifact: &Artifact, data: &[u8], out: Option<&Path>, meta: Meta) -> Result<(), CliError> {
    let file = match out {
        Some(out) if out == Path::new("-") && !ctx.out.is_json() => return ctx.out.bytes(data),
        Some(out) if out == Path::new("-") => {
            let mut told = about(artifact);
            told["data"] = std::str::from_utf8(data).map_or_else(|_| crate::output::json::bytes(data), Value::from);
            return ctx.answer(told, meta, String::new);
        }
        Some(out) => {
            fs::write(out, data).map_err(|error| CliError::io(out.display(), &error))?;
            out.to_owned()
        }
        None => export(Path::new("."), &artifact.name, data)?,
    };
    let mut told = about(artifact);
    told["file"] = json!(file.display().to_string());
    ctx.answer(told, meta, || format!("{}   {}", file.display(), size(data.len())))
}

async fn add(ctx: &Ctx, mut args: Add) -> Result<(), CliError> {
    ctx.guard(None, input::bytes(&mut args.data)).await?;
    let data = match input::value_in(&args.data)? {
        rmpv::Value::String(text) => text.into_bytes(),
        rmpv::Value::Binary(data) => data,
        other => return Err(CliError::usage(format!("{other} is neither text nor bytes"))),
    };
    if data.len() > THROUGH {
        return Err(CliError::usage(format!("a file of at most {THROUGH} bytes can be given to a running node")));
    }
    let new = NewArtifact {
        kind: args.kind,
        mime: args.mime,
        description: args.describe,
        ..NewArtifact::new(&args.name, data)
    };
    let kept = own(ctx, &args.name)?.put(new).await?;
    let bytes = usize::try_from(kept.size).unwrap_or(usize::MAX);
    ctx.answer(about(&kept), ctx.meta(), || format!("{}   {}", kept.name, size(bytes)))
}

impl From<ArtifactError> for CliError {
    fn from(error: ArtifactError) -> Self {
        let text = error.to_string();
        match error {
            ArtifactError::Name => Self::usage(text),
            ArtifactError::Unknown(_) => {
                Self::of(ErrorCode::NotFound, text).try_also("p2pnode artifact list", "all there are")
            }
            ArtifactError::TooLarge { .. } => Self::of(ErrorCode::TooLarge, text),
            ArtifactError::Full(_) => Self::new("full", exit::CONFLICT, text),
            ArtifactError::Changed(_) => Self::new("changed", exit::REMOTE, text).retryable(true),
            ArtifactError::Corrupt(_) => Self::new("corrupt", exit::REMOTE, text),
            ArtifactError::Target(error) => error.into(),
            ArtifactError::Call(error) => (*error).into(),
            ArtifactError::Store(error) => error.into(),
            _ => Self::internal(text),
        }
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        Self::new("export", exit::CONFLICT, error.to_string())
            .try_also(crate::output::render::again("", "--out FILE"), "choose where it goes")
    }
}
