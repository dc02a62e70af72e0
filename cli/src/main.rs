//! The `p2pnode` command line: reads the words, starts what they ask for, tells how it went.
#![forbid(unsafe_code)]
// Doc comments of arguments are help texts: brackets there are addresses.
#![allow(rustdoc::broken_intra_doc_links)]

mod archive;
mod args;
mod background;
mod commands;
mod config;
mod connect;
mod context;
mod control;
mod demo;
mod error;
mod hooks;
mod input;
mod joined;
mod listing;
mod logging;
mod names;
mod output;
mod port;
mod profile;
mod program;
mod signals;
mod ticket;

use std::{
    any::Any,
    env,
    ffi::OsString,
    panic,
    process::{self, ExitCode},
    time::{Duration, Instant},
};

use crate::{
    args::{Cli, Early, Parsed, Verb, global::Color},
    context::Ctx,
    error::{CliError, exit},
    output::Out,
    signals::Stop,
};

/// Threads that still read stdin or resolve a name must not hold up the exit.
const THREADS: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let started = Instant::now();
    let words: Vec<OsString> = env::args_os().collect();
    let early = Early::scan(&words, |name| env::var(name).ok());
    let out = Out::new(early, false);
    exit_on_panic(out.clone());
    ExitCode::from(match args::parse(&words) {
        Parsed::Run(cli) => run(*cli, started),
        Parsed::Show(text) => tell(&out, "help", out.show(&text).map(|()| 0)),
        Parsed::NoVerb(text) => {
            out.say(anstream::adapter::strip_str(&text).to_string().trim_end());
            exit::USAGE
        }
        Parsed::Wrong(error, verb) => out.fail(verb, &error),
    })
}

/// Does what was asked, on a runtime of its own.
fn run(cli: Cli, started: Instant) -> u8 {
    let Cli { mut global, verb } = cli;
    let detached = matches!(verb, Verb::Up(_)) && background::is_child();
    if detached {
        // Its lines are for the log, whatever its parent prints.
        (global.json, global.color) = (false, Color::Never);
        if let Err(error) = background::enter() {
            return Out::new(Early::from(&global), false).fail("up", &CliError::internal(format!("no log: {error}")));
        }
    }
    let mut out = Out::new(Early::from(&global), global.verbose > 0);
    out.dated = detached;
    logging::start(&global, &out);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return out.fail(verb.name(), &CliError::internal(format!("cannot start threads: {error}"))),
    };
    let name = verb.name();
    let outcome = runtime.block_on(async {
        let stop = Stop::listen().map_err(|error| CliError::internal(format!("cannot watch signals: {error}")))?;
        let ctx = Ctx { global, out: out.clone(), stop, verb: name, started, daemon: None };
        commands::run(&ctx, verb).await
    });
    program::kill_all();
    runtime.shutdown_timeout(THREADS);
    tell(&out, name, outcome)
}

/// The exit code; an error is told first.
fn tell(out: &Out, kind: &str, outcome: Result<u8, CliError>) -> u8 {
    outcome.unwrap_or_else(|error| out.fail(kind, &error))
}

/// A bug anywhere, in whatever task, ends the process: half a node is worse than none.
fn exit_on_panic(out: Out) {
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let why = text_of(info.payload()).unwrap_or("no reason given");
        let error = CliError::internal(format!("p2pnode has a bug and must stop ({place}): {why}"))
            .try_also("https://github.com/p2pnode/p2pnode/issues", "tell us, with the line above");
        out.fail("panic", &error);
        program::kill_all();
        process::exit(i32::from(exit::INTERNAL));
    }));
}

/// What `panic!` was given.
fn text_of(payload: &dyn Any) -> Option<&str> {
    payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied())
}
