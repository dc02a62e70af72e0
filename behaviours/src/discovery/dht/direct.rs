//! Questions of Kademlia to peers of our choice, where libp2p-kad (0.49) chooses them itself (libp2p Kademlia specification).

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_kad::RecordKey;
use libp2p_request_response::{self as request_response, ProtocolSupport};
use libp2p_swarm::StreamProtocol;
use p2pnode_wire::protocol;

/// An answer that takes longer is not waited for: three round trips over the slowest links, and a lost packet.
const TIMEOUT: Duration = Duration::from_secs(4);
/// The largest answer that is read, as in libp2p-kad.
const MAX: usize = 16 * 1024;
/// Peers of each kind in one answer: libp2p-kad tells of twenty.
const MAX_PROVIDERS: usize = 20;
/// Addresses of one provider.
const MAX_ADDRESSES: usize = 8;

const GET_VALUE: u64 = 1;
const ADD_PROVIDER: u64 = 2;
const GET_PROVIDERS: u64 = 3;
const FIND_NODE: u64 = 4;
/// That a peer is connected, as an announcement says of its sender.
const CONNECTED: u64 = 1;

/// What is wanted of a peer.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Who is near to that peer.
    Closest(PeerId),
    /// Who provides that key.
    Providers(RecordKey),
    /// What lies under it.
    Value(RecordKey),
    /// To keep that we, at these addresses, provide it. There is no answer.
    Announce(RecordKey, PeerId, Vec<Multiaddr>),
}

/// What a peer answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub closer: Vec<(PeerId, Vec<Multiaddr>)>,
    pub providers: Vec<(PeerId, Vec<Multiaddr>)>,
    pub value: Option<Vec<u8>>,
}

/// Asks and never answers: what is asked of us is libp2p-kad's.
pub(super) type Direct = request_response::Behaviour<Codec>;

pub(super) fn behaviour() -> Direct {
    let protocols = [(StreamProtocol::new(protocol::KAD), ProtocolSupport::Outbound)];
    Direct::new(protocols, request_response::Config::default().with_request_timeout(TIMEOUT))
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

impl Ask {
    fn encode(&self) -> Vec<u8> {
        let (kind, key) = match self {
            Self::Closest(peer) => (FIND_NODE, peer.to_bytes()),
            Self::Providers(key) => (GET_PROVIDERS, key.to_vec()),
            Self::Value(key) => (GET_VALUE, key.to_vec()),
            Self::Announce(key, ..) => (ADD_PROVIDER, key.to_vec()),
        };
        let mut out = Vec::new();
        number(&mut out, 1, kind);
        bytes(&mut out, 2, &key);
        if let Self::Announce(_, own, addrs) = self {
            let mut peer = Vec::new();
            bytes(&mut peer, 1, &own.to_bytes());
            addrs.iter().take(MAX_ADDRESSES).for_each(|addr| bytes(&mut peer, 2, addr.as_ref()));
            number(&mut peer, 3, CONNECTED);
            bytes(&mut out, 9, &peer);
        }
        out
    }
}

/// Takes a number off the front of `bytes`.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// All length-delimited fields of a message, up to the first that cannot be read.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let tag = take_varint(&mut bytes)?;
            let len = match tag & 7 {
                0 => {
                    take_varint(&mut bytes)?;
                    continue;
                }
                1 => 8,
                2 => usize::try_from(take_varint(&mut bytes)?).ok()?,
                5 => 4,
                _ => return None,
            };
            let (field, rest) = bytes.split_at_checked(len)?;
            bytes = rest;
            if tag & 7 == 2 {
                return Some((tag >> 3, field));
            }
        }
    })
}

fn peer(bytes: &[u8]) -> Option<(PeerId, Vec<Multiaddr>)> {
    let id = fields(bytes).find(|(field, _)| *field == 1)?.1;
    let addrs = fields(bytes).filter(|(field, _)| *field == 2);
    let addrs = addrs.filter_map(|(_, addr)| Multiaddr::try_from(addr.to_vec()).ok()).take(MAX_ADDRESSES);
    Some((PeerId::from_bytes(id).ok()?, addrs.collect()))
}

impl Told {
    fn decode(message: &[u8]) -> Self {
        let mut told = Self::default();
        for (field, inner) in fields(message) {
            match field {
                3 => told.value = fields(inner).find(|(field, _)| *field == 2).map(|(_, value)| value.to_vec()),
                8 if told.closer.len() < MAX_PROVIDERS => told.closer.extend(peer(inner)),
                9 if told.providers.len() < MAX_PROVIDERS => told.providers.extend(peer(inner)),
                _ => {}
            }
        }
        told
    }
}

/// One message each way per substream, each after its length.
#[derive(Debug, Clone, Copy, Default)]
pub struct Codec;

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Ask;
    type Response = Told;

    async fn read_request<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Ask>
    where
        T: AsyncRead + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Told>
    where
        T: AsyncRead + Unpin + Send,
    {
        match read(io).await {
            Ok(message) => Ok(Told::decode(&message)),
            // The end, without a word: there is no answer to an announcement.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Told::default()),
            Err(error) => Err(error),
        }
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, ask: Ask) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let message = ask.encode();
        let mut out = Vec::with_capacity(message.len() + 3);
        varint(&mut out, message.len() as u64);
        out.extend_from_slice(&message);
        io.write_all(&out).await?;
        io.flush().await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, _: &mut T, _: Told) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::ErrorKind::Unsupported.into())
    }
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let length = loop {
        let mut byte = [0];
        io.read_exact(&mut byte).await?;
        head.extend(byte);
        if byte[0] & 0x80 == 0 {
            break take_varint(&mut head.as_slice()).unwrap_or(u64::MAX);
        }
        if head.len() > 4 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX).ok_or(io::ErrorKind::InvalidData)?;
    let mut message = vec![0; length];
    io.read_exact(&mut message).await?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_names_its_sender() {
        let (own, addr): (_, Multiaddr) = (PeerId::random(), "/ip4/45.1.2.3/tcp/4001".parse().expect("an address"));
        let said = Ask::Announce(RecordKey::new(&"key"), own, vec![addr.clone()]).encode();
        assert_eq!(Told::decode(&said).providers, [(own, vec![addr])]);
        assert!(Told::decode(&Ask::Providers(RecordKey::new(&"key")).encode()).providers.is_empty());
        let mut closer = Vec::new();
        bytes(&mut closer, 1, &own.to_bytes());
        let mut message = Vec::new();
        bytes(&mut message, 8, &closer);
        assert_eq!(Told::decode(&message), Told { closer: vec![(own, Vec::new())], ..Told::default() });
        assert_eq!(Ask::Closest(own).encode()[..4], [8, 4, 18, 34], "FIND_NODE of an id of 34 bytes");
    }

    #[test]
    fn what_is_cut_or_strange_is_read_as_far_as_it_goes() {
        let mut message = Ask::Announce(RecordKey::new(&"key"), PeerId::random(), Vec::new()).encode();
        for len in 0..message.len() {
            assert!(Told::decode(&message[..len]).providers.is_empty(), "{len}");
        }
        for _ in 0..100 {
            let again = message[2..].to_vec();
            message.extend(again.get(..60).unwrap_or_default());
        }
        assert!(Told::decode(&message).providers.len() <= MAX_PROVIDERS);
        assert_eq!(Told::decode(&[0xff; 64]), Told::default());
        let mut value = Vec::new();
        let mut inner = Vec::new();
        bytes(&mut inner, 2, b"body");
        bytes(&mut value, 3, &inner);
        assert_eq!(Told::decode(&value).value.as_deref(), Some(b"body".as_slice()));
    }
}
