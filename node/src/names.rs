//! Names for nodes that were given none.

use libp2p::PeerId;

const WORDS: [&str; 64] = [
    "acorn", "alder", "aspen", "basil", "beech", "birch", "bluebell", "bracken", "briar", "cedar", "chestnut",
    "clover", "comfrey", "cowslip", "crocus", "cypress", "daisy", "elder", "elm", "fennel", "fern", "fir", "foxglove",
    "gorse", "hazel", "heather", "hemlock", "holly", "hornbeam", "iris", "ivy", "juniper", "larch", "laurel",
    "lavender", "lichen", "lilac", "linden", "lupin", "mallow", "maple", "marigold", "mint", "moss", "myrtle",
    "nettle", "oak", "olive", "orchid", "poppy", "primrose", "quince", "reed", "rowan", "sage", "sedge", "sorrel",
    "spruce", "tansy", "thistle", "thyme", "willow", "yarrow", "yew",
];

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A word and four letters, drawn from the id: the same node gets the same name, two nodes hardly ever.
pub fn default_name(peer: &PeerId) -> String {
    let bytes = peer.to_bytes();
    let mut tail = bytes.iter().rev().copied();
    let mut next = || usize::from(tail.next().unwrap_or_default());
    let word = WORDS[next() % WORDS.len()];
    let letters: String = (0..4).map(|_| char::from(LETTERS[next() % LETTERS.len()])).collect();
    format!("{word}-{letters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_spread() {
        let peer = PeerId::random();
        assert_eq!(default_name(&peer), default_name(&peer));
        let names: std::collections::HashSet<String> = (0..500).map(|_| default_name(&PeerId::random())).collect();
        assert!(names.len() > 495, "{}", names.len());
    }
}
