//! Where a node's control socket is, and that nobody else gets at it.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixStream as Blocking,
    },
    path::{Path, PathBuf},
};

use p2pnode::Paths;
use tokio::net::{UnixListener, UnixStream};

use crate::{
    error::{CliError, exit},
    output::render::quote,
};

/// What the systems leave for the path of a socket: 104 bytes on macOS, 108 on Linux, a zero at the end.
const PATH_MAX: usize = 103;

/// The socket of a profile.
pub(crate) fn path(paths: &Paths, profile: &str) -> PathBuf {
    paths.runtime().join(format!("{profile}.sock"))
}

/// A socket that listens; its file goes with it.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens for a profile whose lock is held: whoever left a file here has gone, unless it answers.
    pub(crate) fn bind(paths: &Paths, profile: &str) -> Result<Self, CliError> {
        let path = path(paths, profile);
        fits(&path)?;
        let failed = |error: io::Error| cannot(&path, &error);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(paths.runtime());
        made.map_err(|error| cannot(paths.runtime(), &error))?;
        private(paths.runtime())?;
        match Blocking::connect(&path) {
            Ok(_) => return Err(taken(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => fs::remove_file(&path).map_err(failed)?,
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let socket = Self { listener, path };
        fs::set_permissions(&socket.path, Permissions::from_mode(0o600))
            .map_err(|error| cannot(&socket.path, &error))?;
        Ok(socket)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next client that may talk to us: of the same user, or root. Others are closed without a word.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if stream.peer_cred().is_ok_and(|peer| is_allowed(peer.uid())) {
                return Ok(stream);
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_allowed(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::getuid().as_raw()
}

/// A folder of ours that nobody else may enter; a link is none, others may have put it there.
pub(crate) fn private(folder: &Path) -> Result<(), CliError> {
    let refused = |what: String| {
        CliError::new("folder_not_private", exit::INTERNAL, format!("{} {what}", folder.display()))
            .maybe("whoever can enter it could take the place of the node's control socket")
    };
    let chmod = format!("chmod 700 {}", quote(&folder.to_string_lossy()));
    let elsewhere = "export XDG_RUNTIME_DIR=/path/to/a/folder/of/your/own";
    let found = fs::symlink_metadata(folder).map_err(|error| cannot(folder, &error))?;
    if !found.is_dir() {
        return Err(refused("is no folder".into()).try_this(elsewhere));
    }
    if found.uid() != rustix::process::getuid().as_raw() {
        return Err(refused(format!("belongs to user {}", found.uid())).try_this(elsewhere));
    }
    match found.permissions().mode() & 0o777 {
        mode if mode & 0o077 != 0 => {
            Err(refused(format!("can be entered by others (mode {mode:04o})")).try_also(chmod, "keep others out"))
        }
        _ => Ok(()),
    }
}

fn fits(path: &Path) -> Result<(), CliError> {
    let length = path.as_os_str().as_bytes().len();
    if length <= PATH_MAX {
        return Ok(());
    }
    let message = format!("{} is too long for a socket: {length} bytes, the limit is {PATH_MAX}", path.display());
    Err(CliError::new("socket_path", exit::USAGE, message)
        .maybe("XDG_RUNTIME_DIR or P2PNODE_HOME is a long path, or the profile has a long name")
        .try_also("export XDG_RUNTIME_DIR=/run/user/$(id -u)", "a short path"))
}

fn taken(path: &Path) -> CliError {
    CliError::new("already_running", exit::CONFLICT, format!("another node listens at {}", path.display()))
        .maybe("it has the same profile in another --home, and the same XDG_RUNTIME_DIR")
        .try_also(crate::output::render::again("-P b", ""), "another profile")
}

fn cannot(path: &Path, error: &io::Error) -> CliError {
    CliError::new("control_socket", exit::INTERNAL, format!("{}: {error}", path.display()))
        .try_also("export XDG_RUNTIME_DIR=/path/to/a/folder/of/your/own", "where the control socket is put")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::in_folder(folder.path()).unwrap();
        (folder, paths)
    }

    #[tokio::test]
    async fn a_socket_is_private_and_goes_with_its_node() {
        let (_folder, paths) = home();
        let socket = Socket::bind(&paths, "a").unwrap();
        let path = socket.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(paths.runtime()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(Socket::bind(&paths, "a").unwrap_err().exit(), 8, "it answers");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_node_left_is_in_nobodys_way() {
        let (_folder, paths) = home();
        let stale = Socket::bind(&paths, "a").unwrap();
        let path = stale.path().to_owned();
        // As a process that was killed: nobody listens, the file stays.
        let kept = path.with_extension("kept");
        fs::rename(&path, &kept).unwrap();
        drop(stale);
        fs::rename(&kept, &path).unwrap();
        let socket = Socket::bind(&paths, "a").unwrap();
        assert!(Blocking::connect(socket.path()).is_ok());
    }

    #[tokio::test]
    async fn an_open_folder_and_a_long_path_are_refused_by_name() {
        let (_folder, paths) = home();
        fs::create_dir(paths.runtime()).unwrap();
        fs::set_permissions(paths.runtime(), Permissions::from_mode(0o755)).unwrap();
        let error = Socket::bind(&paths, "a").unwrap_err();
        let text = error.to_text(crate::output::style::Style::plain());
        assert!(text.contains("mode 0755") && text.contains("chmod 700"), "{text}");
        assert!(text.contains(&paths.runtime().display().to_string()), "{text}");
        let error = Socket::bind(&paths, &"x".repeat(100)).unwrap_err();
        assert_eq!((error.facts().code.as_ref(), error.exit()), ("socket_path", 2));
        assert!(error.facts().message.contains(&"x".repeat(100)), "{error}");
    }

    #[test]
    fn root_and_the_same_user_may_talk() {
        let own = rustix::process::getuid().as_raw();
        assert!(is_allowed(own) && is_allowed(0) && !is_allowed(own.wrapping_add(1).max(1)));
    }
}
