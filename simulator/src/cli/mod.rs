//! The command line of the simulator.

mod child;
mod run;
mod sweep;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use p2pnode_simulator::{
    Mode,
    scenario::{BUILTIN, Expr, Scenario, TEMPLATE},
};

/// A bad scenario, or bad arguments.
pub(crate) const BAD: u8 = 2;

/// Runs real p2pnode nodes by the hundreds: virtual time, a modelled network, the same seed giving the same run.
#[derive(Parser)]
#[command(name = "p2psim", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a scenario: a built-in name or a file
    Run(RunArgs),
    /// Lists the built-in scenarios
    List,
    /// Prints a built-in scenario
    Show {
        /// Its name
        name: String,
    },
    /// Writes a commented template
    New {
        /// Where to
        file: PathBuf,
    },
    /// Checks a scenario file
    Check {
        /// Name or file
        scenario: String,
    },
    /// Runs a scenario over several values of a parameter and prints a table and a chart
    Sweep(sweep::SweepArgs),
}

#[derive(Args, Clone)]
pub(crate) struct RunArgs {
    /// Built-in name or file
    scenario: String,
    /// Nodes, instead of the scenario's
    #[arg(short = 'n', long)]
    nodes: Option<usize>,
    /// Seed: a number, or `random`
    #[arg(long)]
    seed: Option<String>,
    /// How long the nodes work
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
    /// Virtual time, or the wall clock over memory or over TCP on loopback
    #[arg(long, value_enum, default_value = "virtual")]
    time: Time,
    /// Sets a key of the scenario, such as `network.loss=0.01`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// A threshold besides the scenario's, such as `wall_s<60`
    #[arg(long, value_name = "EXPR")]
    threshold: Vec<String>,
    /// Writes report.json and report.html into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Writes the report as one HTML file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Prints the report as JSON, or writes it
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Writes the thresholds as `JUnit`
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Writes a table for a summary of CI
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Writes what happens, line by line
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Runs so many times with the same seed: the digests must be equal
    #[arg(long, value_name = "K", default_value_t = 1)]
    repeat: u32,
    /// Changes one byte of the first message: the digest must change with it
    #[arg(long, hide = true)]
    perturb: bool,
    /// No progress on the terminal
    #[arg(long)]
    no_progress: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Time {
    Virtual,
    /// The wall clock, over memory
    Real,
    /// The wall clock, over TCP on loopback
    Loopback,
}

impl Time {
    /// As it is given, unless it is the default.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Virtual => None,
            Self::Real => Some("real"),
            Self::Loopback => Some("loopback"),
        }
    }
}

impl From<Time> for Mode {
    fn from(time: Time) -> Self {
        match time {
            Time::Virtual => Self::Virtual,
            Time::Real => Self::Memory,
            Time::Loopback => Self::Loopback,
        }
    }
}

pub(crate) fn main() -> ExitCode {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    }
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::List => {
            let mut lines = String::new();
            for builtin in BUILTIN {
                let about = Scenario::parse(builtin.name, builtin.text).map(|s| s.description).unwrap_or_default();
                lines.push_str(&format!("{:<16} {about}\n", builtin.name));
            }
            say(&lines)
        }
        Command::Show { name } => match BUILTIN.iter().find(|builtin| builtin.name == name) {
            Some(builtin) => say(builtin.text),
            None => fail(&unknown(&name)),
        },
        Command::New { file } => new(&file),
        Command::Check { scenario } => match load(&scenario, &[]) {
            Ok(loaded) => say(&format!("{}: good, {} nodes, {}\n", scenario, loaded.nodes.count, loaded.duration)),
            Err(error) => fail(&error),
        },
        Command::Sweep(args) => sweep::sweep(&args),
    }
}

fn new(file: &Path) -> ExitCode {
    let written =
        fs::File::options().write(true).create_new(true).open(file).and_then(|mut f| f.write_all(TEMPLATE.as_bytes()));
    match written {
        Ok(()) => say(&format!("{0} written; run it:  p2psim run {0}\n", file.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fail(&format!("{} is there already, and is left as it is", file.display()))
        }
        Err(error) => fail(&format!("{}: {error}", file.display())),
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = BUILTIN.iter().map(|builtin| builtin.name).collect();
    let near = names.iter().map(|known| (strsim::damerau_levenshtein(name, known), *known)).min();
    let meant = near.filter(|(far, _)| *far <= 4).map(|(_, near)| format!("\nhelp: did you mean {near}?"));
    format!("there is no scenario \"{name}\"; built-in are {}{}", names.join(", "), meant.unwrap_or_default())
}

/// The text of a scenario, and where it is from.
fn text_of(name: &str) -> Result<(String, String), String> {
    if let Some(builtin) = BUILTIN.iter().find(|builtin| builtin.name == name) {
        return Ok((format!("{name} (built-in)"), builtin.text.to_owned()));
    }
    if !Path::new(name).exists() && !name.contains(['/', '.']) {
        return Err(unknown(name));
    }
    fs::read_to_string(name).map(|text| (name.to_owned(), text)).map_err(|error| format!("{name}: {error}"))
}

/// Reads a scenario, with `KEY=VALUE` set over it.
pub(crate) fn load(name: &str, set: &[(String, String)]) -> Result<Scenario, String> {
    let (from, text) = text_of(name)?;
    let scenario = Scenario::parse(&from, &text).map_err(|wrong| wrong.to_string())?;
    if set.is_empty() {
        return Ok(scenario);
    }
    let mut table: toml::Table = text.parse().map_err(|error| format!("{from}: {error}"))?;
    for (key, value) in set {
        put(&mut table, key, value)?;
    }
    let text = toml::to_string(&table).map_err(|error| error.to_string())?;
    Scenario::parse(&format!("{from} with what was set"), &text).map_err(|wrong| wrong.to_string())
}

fn put(table: &mut toml::Table, key: &str, value: &str) -> Result<(), String> {
    // As TOML, or as a text without the quotes.
    let value = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
    let (path, last) = key.rsplit_once('.').map_or((None, key), |(path, last)| (Some(path), last));
    let mut at = table;
    for part in path.into_iter().flat_map(|path| path.split('.')) {
        let entry = at.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = entry.as_table_mut().ok_or_else(|| format!("{key}: \"{part}\" holds no keys"))?;
    }
    match value {
        Some(value) => at.insert(last.to_owned(), value),
        None => return Err(format!("{key}: the value is no TOML; texts need quotes")),
    };
    Ok(())
}

/// `network.loss=0.01`; a value that is no TOML is a text.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not KEY=VALUE"))?;
    let quoted = format!("v = {value}").parse::<toml::Table>().is_err();
    Ok((key.to_owned(), if quoted { format!("{value:?}") } else { value.to_owned() }))
}

/// `gossip.delivery_ratio >= 0.99`.
pub(crate) fn condition(text: &str) -> Result<(String, Expr), String> {
    let at = text.find(['<', '>']).ok_or_else(|| format!("\"{text}\" compares nothing: metric < number"))?;
    let (metric, expr) = text.split_at(at);
    Ok((metric.trim().to_owned(), expr.parse()?))
}

/// A reader that has gone away is no failure.
pub(crate) fn say(text: &str) -> ExitCode {
    let _ = io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

pub(crate) fn fail(error: &str) -> ExitCode {
    tell(&format!("error: {error}"));
    ExitCode::from(BAD)
}
