//! `p2pnode id`: the identity of a profile. The secret key is written to a file or a pipe, never to a terminal.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use p2pnode::{Identity, Profile, default_name};
use serde_json::{Value, json};

use crate::{
    args::id::{Id, Verb},
    context::Ctx,
    error::{CliError, exit},
    output::style::Role,
    profile,
};

/// An exported key has about 60 signs.
const KEY: u64 = 1_024;

/// Does one of the four.
pub(super) fn run(ctx: &Ctx, args: &Id) -> Result<(), CliError> {
    let profile = Profile::open(&profile::paths(&ctx.global)?, &args.profile)?;
    match &args.verb {
        Verb::Show => show(ctx, &profile, &existing(&profile)?, "identity"),
        Verb::New => {
            let identity = Identity::generate();
            identity.save(&profile.key_path())?;
            show(ctx, &profile, &identity, "new identity")
        }
        Verb::Export { out } => export(ctx, &profile, out),
        Verb::Import { file } => {
            let identity: Identity = read(file)?.parse()?;
            identity.save(&profile.key_path())?;
            show(ctx, &profile, &identity, "restored identity")
        }
    }
}

fn existing(profile: &Profile) -> Result<Identity, CliError> {
    Identity::load(&profile.key_path())?.ok_or_else(|| {
        let option = if profile.name() == "default" { String::new() } else { format!(" --profile {}", profile.name()) };
        let message = format!("profile \"{}\" has no identity yet", profile.name());
        CliError::new("no_identity", p2pnode::ErrorCode::NotFound.exit(), message)
            .looked(profile.key_path().display().to_string())
            .try_also(format!("p2pnode id new{option}"), "make one now")
    })
}

fn show(ctx: &Ctx, profile: &Profile, identity: &Identity, what: &str) -> Result<(), CliError> {
    let (id, name) = (identity.peer_id(), default_name(&identity.peer_id()));
    let key = profile.key_path().display().to_string();
    ctx.answer(facts(profile, identity), ctx.meta(), || {
        let label = |text: &str| ctx.out.style.paint(Role::Dim, &format!("{text:<9}"));
        format!(
            "{what} of profile {}\n  {} {id}\n  {} {name}\n  {} {key}",
            profile.name(),
            label("id"),
            label("name"),
            label("key file"),
        )
    })
}

fn facts(profile: &Profile, identity: &Identity) -> Value {
    json!({
        "profile": profile.name(),
        "peer_id": identity.peer_id().to_string(),
        "name": default_name(&identity.peer_id()),
        "key_file": profile.key_path().display().to_string(),
    })
}

fn export(ctx: &Ctx, profile: &Profile, out: &Path) -> Result<(), CliError> {
    let identity = existing(profile)?;
    let text = identity.export();
    if out == Path::new("-") {
        if io::stdout().is_terminal() || ctx.out.is_json() {
            return Err(CliError::usage("the secret key is not shown on a terminal, and not in JSON")
                .try_also("p2pnode id export --out backup.key", "into a file that only you can read"));
        }
        return ctx.out.line(&text);
    }
    let shown = out.display().to_string();
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(|error| match error {
            error if error.kind() == io::ErrorKind::AlreadyExists => {
                CliError::new("file_exists", exit::CONFLICT, format!("{shown} exists already; it was not overwritten"))
            }
            error => CliError::io(&shown, &error),
        })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    written.map_err(|error| CliError::io(&shown, &error))?;
    ctx.out.say("keep it like a password: whoever has it is this node");
    let mut facts = facts(profile, &identity);
    facts["file"] = json!(shown);
    ctx.answer(facts, ctx.meta(), || format!("{shown}  secret key of {}", identity.peer_id()))
}

fn read(file: &Path) -> Result<String, CliError> {
    if file == Path::new("-") {
        return text("stdin", io::stdin().lock());
    }
    let shown = file.display().to_string();
    let opened = std::fs::File::open(file).map_err(|error| CliError::io(&shown, &error))?;
    text(&shown, opened)
}

fn text(name: &str, from: impl io::Read) -> Result<String, CliError> {
    let mut text = String::new();
    from.take(KEY).read_to_string(&mut text).map_err(|error| CliError::io(name, &error))?;
    Ok(text)
}
