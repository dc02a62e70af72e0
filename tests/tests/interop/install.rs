//! Brings peers of other implementations from their registries, once, into the target folder.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use p2pnode_tests::until;

/// How long the registries may take for one implementation.
const LIMIT: Duration = Duration::from_secs(300);

/// js-libp2p needs this one.
const NODE: (u32, &str) = (22, "22.23.3");

/// py-libp2p needs this one.
const PYTHON: (u32, u32) = (3, 10);

/// Written when all is there; what it holds tells for which versions.
const DONE: &str = "done";

/// Why there is no peer of each. What has failed fails again, and takes its time: the tests of one process try once.
static FAILED: [OnceLock<String>; 2] = [const { OnceLock::new() }; 2];

/// An implementation of libp2p that is not ours.
#[derive(Debug, Clone, Copy)]
pub(super) enum Language {
    Js,
    Py,
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Js => "js",
            Self::Py => "py",
        }
    }

    fn sources(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(self.name())
    }

    /// The program that runs a peer, without its arguments. `None`, and a word why, where that cannot be had or is not
    /// wanted: a machine without network has no less of a p2pnode for it, and nobody's test fetches a hundred packages
    /// unasked.
    ///
    /// # Panics
    /// Instead, if `P2PNODE_INTEROP=require`.
    pub(super) fn peer(self) -> Option<Command> {
        let wanted = env::var_os("P2PNODE_INTEROP");
        let program = match &wanted {
            Some(_) => self.install(),
            None => Err("P2PNODE_INTEROP=1 fetches it from its registry".to_owned()),
        };
        match program {
            Ok(command) => Some(command),
            Err(why) => {
                let required = wanted.is_some_and(|value| value == "require");
                assert!(!required, "P2PNODE_INTEROP=require, but there is no {self:?} peer: {why}");
                // Not `println!`: of a test that passes, nobody would see it.
                let _ = writeln!(io::stderr(), "SKIPPED: no {self:?} peer: {why}");
                None
            }
        }
    }

    fn install(self) -> Result<Command, String> {
        let folder = cache().map_err(|error| error.to_string())?.join(self.name());
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        // Other tests, also in other processes, want the same now.
        let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let [js, py] = &FAILED;
        let failed = match self {
            Self::Js => js,
            Self::Py => py,
        };
        if let Some(why) = failed.get() {
            return Err(why.clone());
        }
        let installed = match self {
            Self::Js => install_js(&self.sources(), &folder),
            Self::Py => install_py(&self.sources(), &folder),
        };
        installed.inspect_err(|why| _ = failed.set(why.clone()))
    }
}

/// `target/interop`: it outlives a change of profile.
fn cache() -> io::Result<PathBuf> {
    // target/PROFILE/deps/TEST
    let exe = env::current_exe()?;
    let target = exe.ancestors().nth(3).ok_or_else(|| io::Error::other("the test is not in a target folder"))?;
    Ok(target.join("interop"))
}

fn install_js(sources: &Path, folder: &Path) -> Result<Command, String> {
    let node = node(folder)?;
    for name in ["package.json", "package-lock.json", ".npmrc", "main.mjs", "peer.mjs", "wire.mjs"] {
        copy(&sources.join(name), &folder.join(name))?;
    }
    once(folder, &read(&sources.join("package-lock.json"))?, || {
        finish(npm(folder).args(["ci", "--ignore-scripts"]), folder)
    })?;
    let mut command = Command::new(node);
    command.arg(folder.join("main.mjs"));
    Ok(command)
}

/// The one on the path, or else one of the registry, which has it as a package for each kind of machine.
fn node(folder: &Path) -> Result<PathBuf, String> {
    let (wanted, version) = NODE;
    if version_of("node", "v").is_some_and(|found| found.first() >= Some(&wanted)) {
        return Ok("node".into());
    }
    let system = match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        (os, arch) => return Err(format!("node {wanted} or newer is not on the path, nor in npm for {os} {arch}")),
    };
    let (own, package) = (folder.join("node"), format!("node-{system}"));
    fs::create_dir_all(&own).map_err(|error| error.to_string())?;
    once(&own, version, || {
        let wanted = format!("{package}@{version}");
        let args = ["install", "--no-save", "--no-package-lock", "--ignore-scripts", &wanted];
        finish(npm(&own).args(args).arg("--prefix").arg(&own), &own)
    })?;
    Ok(own.join("node_modules").join(package).join("bin/node"))
}

fn npm(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1"]);
    npm
}

fn install_py(sources: &Path, folder: &Path) -> Result<Command, String> {
    let (major, minor) = PYTHON;
    if version_of("python3", "Python ").is_none_or(|found| found < vec![major, minor]) {
        return Err(format!("python3 {major}.{minor} or newer is not on the path"));
    }
    let python = folder.join("venv/bin/python");
    let [requirements, constraints] = ["requirements.txt", "constraints.txt"].map(|name| sources.join(name));
    once(folder, &[read(&requirements)?, read(&constraints)?].concat(), || {
        finish(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")), folder)?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--retries", "1"]);
        finish(pip.arg("-r").arg(requirements).arg("-c").arg(constraints), folder)
    })?;
    let mut command = Command::new(python);
    command.arg(sources.join("main.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Does the work unless it was done for the same versions.
fn once(folder: &Path, versions: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let done = folder.join(DONE);
    if fs::read_to_string(&done).is_ok_and(|known| known == versions) {
        return Ok(());
    }
    let _ = fs::remove_file(&done);
    work()?;
    fs::write(done, versions).map_err(|error| error.to_string())
}

/// Only if it differs: another test's peer may be reading it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let text = read(from)?;
    if fs::read_to_string(to).is_ok_and(|known| known == text) {
        return Ok(());
    }
    fs::write(to, text).map_err(|error| format!("{}: {error}", to.display()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// What `--version` says, as numbers; `None` if there is no such program.
fn version_of(program: &str, prefix: &str) -> Option<Vec<u32>> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.trim().strip_prefix(prefix)?.split('.').map_while(|part| part.parse().ok());
    Some(numbers.collect())
}

/// Runs a program to its end; what it says goes to a file, and from there into the error.
fn finish(command: &mut Command, folder: &Path) -> Result<(), String> {
    let path = folder.join("log");
    let said = |what: &str| {
        let log = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        format!("{what}: {}", lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n"))
    };
    let log = File::create(&path).map_err(|error| error.to_string())?;
    let both = log.try_clone().map_err(|error| error.to_string())?;
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(log).stderr(both).spawn();
    let mut child = child.map_err(|error| format!("{program}: {error}"))?;
    match until(LIMIT, || child.try_wait().transpose()) {
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => Err(said(&format!("{program}: {status}"))),
        Some(Err(error)) => Err(said(&format!("{program}: {error}"))),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            Err(said(&format!("{program} took longer than {LIMIT:?}")))
        }
    }
}
