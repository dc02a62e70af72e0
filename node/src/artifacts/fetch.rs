//! Having an artifact of a peer.

use bytes::{Bytes, BytesMut};
use libp2p::PeerId;
use sha2::{Digest as _, Sha256};

use super::{
    ARTIFACT_MAX,
    error::ArtifactError,
    handle::{Artifact, check},
    serve::{Listed, Part},
};
use crate::{node::Node, target::Target};

/// An artifact of a peer. Its bytes are those of its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedArtifact {
    /// Who gave it.
    pub from: PeerId,
    /// What the peer says of it.
    pub artifact: Artifact,
    /// Its content.
    pub data: Bytes,
}

/// Artifacts that a peer says it has. What has a hash that is none is left out.
pub(super) async fn list_of(node: &Node, target: Target) -> Result<Vec<Artifact>, ArtifactError> {
    let from = node.recipient(&target).await?;
    let listed: Vec<Listed> = node.call(from, "_node.artifacts", ()).await?;
    Ok(listed.into_iter().filter_map(|listed| artifact(listed, from)).collect())
}

/// Fetches part by part, and trusts nothing that was said of it: neither its size nor its bytes.
pub(super) async fn fetch(node: &Node, target: Target, name: String) -> Result<FetchedArtifact, ArtifactError> {
    let from = node.recipient(&target).await?;
    let part = |offset: u64| {
        let name = name.clone();
        async move {
            let part: Part = node.call(from, "_node.artifact.get", (name, offset)).await?;
            Ok::<_, ArtifactError>(part)
        }
    };
    let first = part(0).await?;
    let about = artifact(first.artifact, from).ok_or_else(|| ArtifactError::Corrupt(name.clone()))?;
    check(about.size, ARTIFACT_MAX)?;
    let mut data = BytesMut::from(first.data.as_ref());
    while (data.len() as u64) < about.size {
        let next = part(data.len() as u64).await?;
        if next.artifact.sha256.as_ref() != about.sha256 {
            return Err(ArtifactError::Changed(name));
        }
        if next.data.is_empty() || next.offset != data.len() as u64 {
            return Err(ArtifactError::Corrupt(name));
        }
        data.extend_from_slice(&next.data);
    }
    let is_whole = data.len() as u64 == about.size && <[u8; 32]>::from(Sha256::digest(&data)) == about.sha256;
    if !is_whole {
        return Err(ArtifactError::Corrupt(name));
    }
    Ok(FetchedArtifact { from, artifact: about, data: data.freeze() })
}

fn artifact(listed: Listed, from: PeerId) -> Option<Artifact> {
    let Listed { name, kind, mime, encoding, description, meta, size, sha256, created_ms } = listed;
    let sha256 = sha256.as_ref().try_into().ok()?;
    Some(Artifact { name, kind, mime, encoding, description, meta, size, sha256, origin: Some(from), created_ms })
}
