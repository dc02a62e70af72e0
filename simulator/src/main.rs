//! `p2psim`: runs real nodes in one process.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs real p2pnode nodes in one process, over memory instead of a network.
#[derive(Parser)]
#[command(name = "p2psim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Two nodes find each other, call and ask, on the wall clock
    Hello {
        /// Calls to make
        #[arg(long, default_value_t = 1_000, value_name = "N")]
        calls: u64,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Hello { calls, json } = Cli::parse().command;
    match p2pnode_simulator::hello(calls).await {
        Ok(report) if json => match serde_json::to_string(&report) {
            Ok(text) => say(&text),
            Err(error) => fail(&error.into()),
        },
        Ok(r) => say(&format!(
            "{} nodes   joined {:.1} ms   {} calls in {:.1} ms ({} on the fast road)   ask {:.1} ms",
            r.nodes, r.joined_ms, r.calls, r.calls_ms, r.fast_calls, r.ask_ms
        )),
        Err(error) => fail(&error),
    }
}

/// A reader that has gone away is no failure.
fn say(text: &str) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn fail(error: &anyhow::Error) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}
