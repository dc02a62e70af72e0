//! Which protocol a substream speaks, read from its first bytes as they pass (multistream-select), and what of it is
//! counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Net, frames::Frames, gossip, kad};

/// Bytes looked at: two lines of multistream-select with a protocol name of ordinary length.
const MAX: usize = 256;

const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";

/// Protocols whose messages are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gossip,
    Kad,
    Other,
}

/// One direction.
#[derive(Default)]
struct Side {
    head: Vec<u8>,
    kind: Option<Kind>,
    frames: Frames,
}

#[derive(Default)]
struct State {
    protocol: Option<usize>,
    /// By who opened it, and the other.
    sides: [Side; 2],
    /// The key that is looked up on it.
    key: Option<Vec<u8>>,
}

/// Shared by both directions of a substream.
#[derive(Default)]
pub(super) struct Sniffer {
    opener: usize,
    below_a_muxer: bool,
    state: Mutex<State>,
}

impl Sniffer {
    pub(super) fn new(opener: usize) -> Self {
        Self { opener, below_a_muxer: false, state: Mutex::default() }
    }

    /// Of a connection whose substreams cannot be told apart from outside.
    pub(super) fn blind(opener: usize) -> Self {
        Self { opener, below_a_muxer: true, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sent(&self, net: &Net, from: usize, to: usize, bytes: &[u8]) {
        if self.below_a_muxer {
            net.count(from, to, "muxed", bytes.len());
            return;
        }
        let opens = from == self.opener;
        let mut guard = self.lock();
        let state = &mut *guard;
        let side = &mut state.sides[usize::from(!opens)];
        let mut rest = bytes;
        if side.kind.is_none() {
            let before = side.head.len();
            let room = MAX.saturating_sub(before);
            side.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
            rest = &[];
            if let Some((name, len)) = protocol(&side.head) {
                side.kind = Some(kind(name));
                if opens {
                    state.protocol = Some(net.protocol(name));
                }
                rest = &bytes[len.saturating_sub(before).min(bytes.len())..];
            }
        }
        match state.protocol {
            Some(protocol) => net.count_as(from, to, protocol, bytes.len()),
            None => net.count(from, to, "negotiation", bytes.len()),
        }
        let key = &mut state.key;
        match side.kind {
            // gossipsub sends in the direction in which it opens.
            Some(Kind::Gossip) if opens => side.frames.feed(rest, |frame| {
                for id in gossip::messages(frame) {
                    net.gossiped(from, to, id);
                }
            }),
            Some(Kind::Kad) => side.frames.feed(rest, |frame| match (kad::read(frame, opens), &key) {
                (Some(kad::Said::Question(question)), _) => {
                    net.looked_up(from, to, &question);
                    *key = Some(question);
                }
                (Some(kad::Said::Answer(peers, provided)), Some(key)) => {
                    net.told_of(to, from, key, (&peers, provided));
                }
                _ => {}
            }),
            _ => {}
        }
    }
}

fn kind(name: &str) -> Kind {
    if name.starts_with("/meshsub/") {
        Kind::Gossip
    } else if name.contains("/kad/") {
        Kind::Kad
    } else {
        Kind::Other
    }
}

/// The name of the protocol that is asked for, and how many bytes it took to say so.
fn protocol(head: &[u8]) -> Option<(&str, usize)> {
    let rest = head.strip_prefix(HEADER)?;
    let (len, line) = rest.split_first()?;
    let name = line.get(..usize::from(*len))?.strip_suffix(b"\n")?;
    Some((std::str::from_utf8(name).ok()?, HEADER.len() + 1 + usize::from(*len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_read_once_it_is_whole() {
        let head = b"\x13/multistream/1.0.0\n\x0d/ipfs/id/1.0\nrest";
        assert_eq!(protocol(&head[..30]), None);
        assert_eq!(protocol(head), Some(("/ipfs/id/1.0", 34)));
        assert_eq!(protocol(b"GET / HTTP/1.1"), None);
    }
}
