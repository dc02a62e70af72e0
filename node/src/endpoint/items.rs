//! Items of a result, on the side of the handler.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use p2pnode_behaviours::rpc::{self, NotTaken};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    msgpack,
};
use serde::Serialize;

use super::HandlerError;
use crate::node::lock;

/// Where a handler puts the items of its result, one after the other. What has been sent is on its way at once; a caller
/// that reads slowly holds the handler up.
pub struct ItemSender<R> {
    outlet: Outlet,
    types: PhantomData<fn(R)>,
}

impl<R> fmt::Debug for ItemSender<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ItemSender")
    }
}

impl<R: Serialize> ItemSender<R> {
    pub(super) fn new(outlet: Outlet) -> Self {
        Self { outlet, types: PhantomData }
    }

    /// Sends one; waits while the caller has enough to read.
    ///
    /// # Errors
    /// The caller wants no more, or it cannot be encoded. A handler ends with `?` here.
    pub async fn send(&mut self, item: &R) -> Result<(), HandlerError> {
        let bytes = msgpack::try_encode(item)
            .map_err(|e| HandlerError::code(ErrorCode::InternalError, format!("an item cannot be encoded: {e}")))?;
        Ok(self.outlet.send(bytes.into()).await?)
    }

    /// Sends all of a stream.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn send_all(&mut self, items: impl Stream<Item = R>) -> Result<(), HandlerError> {
        let mut items = std::pin::pin!(items);
        while let Some(item) = items.next().await {
            self.send(&item).await?;
        }
        Ok(())
    }
}

/// The same without a type: MessagePack. The node ends the result when the handler has ended.
pub struct Outlet(Arc<Mutex<Option<rpc::ItemSender>>>);

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}

impl Outlet {
    /// The handler's end and the node's.
    pub(super) fn pair(items: rpc::ItemSender) -> (Self, Self) {
        let shared = Arc::new(Mutex::new(Some(items)));
        (Self(shared.clone()), Self(shared))
    }

    /// Sends an item.
    ///
    /// # Errors
    /// [`NotTaken`].
    // Not two at once: an item of several frames must not be torn.
    pub async fn send(&mut self, item: Bytes) -> Result<(), NotTaken> {
        let mut left = Some(item);
        std::future::poll_fn(|cx| match lock(&self.0).as_mut() {
            Some(items) => items.poll_send(&mut left, cx),
            None => std::task::Poll::Ready(Err(NotTaken)),
        })
        .await
    }

    pub(super) fn finish(self, outcome: Result<(), RpcError>) {
        let items = lock(&self.0).take();
        if let Some(items) = items {
            items.finish(outcome);
        }
    }
}
