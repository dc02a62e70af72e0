//! Profiles: identity and folders of one node on this host. The only file that knows how they are chosen.

use p2pnode::{Builder, IdentityError, Paths, PeerId, Profile, ProfileError, default_name};

use crate::{
    args::{Global, up::Up},
    context::Ctx,
    error::{CliError, exit},
    output::render::again,
};

/// The profile of who gives no name.
pub(crate) const DEFAULT: &str = "default";

/// Where this user's profiles and registry are.
pub(crate) fn paths(global: &Global) -> Result<Paths, CliError> {
    let paths = match global.home.as_ref().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => Paths::in_folder(folder),
        None => Paths::discover(),
    };
    Ok(paths?)
}

/// The profile of commands that take no free one.
pub(crate) fn chosen(global: &Global) -> &str {
    global.profile.as_deref().unwrap_or(DEFAULT)
}

/// The profile that `up` takes, if it is free.
pub(crate) fn wanted<'a>(ctx: &'a Ctx, args: &'a Up) -> &'a str {
    ctx.global.profile.as_deref().or(args.name.as_deref()).unwrap_or(DEFAULT)
}

/// A profile taken for a node: nobody else has it until the node ends.
#[derive(Debug)]
pub(crate) struct Kept {
    profile: Profile,
    id: PeerId,
}

impl Kept {
    /// The profile of the options; without any, the first free one.
    pub(crate) fn take(ctx: &Ctx, args: &Up) -> Result<Self, CliError> {
        let paths = paths(&ctx.global)?;
        let profile = match ctx.global.profile.as_ref().or(args.name.as_ref()) {
            Some(name) => Profile::open(&paths, name)?,
            None => first_free(ctx, &paths)?,
        };
        let id = profile.identity()?.peer_id();
        Ok(Self { profile, id })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.profile.name()
    }

    /// Its identity was made just now.
    pub(crate) fn is_new(&self) -> bool {
        self.profile.is_new()
    }

    /// The port it had last time.
    pub(crate) fn port(&self) -> Option<u16> {
        self.profile.port()
    }

    /// What its node is called if nobody says otherwise.
    pub(crate) fn default_name(&self) -> String {
        default_name(&self.id)
    }

    /// Hands it to a node, which listens on this port; the next run tries it first.
    pub(crate) fn into_builder(self, builder: Builder, port: Option<u16>) -> Result<Builder, CliError> {
        if let Some(port) = port {
            self.profile.remember_port(port)?;
        }
        Ok(builder.profile(self.profile))
    }
}

/// Several nodes on one host are normal; that it is not the usual profile is said.
fn first_free(ctx: &Ctx, paths: &Paths) -> Result<Profile, CliError> {
    match Profile::open(paths, DEFAULT) {
        Err(error @ ProfileError::Running { .. }) => {
            let profile = Profile::open_free(paths)?;
            ctx.out.note(&format!("{error}; this node takes profile \"{}\"", profile.name()));
            Ok(profile)
        }
        other => Ok(other?),
    }
}

impl From<ProfileError> for CliError {
    fn from(error: ProfileError) -> Self {
        let text = error.to_string();
        match error {
            ProfileError::Running { pid, .. } => Self::new("already_running", exit::CONFLICT, text)
                .detail("pid", pid)
                .maybe("a node keeps its profile as long as it runs; another --name has an identity of its own")
                // Unknown is 0, and `kill 0` would end the caller's own group.
                .try_also(
                    if pid == 0 { again("", "--name b") } else { format!("kill {pid}") },
                    "stop that node, or start another",
                ),
            ProfileError::AllInUse => Self::new("already_running", exit::CONFLICT, text),
            ProfileError::Name(_) => Self::usage(text),
            ProfileError::Identity(error) => error.into(),
            ProfileError::NoHome => Self::new("no_home", exit::INTERNAL, text)
                .try_also(again("--home /path/to/a/folder", ""), "keep everything there"),
            ProfileError::Folder { .. } | ProfileError::NotPrivate { .. } => Self::new("folder", exit::INTERNAL, text)
                .try_also(again("--home /path/to/a/folder", ""), "keep everything there"),
            _ => Self::internal(text),
        }
    }
}

impl From<IdentityError> for CliError {
    fn from(error: IdentityError) -> Self {
        let text = error.to_string();
        match error {
            IdentityError::Mode { path, .. } => Self::new("key_mode", exit::USAGE, text)
                .try_this(format!("chmod 600 {}", crate::output::render::quote(&path.to_string_lossy()))),
            IdentityError::Exists { .. } => Self::new("identity_exists", exit::CONFLICT, text),
            IdentityError::Text(_) => Self::usage(text),
            IdentityError::Damaged { .. } => Self::new("key_damaged", exit::INTERNAL, text),
            IdentityError::Io { .. } => Self::new("folder", exit::INTERNAL, text)
                .try_also(again("--home /path/to/a/folder", ""), "keep everything there"),
            _ => Self::internal(text),
        }
    }
}
