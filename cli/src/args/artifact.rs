//! `p2pnode artifact` and `card`: documents that nodes serve.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use p2pnode::artifacts;
use serde::{Deserialize, Serialize};

use super::given::Given;

/// List, fetch and keep documents that nodes serve
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(transparent)]
#[command(after_help = "\
Examples:
  p2pnode artifact list reviewer
  p2pnode artifact get reviewer rules.md
  p2pnode artifact add rules.md docs/rules.md --mime text/markdown

`get` writes a new file into this folder, under the last part of the artifact's name; --out chooses another one, `-` is \
stdout. Without TARGET it is about our own.")]
pub(crate) struct Artifact {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Artifact {
    /// Whether it changes what the running node serves.
    pub(crate) fn needs_node(&self) -> bool {
        matches!(self.verb, Verb::Add(_) | Verb::Rm { .. })
    }

    /// Whether it writes a file here, or reads what is here.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.verb, Verb::Get { .. } | Verb::List { target: None })
    }
}

/// What to do with artifacts.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Verb {
    /// List those of a peer, or our own
    List {
        /// Whose
        #[arg(value_name = "TARGET")]
        #[serde(default)]
        target: Option<String>,
    },
    /// Fetch one, checked against its SHA-256
    Get {
        /// Whose, if it is a peer's, and its name
        #[arg(value_name = "NAME", required = true, num_args = 1..=2)]
        words: Vec<String>,
        /// Write it to this file; `-` is stdout
        #[arg(long, value_name = "FILE")]
        #[serde(skip)]
        out: Option<PathBuf>,
    },
    /// Let the running node keep and serve a file, of up to 700 KiB
    Add(Add),
    /// Remove one from the running node
    Rm {
        /// Which one
        name: String,
    },
}

/// What to keep.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    /// What to call it
    pub(crate) name: String,
    /// The file
    #[arg(value_name = "FILE", value_parser = file)]
    pub(crate) data: Given,
    /// What it is
    #[arg(long, default_value = "file")]
    #[serde(default)]
    pub(crate) kind: String,
    /// Its MIME type
    #[arg(long, default_value = "application/octet-stream")]
    #[serde(default)]
    pub(crate) mime: String,
    /// What it is, for people
    #[arg(long, default_value = "")]
    #[serde(default)]
    pub(crate) describe: String,
}

/// A word that names a file, as those after `@` do.
fn file(word: &str) -> Result<Given, String> {
    Ok(Given::Word(if word == "-" { word.to_owned() } else { format!("@{word}") }))
}

/// Show and set the agent card that nodes serve
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  p2pnode card show reviewer
  p2pnode card set card.json

The card is the artifact `agent-card`.")]
pub(crate) struct Card {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: CardVerb,
}

/// What to do with the card.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum CardVerb {
    /// Print that of a peer, or our own
    Show {
        /// Whose
        #[arg(value_name = "TARGET")]
        target: Option<String>,
    },
    /// Let the running node serve a file as its card
    Set {
        /// The file; `-` is stdin
        #[arg(value_name = "FILE", value_parser = file)]
        data: Given,
    },
}

/// The card is an artifact.
impl From<Card> for Artifact {
    fn from(card: Card) -> Self {
        let name = || artifacts::AGENT_CARD.to_owned();
        let verb = match card.verb {
            CardVerb::Show { target } => {
                Verb::Get { words: target.into_iter().chain([name()]).collect(), out: Some("-".into()) }
            }
            CardVerb::Set { data } => Verb::Add(Add {
                name: name(),
                data,
                kind: "metadata".to_owned(),
                mime: artifacts::AGENT_CARD_MIME.to_owned(),
                describe: String::new(),
            }),
        };
        Self { verb }
    }
}
