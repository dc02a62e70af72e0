//! Look-ups of Kademlia as their messages pass (libp2p Kademlia specification): who was asked, and who told of whom.

use std::collections::HashMap;

use libp2p::PeerId;

use super::frames::{Field, fields};

const KIND: u64 = 1;
const KEY: u64 = 2;
const CLOSER: u64 = 8;
const PEER_ID: u64 = 1;

const FIND_NODE: u64 = 4;

/// What a message says of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Asked for those closest to this key.
    Question(Vec<u8>),
    /// These are closer.
    Answer(Vec<PeerId>),
}

/// Reads a message of a look-up; None: it is another one.
pub(super) fn read(frame: &[u8], question: bool) -> Option<Said> {
    // Protobuf leaves out what is zero.
    let (mut kind, mut key, mut closer) = (0, Vec::new(), Vec::new());
    fields(frame, |number, field| match (number, field) {
        (KIND, Field::Number(value)) => kind = value,
        (KEY, Field::Bytes(bytes)) => key = bytes.to_vec(),
        (CLOSER, Field::Bytes(peer)) => fields(peer, |number, field| {
            if let (PEER_ID, Field::Bytes(id)) = (number, field) {
                closer.extend(PeerId::from_bytes(id).ok());
            }
        }),
        _ => {}
    });
    match (kind, question) {
        (FIND_NODE, true) => Some(Said::Question(key)),
        (FIND_NODE, false) => Some(Said::Answer(closer)),
        _ => None,
    }
}

/// One look-up that is followed.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// How many steps away each peer was: 1 for those known before.
    depth: HashMap<PeerId, u32>,
    requests: u32,
}

impl Track {
    /// A look-up by a node with these in its table.
    pub(super) fn from(table: &[PeerId]) -> Self {
        Self { depth: table.iter().map(|peer| (*peer, 1)).collect(), requests: 0 }
    }

    pub(super) fn asked(&mut self, peer: PeerId) {
        self.requests += 1;
        self.depth.entry(peer).or_insert(1);
    }

    pub(super) fn told(&mut self, by: &PeerId, of: &[PeerId]) {
        let next = self.depth.get(by).copied().unwrap_or(1) + 1;
        for peer in of {
            self.depth.entry(*peer).or_insert(next);
        }
    }

    /// Steps to `peer`, and requests in all.
    pub(super) fn result(&self, peer: &PeerId) -> (Option<u32>, u32) {
        (self.depth.get(peer).copied(), self.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted() {
        let [a, b, c] = [(); 3].map(|()| PeerId::random());
        let mut track = Track::from(&[a]);
        track.asked(a);
        track.told(&a, &[b]);
        track.asked(b);
        track.told(&b, &[a, c]);
        assert_eq!(Track::from(&[c]).result(&c), (Some(1), 0), "in the table");
        assert_eq!((track.result(&a), track.result(&b), track.result(&c)), ((Some(1), 2), (Some(2), 2), (Some(3), 2)));
    }

    #[test]
    fn questions_and_answers() {
        let peer = PeerId::random();
        let id = peer.to_bytes();
        assert_eq!(read(&[8, 4, 18, 2, 7, 9], true), Some(Said::Question(vec![7, 9])));
        let mut answer =
            vec![8, 4, 66, u8::try_from(id.len() + 2).expect("short"), 10, u8::try_from(id.len()).expect("short")];
        answer.extend(&id);
        assert_eq!(read(&answer, false), Some(Said::Answer(vec![peer])));
        assert_eq!(read(&[8, 3, 18, 1, 7], true), None, "another kind");
    }
}
