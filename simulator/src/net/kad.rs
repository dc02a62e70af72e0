//! Look-ups of Kademlia as their messages pass (libp2p Kademlia specification): who was asked, and who told of whom.

use std::collections::HashMap;

use libp2p::PeerId;

use super::frames::{Field, fields};

const KIND: u64 = 1;
const KEY: u64 = 2;
const CLOSER: u64 = 8;
const PROVIDERS: u64 = 9;
const PEER_ID: u64 = 1;

const GET_PROVIDERS: u64 = 3;
const FIND_NODE: u64 = 4;

/// What a message says of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Asked for those closest to this key.
    Question(Vec<u8>),
    /// These are closer, and somebody is told who provides the key.
    Answer(Vec<PeerId>, bool),
}

/// Reads a message of a look-up; None: it is another one.
pub(super) fn read(frame: &[u8], question: bool) -> Option<Said> {
    // Protobuf leaves out what is zero.
    let (mut kind, mut key, mut closer, mut provided) = (0, Vec::new(), Vec::new(), false);
    fields(frame, |number, field| match (number, field) {
        (KIND, Field::Number(value)) => kind = value,
        (KEY, Field::Bytes(bytes)) => key = bytes.to_vec(),
        (CLOSER, Field::Bytes(peer)) => fields(peer, |number, field| {
            if let (PEER_ID, Field::Bytes(id)) = (number, field) {
                closer.extend(PeerId::from_bytes(id).ok());
            }
        }),
        (PROVIDERS, Field::Bytes(_)) => provided = true,
        _ => {}
    });
    match (kind, question) {
        (FIND_NODE | GET_PROVIDERS, true) => Some(Said::Question(key)),
        (FIND_NODE | GET_PROVIDERS, false) => Some(Said::Answer(closer, provided)),
        _ => None,
    }
}

/// One look-up that was followed.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    /// How many steps away each peer was: 1 for those known before.
    depth: HashMap<PeerId, u32>,
    provided: Option<u32>,
    requests: u32,
}

impl Lookup {
    /// A look-up by a node with these in its table.
    pub(super) fn from(table: &[PeerId]) -> Self {
        Self { depth: table.iter().map(|peer| (*peer, 1)).collect(), ..Self::default() }
    }

    pub(super) fn asked(&mut self, peer: PeerId) {
        self.requests += 1;
        self.depth.entry(peer).or_insert(1);
    }

    pub(super) fn told(&mut self, by: &PeerId, of: &[PeerId], provided: bool) {
        let here = self.depth.get(by).copied().unwrap_or(1);
        for peer in of {
            self.depth.entry(*peer).or_insert(here + 1);
        }
        if provided {
            self.provided.get_or_insert(here);
        }
    }

    /// Steps to hear of `peer`: 1 if it was in the table.
    pub fn hops_to(&self, peer: &PeerId) -> Option<u32> {
        self.depth.get(peer).copied()
    }

    /// Steps to the first who knew a provider.
    pub fn hops_to_provider(&self) -> Option<u32> {
        self.provided
    }

    /// Requests in all.
    pub fn requests(&self) -> u32 {
        self.requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted() {
        let [a, b, c] = [(); 3].map(|()| PeerId::random());
        let mut lookup = Lookup::from(&[a]);
        lookup.asked(a);
        lookup.told(&a, &[b], false);
        lookup.asked(b);
        lookup.told(&b, &[a, c], true);
        assert_eq!(Lookup::from(&[c]).hops_to(&c), Some(1), "in the table");
        assert_eq!([a, b, c].map(|peer| lookup.hops_to(&peer)), [Some(1), Some(2), Some(3)]);
        assert_eq!((lookup.requests(), lookup.hops_to_provider()), (2, Some(2)));
    }

    #[test]
    fn questions_and_answers() {
        let peer = PeerId::random();
        let id = peer.to_bytes();
        assert_eq!(read(&[8, 4, 18, 2, 7, 9], true), Some(Said::Question(vec![7, 9])));
        let mut answer =
            vec![8, 4, 66, u8::try_from(id.len() + 2).expect("short"), 10, u8::try_from(id.len()).expect("short")];
        answer.extend(&id);
        assert_eq!(read(&answer, false), Some(Said::Answer(vec![peer], false)));
        assert_eq!(read(&[8, 3, 74, 0], false), Some(Said::Answer(vec![], true)), "a provider");
        assert_eq!(read(&[8, 1, 18, 1, 7], true), None, "another kind");
    }
}
