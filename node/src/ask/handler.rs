//! Who takes questions.

use std::future::Future;

use futures::future::BoxFuture;
use p2pnode_wire::msgpack;
use rmpv::Value;
use serde::Serialize;

use super::Ask;
use crate::endpoint::HandlerError;

/// Takes questions. [`Builder::ask`](crate::Builder::ask) makes one of a closure.
pub trait AskHandler: Send + Sync + 'static {
    /// Works on one question. The value is the reply; [`HandlerError::decline`] says "not me", and the asker hears
    /// neither ack nor reply.
    fn ask(&self, cx: Ask, task: String) -> BoxFuture<'static, Result<Value, HandlerError>>;
}

/// A handler made of a closure.
pub(crate) struct AskFn<F>(pub(crate) F);

impl<F, Fut, R> AskHandler for AskFn<F>
where
    F: Fn(Ask, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, HandlerError>> + Send + 'static,
    R: Serialize + Send + 'static,
{
    fn ask(&self, cx: Ask, task: String) -> BoxFuture<'static, Result<Value, HandlerError>> {
        let reply = (self.0)(cx, task);
        Box::pin(async move {
            let bytes = msgpack::try_encode(&reply.await?).map_err(HandlerError::new)?;
            Ok(msgpack::decode(&bytes)?)
        })
    }
}
