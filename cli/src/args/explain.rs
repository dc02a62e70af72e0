//! Turns clap's errors into ours: what is wrong, what was probably meant, what to type.

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::error::CliError;

/// An error about the words on the command line.
pub(super) fn usage(error: &clap::Error, tree: &Command, verb: Option<&'static str>) -> CliError {
    if error.kind() == ErrorKind::InvalidSubcommand {
        return unknown_verb(error, tree, verb);
    }
    if error.kind() == ErrorKind::MissingSubcommand && verb.is_none() {
        return CliError::usage("no verb given").try_also("p2pnode --help", "all verbs");
    }
    let mut ours = CliError::usage(message(error));
    if let Some(hint) = suggestion(error) {
        ours = ours.maybe(format!("did you mean {hint}?"));
    }
    if let Some(example) = verb.and_then(|verb| example(tree, verb)) {
        ours = ours.try_this(example);
    }
    ours.try_also(
        verb.map_or_else(|| "p2pnode --help".to_owned(), |verb| format!("p2pnode {verb} --help")),
        "all options",
    )
}

/// `aks` gets no hint from clap: its measure of likeness knows no swapped letters.
fn unknown_verb(error: &clap::Error, tree: &Command, verb: Option<&'static str>) -> CliError {
    let word = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    let parent = verb.and_then(|verb| tree.find_subcommand(verb)).filter(|verb| verb.has_subcommands());
    let path = parent.map_or_else(|| "p2pnode".to_owned(), |parent| format!("p2pnode {}", parent.get_name()));
    let verbs: Vec<&str> = parent.unwrap_or(tree).get_subcommands().map(Command::get_name).collect();
    let ours = CliError::usage(format!("there is no verb \"{}\"", crate::output::escape(&word)));
    let near = p2pnode::near(&word.to_lowercase(), verbs.iter().copied());
    let ours = match near.first() {
        Some(first) => ours.maybe(format!("did you mean \"{first}\"?")).try_this(format!("{path} {first} --help")),
        None => ours,
    };
    ours.try_also(format!("{path} --help"), "all verbs")
}

/// Clap's message without its prefix, tips and usage, on one line.
fn message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let body: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.trim_start().starts_with("tip:"))
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    crate::output::escape_line(&body.join(" ")).into_owned()
}

/// What clap thinks was meant.
fn suggestion(error: &clap::Error) -> Option<String> {
    [ContextKind::SuggestedArg, ContextKind::SuggestedValue, ContextKind::SuggestedSubcommand]
        .into_iter()
        .find_map(|kind| context(error, kind))
        .map(|word| format!("`{word}`"))
}

/// One piece of what clap knows about its error.
fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(word) => Some(word.clone()),
        ContextValue::Strings(words) => words.first().cloned(),
        _ => None,
    }
}

/// The first example of a verb's own help.
fn example(tree: &Command, verb: &str) -> Option<String> {
    let help = tree.find_subcommand(verb)?.get_after_help()?.to_string();
    let line = help.lines().find(|line| line.starts_with("  p2pnode "))?;
    Some(line.trim().split("   ").next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use crate::args::{Parsed, parse};

    fn meant(word: &str) -> Option<String> {
        match parse(&["p2pnode".into(), word.into()]) {
            Parsed::Wrong(error, _) => error.facts().maybe.first().cloned(),
            other => panic!("{word}: {other:?}"),
        }
    }

    #[test]
    fn swapped_missing_and_extra_letters() {
        for (word, verb) in [
            ("aks", "ask"),
            ("pign", "ping"),
            ("pings", "ping"),
            ("pere", "peer"),
            ("memebrs", "members"),
            ("cal", "call"),
            ("fnid", "find"),
            ("swarm", "swarms"),
            ("ver", "version"),
            ("ASKK", "ask"),
        ] {
            assert_eq!(meant(word), Some(format!("did you mean \"{verb}\"?")), "{word}");
        }
        assert_eq!(meant("daemonize"), None);
        assert_eq!(meant("x"), None);
    }
}
