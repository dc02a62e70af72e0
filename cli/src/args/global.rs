//! Options that mean the same on every command.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::FalseyValueParser};

use super::value::duration;

/// When output is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal that can, unless `NO_COLOR` or `TERM=dumb` say otherwise.
    #[default]
    Auto,
    /// Also into pipes.
    Always,
    /// Never.
    Never,
}

/// Which node a talking command uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// A running one that fits, else one of its own.
    #[default]
    Auto,
    /// A running one.
    Daemon,
    /// One of its own.
    Ephemeral,
}

/// Global options, accepted before and after the verb.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Which swarm
    ///
    /// Environment: P2PNODE_SWARM. Without it, what is visible on this host, then on the local network, is used.
    #[arg(short, long, global = true, value_name = "NAME", env = "P2PNODE_SWARM", hide_env = true)]
    pub(crate) swarm: Option<String>,

    /// Profile: identity, data and control socket of one node on this host
    ///
    /// `up` takes the one called like --name without it, else `default`, else the next free one; other commands look for
    /// a running node of `default`, then for the only one there is. Environment: P2PNODE_PROFILE.
    #[arg(short = 'P', long, global = true, value_name = "NAME", env = "P2PNODE_PROFILE", hide_env = true)]
    pub(crate) profile: Option<String>,

    /// Talk through the running node, or not at all
    ///
    /// Without it and --ephemeral a running node is used if it is in the swarm and does not itself serve what is asked
    /// for. Environment: P2PNODE_MODE=auto|daemon|ephemeral.
    #[arg(long, global = true, conflicts_with = "ephemeral", hide_short_help = true)]
    pub(crate) daemon: bool,

    /// Talk through a node of the command's own, even where one runs
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) ephemeral: bool,

    /// The same as an environment variable
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "MODE",
        value_enum,
        default_value_t,
        env = "P2PNODE_MODE",
        hide_env = true
    )]
    pub(crate) mode: Mode,

    /// Limit for the whole command: 500ms, 10s, 2m; 0 = none
    ///
    /// Environment: P2PNODE_TIMEOUT (`up` heeds only the option).
    #[arg(short, long, global = true, value_name = "DUR", value_parser = duration, env = "P2PNODE_TIMEOUT", hide_env = true)]
    pub(crate) timeout: Option<Duration>,

    /// Also start looking at this node: host, host:port, multiaddr or ticket (repeatable)
    ///
    /// Forms: seed.example.com, seed.example.com:9999, 192.168.1.5:9999, [::1]:9999, /ip4/192.168.1.5/tcp/9999,
    /// wss://seed.example.com.
    /// The default port is 9999. Environment: P2PNODE_BOOTSTRAP, separated by commas.
    #[arg(long, global = true, value_name = "ADDR", value_delimiter = ',', env = "P2PNODE_BOOTSTRAP", hide_env = true)]
    pub(crate) bootstrap: Vec<String>,

    /// Do not look for nodes by multicast on the local network
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) no_mdns: bool,

    /// Do not look for nodes on this host by its registry folder
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) no_local: bool,

    /// Keep identity, data and registry in this one folder
    ///
    /// Environment: P2PNODE_HOME. Without it the XDG folders are used.
    #[arg(long, global = true, value_name = "DIR", env = "P2PNODE_HOME", hide_env = true, hide_short_help = true)]
    pub(crate) home: Option<PathBuf>,

    /// Print JSON: one object, or one per line for streams
    ///
    /// Environment: P2PNODE_JSON.
    #[arg(long, global = true, env = "P2PNODE_JSON", hide_env = true, value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// Say less on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more on stderr; twice: log everything
    ///
    /// Environment: P2PNODE_LOG=FILTER selects log targets and levels, for example `info,p2pnode=debug`.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// When to use colour
    ///
    /// Environment: P2PNODE_COLOR; NO_COLOR, CLICOLOR and TERM=dumb are heeded too.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_default_value = true,
        env = "P2PNODE_COLOR",
        hide_env = true,
        hide_short_help = true
    )]
    pub(crate) color: Color,
}

impl Global {
    /// Which node to use.
    pub(crate) fn mode(&self) -> Mode {
        match (self.daemon, self.ephemeral) {
            (true, _) => Mode::Daemon,
            (_, true) => Mode::Ephemeral,
            _ => self.mode,
        }
    }

    /// The limit for the whole command, if there is one (`0` means none).
    pub(crate) fn limit(&self, default: Option<Duration>) -> Option<Duration> {
        self.timeout.or(default).filter(|limit| !limit.is_zero())
    }
}

/// What has to be known before the arguments are parsed, because parsing them may fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Early {
    /// Errors go to stdout as JSON.
    pub(crate) json: bool,
    /// Colour of errors and help.
    pub(crate) color: Color,
    /// No talk on stderr.
    pub(crate) quiet: bool,
}

impl From<&Global> for Early {
    fn from(global: &Global) -> Self {
        Self { json: global.json, color: global.color, quiet: global.quiet }
    }
}

impl Early {
    /// Looks at the raw words up to `--`, without judging them.
    pub(crate) fn scan(words: &[OsString], variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut early = Self {
            json: variable("P2PNODE_JSON").is_some_and(|value| truthy(&value)),
            color: color(variable("P2PNODE_COLOR").as_deref()),
            quiet: false,
        };
        let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--").collect();
        for (at, word) in words.iter().enumerate() {
            match *word {
                "--json" => early.json = true,
                "--quiet" | "-q" => early.quiet = true,
                "--color" => early.color = color(words.get(at + 1).copied()),
                _ => early.color = word.strip_prefix("--color=").map_or(early.color, |value| color(Some(value))),
            }
        }
        early
    }
}

/// As clap's `FalseyValueParser` reads it.
fn truthy(value: &str) -> bool {
    !matches!(value.to_lowercase().as_str(), "" | "n" | "no" | "f" | "false" | "off" | "0")
}

/// A wrong value is reported by the real parser; until then it counts as `auto`.
fn color(value: Option<&str>) -> Color {
    value.and_then(|value| Color::from_str(value, true).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(words: &[&str], env: Option<&str>) -> Early {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Early::scan(&words, |name| env.filter(|_| name == "P2PNODE_JSON").map(str::to_owned))
    }

    #[test]
    fn json_is_seen_anywhere_before_the_double_dash() {
        assert!(scan(&["p2pnode", "asl", "--json"], None).json);
        assert!(scan(&["p2pnode", "--json", "asl"], None).json);
        assert!(!scan(&["p2pnode", "ask", "--", "--json"], None).json);
        assert!(scan(&["p2pnode"], Some("1")).json);
        assert!(!scan(&["p2pnode"], Some("0")).json);
    }

    #[test]
    fn colour_in_both_spellings() {
        assert_eq!(scan(&["p2pnode", "--color", "never"], None).color, Color::Never);
        assert_eq!(scan(&["p2pnode", "--color=always"], None).color, Color::Always);
        assert_eq!(scan(&["p2pnode", "--color=mauve"], None).color, Color::Auto);
    }

    #[test]
    fn zero_means_no_limit() {
        let none = Global { timeout: Some(Duration::ZERO), ..Global::default() };
        assert_eq!(none.limit(Some(Duration::from_secs(30))), None);
        assert_eq!(Global::default().limit(Some(Duration::from_secs(30))), Some(Duration::from_secs(30)));
    }
}
