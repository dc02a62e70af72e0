//! `Bytes` as MessagePack `bin`: for `#[serde(with = "p2pnode_wire::bin")]`.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Reads.
///
/// # Errors
/// The deserializer's.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    serde_bytes::ByteBuf::deserialize(deserializer).map(|buf| Bytes::from(buf.into_vec()))
}

/// Lists of `Bytes`.
pub(crate) mod list {
    use super::{Bytes, Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(list: &[Bytes], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|b| serde_bytes::Bytes::new(b)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bytes>, D::Error> {
        let list = Vec::<serde_bytes::ByteBuf>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|buf| Bytes::from(buf.into_vec())).collect())
    }
}

/// `Option<Bytes>`.
pub(crate) mod option {
    use super::{Bytes, Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_bytes(bytes),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        let buf = Option::<serde_bytes::ByteBuf>::deserialize(deserializer)?;
        Ok(buf.map(|buf| Bytes::from(buf.into_vec())))
    }
}

/// Lists of 32 bytes.
pub(crate) mod hashes {
    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(list: &[[u8; 32]], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|hash| serde_bytes::Bytes::new(hash)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<[u8; 32]>, D::Error> {
        let list = Vec::<serde_bytes::ByteArray<32>>::deserialize(deserializer)?;
        Ok(list.into_iter().map(serde_bytes::ByteArray::into_array).collect())
    }
}
