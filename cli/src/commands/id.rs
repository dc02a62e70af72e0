//! `p2pnode id`: the identity of a profile. The secret key is written to a file or a pipe, never to a terminal.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use p2pnode::{Identity, default_name};
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

/// An identity at its place. Reading it needs no lock: a node may run with it meanwhile.
pub(super) struct Place<'a> {
    profile: &'a str,
    key: PathBuf,
}

/// Does one of the four.
pub(super) fn run(ctx: &Ctx, args: &Id) -> Result<(), CliError> {
    let place = Place::of(ctx)?;
    match &args.verb {
        Verb::Show => place.show(ctx, &place.existing()?, "identity"),
        Verb::New => {
            let identity = Identity::generate();
            identity.save(&place.key)?;
            place.show(ctx, &identity, "new identity")
        }
        Verb::Export { out } => place.export(ctx, out),
        Verb::Import { file } => {
            let identity: Identity = read(file)?.parse()?;
            identity.save(&place.key)?;
            place.show(ctx, &identity, "restored identity")
        }
    }
}

impl<'a> Place<'a> {
    /// Of the chosen profile.
    pub(super) fn of(ctx: &'a Ctx) -> Result<Self, CliError> {
        let profile = profile::chosen(&ctx.global);
        Ok(Self { profile, key: profile::paths(&ctx.global)?.identity_path(profile)? })
    }

    /// The identity that is there.
    pub(super) fn existing(&self) -> Result<Identity, CliError> {
        Identity::load(&self.key)?.ok_or_else(|| {
            let option = if self.profile == "default" { String::new() } else { format!(" --profile {}", self.profile) };
            let message = format!("profile \"{}\" has no identity yet", self.profile);
            CliError::new("no_identity", p2pnode::ErrorCode::NotFound.exit(), message)
                .looked(self.key.display().to_string())
                .try_also(format!("p2pnode id new{option}"), "make one now")
        })
    }

    fn show(&self, ctx: &Ctx, identity: &Identity, what: &str) -> Result<(), CliError> {
        let (id, name) = (identity.peer_id(), default_name(&identity.peer_id()));
        ctx.answer(self.facts(identity), ctx.meta(), || {
            let label = |text: &str| ctx.out.style.paint(Role::Dim, &format!("{text:<9}"));
            format!(
                "{what} of profile {}\n  {} {id}\n  {} {name}\n  {} {}",
                self.profile,
                label("id"),
                label("name"),
                label("key file"),
                self.key.display(),
            )
        })
    }

    fn facts(&self, identity: &Identity) -> Value {
        json!({
            "profile": self.profile,
            "peer_id": identity.peer_id().to_string(),
            "name": default_name(&identity.peer_id()),
            "key_file": self.key.display().to_string(),
        })
    }

    fn export(&self, ctx: &Ctx, out: &Path) -> Result<(), CliError> {
        let identity = self.existing()?;
        let text = identity.export();
        if out == Path::new("-") {
            if io::stdout().is_terminal() || ctx.out.is_json() {
                return Err(CliError::usage("the secret key is not shown on a terminal, and not in JSON")
                    .try_also("p2pnode id export --out backup.key", "into a file that only you can read"));
            }
            return ctx.out.line(&text);
        }
        let shown = out.display().to_string();
        write_new(out, &shown, &text)?;
        ctx.out.say("keep it like a password: whoever has it is this node");
        let mut facts = self.facts(&identity);
        facts["file"] = json!(shown);
        ctx.answer(facts, ctx.meta(), || format!("{shown}  secret key of {}", identity.peer_id()))
    }
}

/// What was saved before may be the only copy.
pub(super) fn exists_already(shown: &str) -> CliError {
    CliError::new("file_exists", exit::CONFLICT, format!("{shown} exists already; it was not overwritten"))
}

/// Writes a file that only its owner can read, never over another.
fn write_new(path: &Path, shown: &str, text: &str) -> Result<(), CliError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists_already(shown),
        _ => CliError::io(shown, &error),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    written.map_err(|error| CliError::io(shown, &error))
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
