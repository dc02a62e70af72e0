//! `_node.artifacts` and `_node.artifact.get`.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use p2pnode_wire::{error::ErrorCode, msgpack};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CHUNK, handle::Artifact};
use crate::{
    endpoint::{Arguments, Context, DynHandler, Endpoint, EndpointError, Endpoints, HandlerError, Run},
    node::WeakNode,
    store::Store,
};

/// One of `_node.artifacts`, and the head of each part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) mime: String,
    pub(super) encoding: String,
    pub(super) description: String,
    #[serde(with = "p2pnode_wire::bin")]
    pub(super) meta: Bytes,
    pub(super) size: u64,
    #[serde(with = "p2pnode_wire::bin")]
    pub(super) sha256: Bytes,
    pub(super) created_ms: u64,
}

/// The answer of `_node.artifact.get`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) artifact: Listed,
    pub(super) offset: u64,
    #[serde(with = "p2pnode_wire::bin")]
    pub(super) data: Bytes,
}

/// The arguments of `_node.artifact.get`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Wanted {
    name: String,
    #[serde(default)]
    offset: u64,
}

impl From<Artifact> for Listed {
    fn from(artifact: Artifact) -> Self {
        let Artifact { name, kind, mime, encoding, description, meta, size, sha256, created_ms, .. } = artifact;
        let sha256 = Bytes::copy_from_slice(&sha256);
        Self { name, kind, mime, encoding, description, meta, size, sha256, created_ms }
    }
}

pub(crate) fn register(node: &WeakNode, endpoints: &Endpoints) -> Result<(), EndpointError> {
    let list = Endpoint::new("_node.artifacts").idempotent();
    endpoints.register_reserved(list, Run::Once(Arc::new(List(node.clone()))))?;
    let get = Endpoint::new("_node.artifact.get").idempotent();
    endpoints.register_reserved(get, Run::Once(Arc::new(Get(node.clone()))))
}

fn store(node: &WeakNode) -> Result<Option<Store>, HandlerError> {
    let node = node.upgrade();
    let node = node.ok_or_else(|| HandlerError::code(ErrorCode::AgentUnavailable, "the node is stopping"))?;
    Ok(node.inner().store.clone())
}

/// The store's words name files of this host.
fn unread(error: &crate::store::StoreError) -> HandlerError {
    tracing::warn!(%error, "an artifact cannot be read");
    HandlerError::new("the artifacts cannot be read")
}

struct List(WeakNode);

impl DynHandler for List {
    fn call(&self, _: Context, _: Arguments) -> BoxFuture<'static, Result<Bytes, HandlerError>> {
        let store = store(&self.0);
        async move {
            let Some(store) = store? else { return Ok(msgpack::encode(&Vec::<Listed>::new()).into()) };
            let rows = store.read(|tables| tables.artifacts()).await.map_err(|error| unread(&error))?;
            let listed: Vec<Listed> = rows.into_iter().map(|row| Artifact::of(row).into()).collect();
            Ok(msgpack::encode(&listed).into())
        }
        .boxed()
    }
}

struct Get(WeakNode);

impl DynHandler for Get {
    fn call(&self, _: Context, args: Arguments) -> BoxFuture<'static, Result<Bytes, HandlerError>> {
        let store = store(&self.0);
        async move {
            let Wanted { name, offset } = args.decode()?;
            let shown: String = name.chars().take(64).collect();
            let none = move || HandlerError::code(ErrorCode::NotFound, format!("there is no artifact \"{shown}\""));
            let Some(store) = store? else { return Err(none()) };
            let found = store.read(move |tables| {
                let Some(row) = tables.artifact(&name)? else { return Ok(None) };
                let data = tables.artifact_bytes(&row.sha256, offset, CHUNK)?;
                Ok(data.map(|data| Part { artifact: Artifact::of(row).into(), offset, data }))
            });
            let part = found.await.map_err(|error| unread(&error))?.ok_or_else(none)?;
            Ok(msgpack::encode(&part).into())
        }
        .boxed()
    }
}
