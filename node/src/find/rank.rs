//! How well a card fits words. Pure.

use crate::{find::Query, peers::Peer};

/// A word is a name, a capability, an endpoint, a tag or a role.
pub(super) const EXACT: u8 = 100;
/// It begins one.
const PREFIX: u8 = 80;
/// It is one of the words of a description.
const DESCRIBED: u8 = 65;
/// It is inside a name, …
const INSIDE: u8 = 55;
/// It is inside a description.
const MENTIONED: u8 = 40;
/// A slip or two away from a name, …
const MISSPELT: u8 = 30;

/// Characters of a word that count.
const WORD_MAX: usize = 64;
/// Shorter words are not looked for misspelt: nearly all are near them.
const MISSPELT_FROM: usize = 4;
/// Names of one card that are compared letter by letter: it costs a microsecond each.
const COMPARED: usize = 64;

/// The words of a text, in lower case.
pub(super) fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    words.take(Query::WORDS).map(|word| word.to_lowercase().chars().take(WORD_MAX).collect()).collect()
}

/// The mean over all words, each by its best place; none if one is nowhere.
pub(super) fn score(text: &str, peer: &Peer) -> Option<u8> {
    let (words, card) = (words(text), Text::of(peer));
    let scores: Option<Vec<u32>> = words.iter().map(|word| card.score(word).map(u32::from)).collect();
    let scores = scores.filter(|scores| !scores.is_empty())?;
    let mean = scores.iter().sum::<u32>() / u32::try_from(scores.len()).unwrap_or(u32::MAX);
    u8::try_from(mean.max(1)).ok()
}

/// What a card says, in lower case.
struct Text {
    names: Vec<String>,
    descriptions: Vec<String>,
}

impl Text {
    fn of(peer: &Peer) -> Self {
        let names = [&peer.name, &peer.role].into_iter().chain(peer.capabilities.iter().map(|one| &one.name));
        let names = names.chain(peer.endpoints.iter().flat_map(|one| std::iter::once(&one.name).chain(&one.tags)));
        let descriptions = std::iter::once(&peer.description).chain(peer.capabilities.iter().map(|c| &c.description));
        let descriptions = descriptions.chain(peer.endpoints.iter().map(|endpoint| &endpoint.description));
        let lower = |text: &String| (!text.is_empty()).then(|| text.to_lowercase());
        Self { names: names.filter_map(lower).collect(), descriptions: descriptions.filter_map(lower).collect() }
    }

    fn score(&self, word: &str) -> Option<u8> {
        let named = |fits: &dyn Fn(&str) -> bool| self.names.iter().any(|name| fits(name));
        let described = |fits: &dyn Fn(&str) -> bool| self.descriptions.iter().any(|text| fits(text));
        if named(&|name| name == word) {
            Some(EXACT)
        } else if named(&|name| name.starts_with(word) || parts(name).any(|part| part == word)) {
            Some(PREFIX)
        } else if described(&|text| parts(text).any(|part| part == word)) {
            Some(DESCRIBED)
        } else if named(&|name| name.contains(word)) {
            Some(INSIDE)
        } else if described(&|text| text.contains(word)) {
            Some(MENTIONED)
        } else {
            self.names.iter().take(COMPARED).any(|name| is_misspelt(word, name)).then_some(MISSPELT)
        }
    }
}

/// Of `code-review` and of a sentence, each word.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty())
}

/// One letter in four may be wrong, missing, too many, or in its neighbour's place: of the whole or of a part.
fn is_misspelt(word: &str, name: &str) -> bool {
    let length = word.chars().count();
    let near = |other: &str| {
        other.chars().count().abs_diff(length) <= length / 4
            && strsim::damerau_levenshtein(word, other) <= (length / 4).min(3)
    };
    length >= MISSPELT_FROM && (near(name) || parts(name).any(near))
}

#[cfg(test)]
mod tests {
    use p2pnode_wire::card::{Capability, EndpointInfo};

    use super::*;
    use crate::peers::testing::peer;

    fn reviewer() -> Peer {
        let mut peer = peer("reviewer");
        peer.description = "Reads Rust and says what is wrong".into();
        peer.capabilities = vec![Capability::new("code-review").describe("finds mistakes in diffs")];
        let tags = vec!["github".into()];
        peer.endpoints = vec![EndpointInfo { tags, ..EndpointInfo::new("review.diff") }];
        peer
    }

    #[test]
    fn exact_before_prefix_before_inside_before_misspelt() {
        let peer = reviewer();
        let scores: Vec<_> = ["reviewer", "review", "rust", "iew", "istak", "revewer", "xylophone"]
            .into_iter()
            .map(|text| score(text, &peer))
            .collect();
        let wanted = [Some(EXACT), Some(PREFIX), Some(DESCRIBED), Some(INSIDE), Some(MENTIONED), Some(MISSPELT), None];
        assert_eq!(scores, wanted);
        assert_eq!(score("GitHub", &peer), Some(EXACT), "a tag, whatever its case");
        assert_eq!(score("code-review", &peer), Some(EXACT));
    }

    #[test]
    fn all_words_must_be_there() {
        let peer = reviewer();
        assert_eq!(score("reviewer rust", &peer), Some((EXACT + DESCRIBED) / 2));
        assert_eq!(score("reviewer xylophone", &peer), None);
        assert_eq!(score("  ", &peer), None, "nothing to look for");
    }

    #[test]
    fn short_words_are_not_guessed_at() {
        assert!(!is_misspelt("cat", "car"));
        assert!(is_misspelt("plannr", "planner"));
        assert!(is_misspelt("plannre", "planner"), "two letters in each other's place");
        assert!(!is_misspelt("planner", "scanner"));
    }

    /// Cards come from anybody.
    #[test]
    fn a_large_card_costs_little() {
        let mut peer = peer(&"é".repeat(64));
        peer.description = "ß".repeat(8_000);
        peer.endpoints = (0..500).map(|n| EndpointInfo::new(format!("{n}{}", "ö".repeat(60)))).collect();
        let text = format!("{} {}", "ö".repeat(2_000), "ü ".repeat(100));
        assert_eq!(words(&text).len(), Query::WORDS);
        assert_eq!(score(&text, &peer), None);
    }
}
