//! `p2pnode logs`: what the node in the background has written.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::time::sleep;

use crate::{
    args::daemon::Logs,
    background::log_path,
    context::Ctx,
    error::CliError,
    output::{escape_all, json::millis},
    profile,
};

/// Between two looks whether there is more.
const LOOK: Duration = Duration::from_millis(100);

/// A line is shown up to here.
const LINE: usize = 64 * 1024;

/// Prints the end of the log, and with `-f` what comes.
pub(super) async fn run(ctx: &Ctx, args: &Logs) -> Result<u8, CliError> {
    let outcome = print(ctx, args).await;
    if !ctx.out.is_json() || outcome.as_ref().is_err_and(|error| error.exit() == 0) {
        return outcome.map(|()| 0);
    }
    let exit = outcome.as_ref().map_or_else(CliError::exit, |()| 0);
    let mut line = json!({"command": ctx.verb, "ok": outcome.is_ok(), "exit": exit});
    line["elapsed_ms"] = millis(ctx.started.elapsed());
    if let Err(error) = outcome {
        line["error"] = error.to_json();
    }
    ctx.out.event("summary", line).map(|()| exit)
}

async fn print(ctx: &Ctx, args: &Logs) -> Result<(), CliError> {
    let name = profile::chosen(&ctx.global);
    let path = log_path(&profile::paths(&ctx.global)?, name)?;
    if !path.exists() && !args.follow {
        return Err(CliError::new(
            "not_found",
            p2pnode::ErrorCode::NotFound.exit(),
            format!("profile \"{name}\" has no log yet"),
        )
        .looked(path.display().to_string())
        .maybe("only a node in the background writes one; in a terminal it prints the same lines")
        .try_also("p2pnode up garden --detach", "a node in the background"));
    }
    let mut tail = Tail { path, file: None, rest: Vec::new() };
    for line in tail.last(args.lines as usize)? {
        show(ctx, &line)?;
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        for line in tail.more()? {
            show(ctx, &line)?;
        }
        let wait = async {
            sleep(LOOK).await;
            Ok(())
        };
        tokio::select! {
            waited = ctx.guard(None, wait) => match waited {
                Err(error) if !error.facts().silent => return Ok(()),
                other => other?,
            },
            () = ctx.out.reader_gone() => return Err(CliError::closed()),
        }
    }
}

fn show(ctx: &Ctx, line: &str) -> Result<(), CliError> {
    match ctx.out.is_json() {
        true => ctx.out.event("log", json!({"text": line})),
        // Its colours are taken out: it was written for no terminal.
        false => ctx.out.line(&escape_all(line)),
    }
}

/// A log that grows, and is renamed when it is large.
struct Tail {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
}

impl Tail {
    /// The last lines, of the renamed log too if the new one has too few.
    fn last(&mut self, wanted: usize) -> Result<Vec<String>, CliError> {
        let mut lines = VecDeque::new();
        let mut keep = |line| {
            lines.push_back(line);
            if lines.len() > wanted {
                lines.pop_front();
            }
        };
        if let Some(old) = open(&old_path(&self.path))? {
            let mut old = Self { path: PathBuf::new(), file: Some(BufReader::new(old)), rest: Vec::new() };
            while let Some(line) = old.next()? {
                keep(line);
            }
        }
        self.file = open(&self.path)?.map(BufReader::new);
        while let Some(line) = self.next()? {
            keep(line);
        }
        Ok(lines.into())
    }

    /// What has come since.
    fn more(&mut self) -> Result<Vec<String>, CliError> {
        let mut lines = Vec::new();
        while let Some(line) = self.next()? {
            lines.push(line);
        }
        if self.is_renamed() {
            self.file = open(&self.path)?.map(BufReader::new);
            self.rest.clear();
            while let Some(line) = self.next()? {
                lines.push(line);
            }
        }
        Ok(lines)
    }

    fn next(&mut self) -> Result<Option<String>, CliError> {
        let Some(file) = &mut self.file else { return Ok(None) };
        let failed = |error: io::Error| CliError::io(self.path.display(), &error);
        let left = (LINE - self.rest.len().min(LINE)) as u64;
        let read = file.by_ref().take(left).read_until(b'\n', &mut self.rest).map_err(failed)?;
        let whole = self.rest.ends_with(b"\n") || self.rest.len() >= LINE;
        if read == 0 || !whole {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&self.rest).trim_end().to_owned();
        self.rest.clear();
        Ok(Some(line))
    }

    /// Another file is at its place, or it was cut.
    fn is_renamed(&mut self) -> bool {
        let Ok(there) = fs::metadata(&self.path) else { return false };
        let Some(file) = &mut self.file else { return true };
        let place = file.stream_position().unwrap_or_default();
        file.get_ref().metadata().is_ok_and(|ours| ours.ino() != there.ino() || there.len() < place)
    }
}

fn open(path: &Path) -> Result<Option<File>, CliError> {
    match File::open(path) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(0)).map(|_| Some(file)).map_err(|error| CliError::io(path.display(), &error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::io(path.display(), &error)),
    }
}

/// What a log is called once it was large.
pub(crate) fn old_path(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_and_what_comes() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.log");
        fs::write(old_path(&path), "one\ntwo\n").unwrap();
        fs::write(&path, "three\nfour\nfi").unwrap();
        let mut tail = Tail { path: path.clone(), file: None, rest: Vec::new() };
        assert_eq!(tail.last(3).unwrap(), ["two", "three", "four"]);
        File::options().append(true).open(&path).unwrap().write_all(b"ve\nsix\n").unwrap();
        assert_eq!(tail.more().unwrap(), ["five", "six"]);
        assert!(tail.more().unwrap().is_empty());
        fs::rename(&path, old_path(&path)).unwrap();
        fs::write(&path, "seven\n").unwrap();
        assert_eq!(tail.more().unwrap(), ["seven"]);
    }
}
