//! Keeping artifacts.

use bytes::Bytes;
use libp2p::PeerId;
use p2pnode_behaviours::{key_of, peer_of};
use sha2::{Digest as _, Sha256};

use super::{
    ARTIFACT_MAX, ARTIFACTS_MAX, ARTIFACTS_PER_PEER, MOST,
    error::ArtifactError,
    fetch::{FetchedArtifact, fetch, list_of},
    label::label,
};
use crate::{
    node::Node,
    store::{ArtifactRow, Store, StoreError, Write},
    target::Target,
};

/// What is known of an artifact, besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Artifact {
    /// A label, never a path.
    pub name: String,
    /// What it is, such as `metadata`.
    pub kind: String,
    /// MIME type.
    pub mime: String,
    /// `json`, `text`, `base64` or empty: how programs of the older systems see it.
    pub encoding: String,
    /// For people.
    pub description: String,
    /// MessagePack map, or empty.
    pub meta: Bytes,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Who gave it to us; none for our own.
    pub origin: Option<PeerId>,
    /// When it was kept, milliseconds since 1970 on the clock of the node that keeps it.
    pub created_ms: u64,
}

/// An artifact to be kept: `NewArtifact { mime: "text/plain".into(), ..NewArtifact::new("motd", "hello") }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewArtifact {
    /// A label; the artifact of that name before it is replaced.
    pub name: String,
    /// Its content.
    pub data: Bytes,
    /// What it is.
    pub kind: String,
    /// MIME type.
    pub mime: String,
    /// `json`, `text`, `base64` or empty.
    pub encoding: String,
    /// For people.
    pub description: String,
    /// MessagePack map, or empty.
    pub meta: Bytes,
}

impl NewArtifact {
    /// With a name and bytes, and nothing said about it.
    pub fn new(name: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self { name: name.into(), data: data.into(), ..Self::default() }
    }
}

impl Artifact {
    pub(super) fn of(row: ArtifactRow) -> Self {
        let ArtifactRow { name, kind, mime, encoding, description, meta, size, sha256, origin, created_ms } = row;
        let origin = origin.and_then(|key| peer_of(&key));
        Self { name, kind, mime, encoding, description, meta, size, sha256, origin, created_ms }
    }
}

/// The artifacts that a node keeps and serves.
#[derive(Debug, Clone)]
pub struct Artifacts {
    node: Node,
    store: Store,
}

impl Artifacts {
    pub(crate) fn new(node: Node, store: Store) -> Self {
        Self { node, store }
    }

    /// Keeps one, in the place of the one of that name, if there is one.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub async fn put(&self, new: NewArtifact) -> Result<Artifact, ArtifactError> {
        self.keep_as(new, None).await
    }

    /// Keeps one that was fetched, under a name of one's own or its own, and serves it. Who gave it is remembered.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub async fn keep(&self, fetched: &FetchedArtifact, name: Option<&str>) -> Result<Artifact, ArtifactError> {
        let artifact = fetched.artifact.clone();
        let new = NewArtifact {
            name: name.map_or(artifact.name, str::to_owned),
            data: fetched.data.clone(),
            kind: artifact.kind,
            mime: artifact.mime,
            encoding: artifact.encoding,
            description: artifact.description,
            meta: artifact.meta,
        };
        self.keep_as(new, Some(fetched.from)).await
    }

    async fn keep_as(&self, new: NewArtifact, origin: Option<PeerId>) -> Result<Artifact, ArtifactError> {
        let NewArtifact { name, data, kind, mime, encoding, description, meta } = new;
        let (name, size) = (label(&name)?, data.len() as u64);
        let about = kind.len() + mime.len() + encoding.len() + description.len() + meta.len();
        check(size, ARTIFACT_MAX)?;
        check(about as u64, 16 * 1024)?;
        let sha256 = Sha256::digest(&data).into();
        let (origin, created_ms) = (origin.and_then(|peer| key_of(&peer)), self.node.now_ms());
        let row = ArtifactRow { name, kind, mime, encoding, description, meta, size, sha256, origin, created_ms };
        let kept = row.clone();
        let full = self.store.write_durably(move |tables| {
            if let Some(full) = full(tables, &row)? {
                return Ok(Some(full));
            }
            tables.put_artifact(&row, Some(&data)).map(|()| None)
        });
        match full.await? {
            Some(full) => Err(ArtifactError::Full(full)),
            None => Ok(Artifact::of(kept)),
        }
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<Artifact>, StoreError> {
        Self::kept(&self.store).await
    }

    /// One, with its bytes; none if there is none of that name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, name: &str) -> Result<Option<(Artifact, Bytes)>, StoreError> {
        Self::read(&self.store, name).await
    }

    /// Removes one. False if there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.store.write_durably(move |tables| tables.remove_artifact(&name)).await
    }

    /// What a store holds, for a node that does not run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kept(store: &Store) -> Result<Vec<Artifact>, StoreError> {
        let rows = store.read(|tables| tables.artifacts()).await?;
        Ok(rows.into_iter().map(Artifact::of).collect())
    }

    /// One that a store holds, for a node that does not run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(store: &Store, name: &str) -> Result<Option<(Artifact, Bytes)>, StoreError> {
        let name = name.to_owned();
        let found = store.read(move |tables| {
            let Some(row) = tables.artifact(&name)? else { return Ok(None) };
            let most = usize::try_from(row.size).unwrap_or(usize::MAX);
            Ok(tables.artifact_bytes(&row.sha256, 0, most)?.map(|data| (Artifact::of(row), data)))
        });
        found.await
    }
}

pub(super) fn check(bytes: u64, limit: u64) -> Result<(), ArtifactError> {
    if bytes <= limit { Ok(()) } else { Err(ArtifactError::TooLarge { bytes, limit }) }
}

/// Why there is no room for this one beside the others.
fn full(tables: &dyn Write, row: &ArtifactRow) -> Result<Option<String>, StoreError> {
    let others = tables.artifacts()?.into_iter().filter(|other| other.name != row.name);
    let (mut all, mut of_peer, mut number) = (row.size, row.size, 1);
    for other in others {
        all = all.saturating_add(other.size);
        number += 1;
        if other.origin == row.origin {
            of_peer = of_peer.saturating_add(other.size);
        }
    }
    Ok(match () {
        () if number > MOST => Some(format!("{MOST} artifacts are kept")),
        () if all > ARTIFACTS_MAX => Some(format!("all artifacts have at most {ARTIFACTS_MAX} bytes together")),
        () if row.origin.is_some() && of_peer > ARTIFACTS_PER_PEER => {
            Some(format!("those of one peer have at most {ARTIFACTS_PER_PEER} bytes together"))
        }
        () => None,
    })
}

impl Node {
    /// Artifacts that it keeps and serves. None in a node that lives for one command: it keeps nothing.
    pub fn artifacts(&self) -> Option<Artifacts> {
        self.inner().store.clone().map(|store| Artifacts::new(self.clone(), store))
    }

    /// Artifacts of a peer.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub async fn artifacts_of(&self, target: impl Into<Target>) -> Result<Vec<Artifact>, ArtifactError> {
        list_of(self, target.into()).await
    }

    /// Fetches an artifact of a peer, whole and checked against its SHA-256.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub async fn artifact(
        &self,
        target: impl Into<Target>,
        name: impl Into<String>,
    ) -> Result<FetchedArtifact, ArtifactError> {
        // Boxed: it holds parts and the whole.
        Box::pin(fetch(self, target.into(), name.into())).await
    }
}
