//! Runs in processes of their own: libp2p numbers connections per process, so equal runs need fresh ones.

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use serde_json::Value;

use super::{RunArgs, fail, say, tell};

/// One run in a process of its own: its report.
pub(super) fn report(scenario: &str, more: &[String]) -> Result<Value, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["run", scenario, "--json", "--no-progress"]).args(more).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| format!("the run ended with {}", output.status))
}

/// The command that makes the same run again, for a shell.
pub(super) fn again(args: &RunArgs, seed: u64) -> String {
    let mut line = format!("p2psim run {}", quoted(&args.scenario));
    for word in words(args, seed) {
        line.push(' ');
        line.push_str(&quoted(&word));
    }
    line
}

fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), std::borrow::Cow::into_owned)
}

/// The words that make the same run again.
fn words(args: &RunArgs, seed: u64) -> Vec<String> {
    let mut words = vec!["--seed".to_owned(), seed.to_string()];
    words.extend(args.nodes.iter().flat_map(|nodes| ["--nodes".to_owned(), nodes.to_string()]));
    words.extend(args.duration.iter().flat_map(|time| ["--duration".to_owned(), time.clone()]));
    words.extend(args.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    words.extend(args.time.word().into_iter().flat_map(|time| ["--time".to_owned(), time.to_owned()]));
    words.extend(args.threshold.iter().flat_map(|t| ["--threshold".to_owned(), t.clone()]));
    words
}

/// Runs several times; all digests must be equal.
pub(super) fn repeat(args: &RunArgs, seed: u64) -> ExitCode {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return fail(&format!("no folder for the traces: {error}")),
    };
    let mut first: Option<String> = None;
    let mut exit = 0;
    for number in 0..args.repeat {
        let trace = folder.path().join(format!("{}", number.min(1)));
        let mut words = words(args, seed);
        words.extend(["--trace".to_owned(), trace.to_string_lossy().into_owned()]);
        if args.perturb && number > 0 {
            words.push("--perturb".into());
        }
        let report = match report(&args.scenario, &words) {
            Ok(report) => report,
            Err(error) => {
                tell(&format!("error: run {}: {error}", number + 1));
                return ExitCode::FAILURE;
            }
        };
        let digest = report["digest"].as_str().unwrap_or_default().to_owned();
        let (events, wall) = (&report["events"], report["wall_s"].as_f64().unwrap_or_default());
        let _ = say(&format!("run {}   digest {digest}   {events} events   {wall:.1} s\n", number + 1));
        exit = exit.max(report["exit"].as_u64().unwrap_or(1));
        match &first {
            Some(first) if *first != digest => {
                let _ = say(&difference(&folder.path().join("0"), &trace));
                return ExitCode::from(1);
            }
            Some(_) => {}
            None => first = Some(digest),
        }
    }
    let _ = say(&format!("{} runs with seed {seed}, one digest\n", args.repeat));
    ExitCode::from(u8::try_from(exit).unwrap_or(1))
}

/// Where two traces part.
pub(super) fn difference(first: &Path, second: &Path) -> String {
    let lines = |path: &Path| File::open(path).map(|file| BufReader::new(file).lines().map_while(Result::ok));
    let (Ok(mut first), Ok(mut second)) = (lines(first), lines(second)) else {
        return "the digests differ, and the traces cannot be read\n".into();
    };
    let mut number = 0_u64;
    loop {
        number += 1;
        match (first.next(), second.next()) {
            (None, None) => return "the digests differ, the traces do not\n".into(),
            (a, b) if a == b => {}
            (a, b) => {
                let show = |line: Option<String>| line.unwrap_or_else(|| "(its end)".into());
                let (a, b) = (show(a), show(b));
                return format!("the runs differ from event {number} on:\n  first    {a}\n  second   {b}\n");
            }
        }
    }
}
