//! The grouped help: clap has no groups of subcommands, so the list is made here, from clap's own texts.

use std::{ffi::OsString, fmt::Write as _};

use clap::{
    Command, CommandFactory,
    builder::styling::{AnsiColor, Styles},
};

use super::Cli;

/// Every verb stands in exactly one group; a test holds this list against clap's.
pub(super) const GROUPS: &[(&str, &[&str])] = &[
    ("Run", &["up", "down", "status", "availability", "logs", "serve", "schedule", "wait"]),
    ("Swarm", &["join", "leave", "invite", "swarms", "members", "mute", "unmute", "block", "unblock"]),
    ("Look", &["peers", "peer", "names", "find", "ping", "netcheck", "artifact", "card"]),
    ("Talk", &["ask", "call", "broadcast", "emit", "subscribe", "send", "reply", "inbox", "outbox"]),
    ("Observe", &["watch", "conv", "history", "dht", "bench"]),
    ("Tooling", &["id", "export", "import", "completions", "version"]),
];

const FIRST_SUCCESS: &str = "\
First success, in two terminals:
  p2pnode up garden --demo
  p2pnode ask garden \"who is there?\"";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::BrightBlack.on_default().bold())
    .usage(AnsiColor::BrightBlack.on_default().bold())
    .literal(AnsiColor::Cyan.on_default());

/// The whole tree, with our help in front.
pub(super) fn root() -> Command {
    let tree = Cli::command().styles(STYLES).infer_long_args(false);
    let groups = groups(&tree);
    let header = STYLES.get_header();
    tree.help_template(format!(
        "p2pnode {{version}}: a serverless swarm for agents, tools and services\n\n\
         {header}Usage:{header:#} p2pnode [OPTIONS] VERB [ARGS]\n\n{groups}\n{header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
    .override_usage("p2pnode [OPTIONS] VERB [ARGS]")
    .after_help(format!("`p2pnode VERB --help` tells more about a verb.\n\n{FIRST_SUCCESS}"))
}

/// The list of verbs, one line each.
fn groups(tree: &Command) -> String {
    let (header, literal) = (STYLES.get_header(), STYLES.get_literal());
    let width = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter()).map(|verb| verb.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (group, verbs) in GROUPS {
        let _ = writeln!(text, "{header}{group}:{header:#}");
        for verb in *verbs {
            let about = tree.find_subcommand(verb).and_then(Command::get_about).map(ToString::to_string);
            let about = about.unwrap_or_default();
            let _ = writeln!(text, "  {literal}{verb:width$}{literal:#}  {about}");
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Which verb the words name, for errors about the rest of them.
pub(super) fn verb_of(tree: &Command, words: &[OsString]) -> Option<&'static str> {
    let known = |word: &str| GROUPS.iter().flat_map(|(_, verbs)| verbs.iter()).find(|verb| **verb == word).copied();
    let found = words.iter().skip(1).filter_map(|word| word.to_str()).find_map(known)?;
    tree.find_subcommand(found).map(|_| found)
}
