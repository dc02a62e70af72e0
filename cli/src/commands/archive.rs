//! `p2pnode export` and `import`: a whole profile in one file, there and back.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, IsTerminal as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use p2pnode::{
    ErrorCode, Identity, Paths, Profile,
    store::{Options, Store, StoreError},
};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::id::{Place, exists_already};
use crate::{
    archive::{self, Archive, KEY, Manifest, STORE},
    args::archive::{Export, Import},
    context::Ctx,
    error::{CliError, exit},
    output::render::{quote, size},
    profile,
};

/// Said both times: such a copy is what a thief would want, and what contradicts itself.
const CARE: &str =
    "keep it like a password: whoever has it is this node. Two copies of one identity must not run at once";

/// Writes what the profile is now, also while its node runs.
pub(super) async fn export(ctx: &Ctx, args: &Export) -> Result<(), CliError> {
    let (paths, profile) = (profile::paths(&ctx.global)?, profile::chosen(&ctx.global));
    let to_stdout = args.file == Path::new("-");
    if to_stdout && (io::stdout().is_terminal() || ctx.out.is_json()) {
        return Err(CliError::usage("an export is not written to a terminal, and not into JSON")
            .try_also("p2pnode export backup.tar", "into a file that only you can read"));
    }
    let shown = args.file.display().to_string();
    if !to_stdout && args.file.symlink_metadata().is_ok() {
        return Err(exists_already(&shown));
    }
    let peer_id = Place::of(ctx)?.existing()?.peer_id().to_string();
    // Beside the profiles: as private as they are, and there is room for it if there is for one more.
    let folder = private_folder(&paths, ".export-")?;
    let job = Pack {
        profile: profile.to_owned(),
        peer_id,
        key: (!args.without_key).then(|| paths.identity_path(profile)).transpose()?,
        store: paths.store_path(profile)?,
        memory: archive::memory_paths(&paths, profile)?,
        folder: folder.path().to_owned(),
        file: (!to_stdout).then(|| args.file.clone()),
    };
    let (manifest, bytes) = ctx.guard(None, blocking(move || job.run())).await?;
    if to_stdout {
        ctx.out.say(CARE);
        return Ok(());
    }
    if manifest.has_key() {
        ctx.out.say(CARE);
    }
    let mut data = facts(&manifest);
    data["file"] = json!(shown);
    data["bytes"] = json!(bytes);
    let bytes = size(usize::try_from(bytes).unwrap_or(usize::MAX));
    let key = if manifest.has_key() { "" } else { "   without its key" };
    ctx.answer(data, ctx.meta(), || format!("{shown}  profile {profile}   {}   {bytes}{key}", manifest.peer_id))
}

/// An export under way.
struct Pack {
    profile: String,
    peer_id: String,
    /// None: it stays here.
    key: Option<PathBuf>,
    store: PathBuf,
    memory: [PathBuf; 3],
    /// For copies that do not change.
    folder: PathBuf,
    /// None: stdout.
    file: Option<PathBuf>,
}

impl Pack {
    /// What was written, and how much.
    fn run(self) -> Result<(Manifest, u64), CliError> {
        let mut files = Vec::new();
        files.extend(self.key.clone().map(|key| (KEY, key)));
        if self.store.exists() {
            let copy = self.folder.join(STORE);
            Store::open_read_only(&self.store)?.copy_to(&copy)?;
            self.check(&copy)?;
            files.push((STORE, copy));
        }
        for (path, name) in self.memory.iter().zip(archive::MEMORY) {
            let copy = self.folder.join(name);
            match fs::copy(path, &copy) {
                Ok(_) => files.push((name, copy)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(CliError::io(path.display(), &error)),
            }
        }
        let Some(file) = &self.file else {
            let mut stdout = io::stdout().lock();
            let written = archive::write(&mut stdout, &self.profile, &self.peer_id, &files);
            return written.map(|manifest| (manifest, 0)).map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => CliError::closed(),
                _ => CliError::io("stdout", &error),
            });
        };
        self.save(file, &files)
    }

    /// A backup that could not be restored would be none.
    fn check(&self, copy: &Path) -> Result<(), CliError> {
        let damaged = |what: String| StoreError::Damaged { path: self.store.clone(), what };
        let found = Store::open_read_only(copy).and_then(|store| store.verify(false));
        match found {
            Ok(found) if found.is_empty() => Ok(()),
            Ok(found) => Err(damaged(found.join("; ")).into()),
            Err(StoreError::Damaged { what, .. }) => Err(damaged(what).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Under another name first, so that what has the name is whole.
    fn save(&self, file: &Path, files: &[(&'static str, PathBuf)]) -> Result<(Manifest, u64), CliError> {
        let shown = file.display();
        let failed = |error: io::Error| CliError::io(shown.to_string(), &error);
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Its mode is 0600.
        let mut new = NamedTempFile::with_prefix_in(".p2pnode-export-", folder).map_err(failed)?;
        let manifest = archive::write(new.as_file_mut(), &self.profile, &self.peer_id, files).map_err(failed)?;
        new.as_file().sync_all().map_err(failed)?;
        let bytes = new.as_file().metadata().map_err(failed)?.len();
        new.persist_noclobber(file).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => exists_already(&shown.to_string()),
            _ => failed(error.error),
        })?;
        sync(folder).map_err(failed)?;
        Ok((manifest, bytes))
    }
}

/// Puts a profile where there is none.
pub(super) async fn import(ctx: &Ctx, args: &Import) -> Result<(), CliError> {
    let paths = profile::paths(&ctx.global)?;
    let folder = private_folder(&paths, ".import-")?;
    let (from, at) = (args.file.clone(), folder.path().to_owned());
    let mut export = ctx.guard(None, blocking(move || open(&from, &at))).await?;
    let manifest = export.manifest().clone();
    let name = ctx.global.profile.clone().unwrap_or_else(|| manifest.profile.clone());
    let free = |paths: &Paths| vacant(paths, &name, &manifest, &args.file);
    free(&paths)?;
    let (at, shown) = (folder.path().to_owned(), args.file.display().to_string());
    let work = blocking(move || {
        export.unpack(&at)?;
        check(&at, export.manifest(), &shown)
    });
    ctx.guard(None, work).await?;
    // From here on nothing is waited for: it is all or, if the system breaks, to be done once more.
    let _lock = Profile::open(&paths, &name)?;
    free(&paths)?;
    place(folder.path(), &paths, &name)?;
    let mut data = facts(&manifest);
    data["profile"] = json!(name);
    ctx.out.say("the node it was saved from must not run any more: two copies would contradict each other");
    let (id, created) = (&manifest.peer_id, &manifest.created);
    ctx.answer(data, ctx.meta(), || format!("restored profile {name}   {id}   saved {created}"))
}

/// The file; of stdin a copy, since it is read more than once.
fn open(from: &Path, folder: &Path) -> Result<Archive, CliError> {
    if from != Path::new("-") {
        let shown = from.display().to_string();
        let file = File::open(from).map_err(|error| CliError::io(&shown, &error))?;
        return Archive::open(file, shown);
    }
    if io::stdin().is_terminal() {
        return Err(CliError::usage("there is nothing on stdin but a terminal"));
    }
    let failed = |error: io::Error| CliError::io("stdin", &error);
    let mut copy = tempfile::tempfile_in(folder).map_err(failed)?;
    io::copy(&mut io::stdin().lock(), &mut copy).map_err(failed)?;
    io::Seek::rewind(&mut copy).map_err(failed)?;
    Archive::open(copy, "stdin".to_owned())
}

/// Nothing is there that the profile would replace. Its own key may be: it was restored first, or by an import that broke.
fn vacant(paths: &Paths, name: &str, manifest: &Manifest, file: &Path) -> Result<(), CliError> {
    let (key, store) = (paths.identity_path(name)?, paths.store_path(name)?);
    let own = Identity::load(&key)?.map(|identity| identity.peer_id().to_string());
    let same = own.as_ref() == Some(&manifest.peer_id);
    let file = quote(&file.to_string_lossy());
    if store.exists() || own.is_some() && !same {
        let message = format!("profile \"{name}\" exists already; nothing was imported");
        return Err(CliError::new("profile_exists", exit::CONFLICT, message)
            .looked(store.with_file_name("").display().to_string())
            .detail("profile", name)
            .try_also(format!("p2pnode import {file} --profile NEW"), "under another name"));
    }
    if !same && !manifest.has_key() {
        let message = format!("the export was made without the key of {}", manifest.peer_id);
        return Err(CliError::of(ErrorCode::NotFound, message)
            .looked(key.display().to_string())
            .try_also(format!("p2pnode id import KEY --profile {name}"), "restore the key first, then import again"));
    }
    Ok(())
}

/// Whether what was unpacked is a profile, and makes it one of its own: the original may go on.
fn check(folder: &Path, manifest: &Manifest, shown: &str) -> Result<(), CliError> {
    let wrong =
        |why: String| CliError::new("export_damaged", exit::INTERNAL, format!("{shown}: {why}; nothing was imported"));
    if manifest.has_key() {
        let key = Identity::load(&folder.join(KEY)).ok().flatten();
        if key.is_none_or(|key| key.peer_id().to_string() != manifest.peer_id) {
            return Err(wrong(format!("the key in it is not that of {}", manifest.peer_id)));
        }
    }
    let file = folder.join(STORE);
    if !file.exists() {
        return Ok(());
    }
    let damaged = |error: StoreError| match error {
        StoreError::Damaged { what, .. } => wrong(format!("the {STORE} in it is damaged: {what}")),
        other => other.into(),
    };
    let found = Store::open_read_only(&file).and_then(|store| store.verify(true)).map_err(damaged)?;
    if !found.is_empty() {
        return Err(wrong(format!("the {STORE} in it is damaged: {}", found.join("; "))));
    }
    let options = Options { reserve_bytes: 0, check_max: u64::MAX, ..Options::default() };
    let store = Store::open(&file, &options).map_err(damaged)?;
    Handle::current().block_on(async {
        store.leave_own_feeds().await?;
        store.close().await
    })?;
    Ok(())
}

/// Key before store: a store without its key would be taken over by a new identity.
fn place(from: &Path, paths: &Paths, name: &str) -> Result<(), CliError> {
    for (to, member) in archive::memory_paths(paths, name)?.iter().zip(archive::MEMORY) {
        let from = from.join(member);
        if from.exists() {
            let folder = to.parent().unwrap_or(to);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            // Not moved: it may be another file system.
            made.and_then(|()| fs::copy(&from, to)).map_err(|error| CliError::io(to.display(), &error))?;
        }
    }
    let (key, store) = (paths.identity_path(name)?, paths.store_path(name)?);
    if let Some(identity) = Identity::load(&from.join(KEY))?.filter(|_| !key.exists()) {
        identity.save(&key)?;
    }
    let from = from.join(STORE);
    if from.exists() {
        let folder = store.with_file_name("");
        let moved = fs::rename(&from, &store).and_then(|()| sync(&folder));
        moved.map_err(|error| CliError::io(store.display(), &error))?;
    }
    Ok(())
}

fn facts(manifest: &Manifest) -> Value {
    json!({
        "profile": manifest.profile, "peer_id": manifest.peer_id, "created": manifest.created,
        "program": manifest.program, "with_key": manifest.has_key(), "files": manifest.files,
    })
}

/// A folder for what is not whole yet, which goes in the end. Its name is none of a profile.
fn private_folder(paths: &Paths, prefix: &str) -> Result<TempDir, CliError> {
    let data = paths.data();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    let made = made.and_then(|()| TempDir::with_prefix_in(prefix, data));
    made.map_err(|error| CliError::io(data.display(), &error))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CliError> + Send + 'static,
) -> Result<T, CliError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(CliError::internal(error.to_string())))
}
