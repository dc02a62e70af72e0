//! Which protocol a substream speaks, read from its first bytes as they pass (multistream-select).

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Net, gossip::Frames};

/// Bytes looked at: two lines of multistream-select with a protocol name of ordinary length.
const MAX: usize = 256;

const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";

#[derive(Default)]
struct State {
    head: Vec<u8>,
    protocol: Option<usize>,
    /// Of a substream that carries gossip.
    frames: Option<Frames>,
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
        let mut state = self.lock();
        let mut rest = bytes;
        if state.protocol.is_none() && from == self.opener {
            let before = state.head.len();
            let room = MAX.saturating_sub(before);
            state.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if let Some((name, len)) = protocol(&state.head).map(|(name, len)| (name.to_owned(), len)) {
                state.frames = name.starts_with("/meshsub/").then(Frames::default);
                state.protocol = Some(net.protocol(&name));
                rest = &bytes[len.saturating_sub(before).min(bytes.len())..];
            } else {
                rest = &[];
            }
        }
        match state.protocol {
            Some(protocol) => net.count_as(from, to, protocol, bytes.len()),
            None => net.count(from, to, "negotiation", bytes.len()),
        }
        // gossipsub sends in the direction in which it opens.
        if from == self.opener
            && let Some(frames) = &mut state.frames
        {
            for id in frames.feed(rest) {
                net.gossiped(from, to, id);
            }
        }
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
