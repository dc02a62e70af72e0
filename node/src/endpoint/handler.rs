//! Typed handlers outside, erased ones inside.

use std::{fmt, future::Future, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use p2pnode_wire::{
    card::EndpointInfo,
    error::{ErrorCode, RpcError},
    limits, msgpack,
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use super::{
    Arguments, Context, ItemSender, Outlet,
    schema::{Shape, schema_of, shape},
};

/// Why a handler has no result. Any error becomes one with `?`, as `HANDLER_FAILED` with its message.
pub struct HandlerError {
    /// Which row of the error table.
    pub code: ErrorCode,
    /// For people; it travels to the caller.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// When it may.
    pub retry_after: Option<Duration>,
    /// MessagePack with more.
    pub details: Option<Bytes>,
    decline: bool,
}

impl HandlerError {
    /// The handler failed.
    pub fn new(message: impl Into<String>) -> Self {
        Self::code(ErrorCode::HandlerFailed, message)
    }

    /// An error of that row of the table.
    pub fn code(code: ErrorCode, message: impl Into<String>) -> Self {
        let retryable = code.retryable();
        Self { code, message: message.into(), retryable, retry_after: None, details: None, decline: false }
    }

    /// "Not me": an ask handler that says so has neither acked nor answered.
    pub fn decline() -> Self {
        Self { decline: true, ..Self::code(ErrorCode::AgentUnavailable, "this is not for me") }
    }

    /// Whether it is [`HandlerError::decline`].
    pub fn is_decline(&self) -> bool {
        self.decline
    }

    /// One that was on its way to a caller.
    pub(crate) fn from_rpc(error: RpcError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            retry_after: error.retry_after,
            details: error.details,
            decline: false,
        }
    }

    pub(crate) fn into_rpc(self) -> RpcError {
        self.into()
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.code.name(), self.message)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// Not an `Error` itself: then this could not be written.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// As it travels.
impl From<HandlerError> for RpcError {
    fn from(error: HandlerError) -> Self {
        let mut rpc = Self::new(error.code, error.message);
        (rpc.retryable, rpc.retry_after, rpc.details) = (error.retryable, error.retry_after, error.details);
        rpc
    }
}

/// A handler whose types are known only at run time: it reads [`Arguments`] and writes MessagePack itself.
pub trait DynHandler: Send + Sync + 'static {
    /// Answers one call with MessagePack. The future is dropped when the caller gives up or its time is over; a panic
    /// is the caller's `INTERNAL_ERROR` and does no harm to the node.
    fn call(&self, cx: Context, args: Arguments) -> BoxFuture<'static, Result<Bytes, HandlerError>>;
}

/// The same for a handler whose result is a stream.
pub trait DynStreamHandler: Send + Sync + 'static {
    /// Answers one call item by item; what has been sent before an error stays sent. The future is dropped when the caller
    /// gives up or its time is over.
    fn stream(&self, cx: Context, args: Arguments, items: Outlet) -> BoxFuture<'static, Result<(), HandlerError>>;
}

/// What runs when an endpoint is called.
#[derive(Clone)]
pub(crate) enum Run {
    /// One result.
    Once(Arc<dyn DynHandler>),
    /// Item by item.
    Stream(Arc<dyn DynStreamHandler>),
}

/// A closure `|cx: Context, args: A| async move { Ok(result) }`, where `A` is read from the arguments by serde and its
/// JSON Schema, and `R` is written. With a third argument, `items: ItemSender<R>`, the result is a stream: the closure
/// sends item by item and ends with `Ok(())`.
///
/// ```
/// use p2pnode::{presets, Context, Endpoint, ItemSender, Node};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::builder(presets::Lan)
///     .endpoint(Endpoint::new("sum"), |_: Context, (a, b): (i64, i64)| async move { Ok(a + b) })
///     .endpoint(Endpoint::new("count"), |_: Context, (upto,): (u32,), mut items: ItemSender<u32>| async move {
///         for n in 1..=upto {
///             items.send(&n).await?;
///         }
///         Ok(())
///     })
///     .start()
///     .await?;
/// # Ok(())
/// # }
/// ```
pub trait Handler<A, R>: Send + Sync + Sized + 'static {
    /// The handler without its types, and the schemas of `A` and `R`.
    fn erase(self) -> Erased;
}

/// Marks a result that is a stream of `R`; see [`Handler`].
#[derive(Debug)]
pub struct StreamOf<R>(PhantomData<fn() -> R>);

/// A typed handler whose types have become schemas.
pub struct Erased {
    input: Json,
    output: Json,
    run: Run,
}

impl<A, R, F, Fut> Handler<A, R> for F
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    R: Serialize + JsonSchema + Send + 'static,
    F: Fn(Context, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, HandlerError>> + Send + 'static,
{
    fn erase(self) -> Erased {
        let input = schema_of::<A>();
        let typed = Typed { handler: self, shape: shape(&input), types: PhantomData };
        Erased { input, output: schema_of::<R>(), run: Run::Once(Arc::new(typed)) }
    }
}

impl<A, R, F, Fut> Handler<A, StreamOf<R>> for F
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    R: Serialize + JsonSchema + Send + 'static,
    F: Fn(Context, A, ItemSender<R>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    fn erase(self) -> Erased {
        let input = schema_of::<A>();
        let typed = TypedStream { handler: self, shape: shape(&input), types: PhantomData };
        Erased { input, output: schema_of::<R>(), run: Run::Stream(Arc::new(typed)) }
    }
}

struct TypedStream<A, R, F> {
    handler: F,
    shape: Shape,
    types: PhantomData<fn(A) -> R>,
}

impl<A, R, F, Fut> DynStreamHandler for TypedStream<A, R, F>
where
    A: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    F: Fn(Context, A, ItemSender<R>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    fn stream(&self, cx: Context, args: Arguments, items: Outlet) -> BoxFuture<'static, Result<(), HandlerError>> {
        match args.decode_as(&self.shape) {
            Ok(args) => (self.handler)(cx, args, ItemSender::new(items)).boxed(),
            Err(error) => futures::future::ready(Err(error)).boxed(),
        }
    }
}

struct Typed<A, F> {
    handler: F,
    shape: Shape,
    types: PhantomData<fn(A)>,
}

impl<A, R, F, Fut> DynHandler for Typed<A, F>
where
    A: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    F: Fn(Context, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, HandlerError>> + Send + 'static,
{
    fn call(&self, cx: Context, args: Arguments) -> BoxFuture<'static, Result<Bytes, HandlerError>> {
        let args = match args.decode_as(&self.shape) {
            Ok(args) => args,
            Err(error) => return futures::future::ready(Err(error)).boxed(),
        };
        let result = (self.handler)(cx, args);
        async move {
            let result = result.await?;
            let bytes = msgpack::try_encode(&result).map_err(|e| {
                HandlerError::code(ErrorCode::InternalError, format!("the result cannot be encoded: {e}"))
            })?;
            Ok(Bytes::from(bytes))
        }
        .boxed()
    }
}

/// A function that peers may call: its name and how it is shown and run.
#[derive(Debug, Clone)]
#[must_use = "an endpoint is registered with a handler"]
pub struct Endpoint {
    pub(super) info: EndpointInfo,
    pub(super) published: bool,
    pub(super) public: bool,
    pub(super) concurrency: usize,
}

impl Endpoint {
    /// One of that name: letters, digits, `.`, `_` and `-`, at most 128; a leading `_` is for the node's own.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            info: EndpointInfo { name: name.into(), ..EndpointInfo::default() },
            published: true,
            public: false,
            concurrency: limits::PER_ENDPOINT,
        }
    }

    /// Describes it, for people and language models.
    pub fn describe(mut self, text: impl Into<String>) -> Self {
        self.info.description = text.into();
        self
    }

    /// Adds a label.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.info.tags.push(tag.into());
        self
    }

    /// Not listed; who knows the name may call it by the same rule.
    pub fn unlisted(mut self) -> Self {
        self.published = false;
        self
    }

    /// Answers everybody who can connect, member or not.
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Running it twice does no harm.
    pub fn idempotent(mut self) -> Self {
        self.info.idempotent = true;
        self
    }

    /// Runs at most so many at once; more are refused with `OVERLOADED`. Default 256.
    pub fn concurrency(mut self, n: usize) -> Self {
        self.concurrency = n.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// JSON Schema of its arguments. A typed handler brings its own.
    pub fn schema(mut self, schema: &Json) -> Self {
        self.info.input_schema = Some(schema.to_string());
        self
    }

    /// JSON Schema of its result, of a stream that of its items. A typed handler brings its own.
    pub fn output_schema(mut self, schema: &Json) -> Self {
        self.info.output_schema = Some(schema.to_string());
        self
    }

    pub(crate) fn with_handler<A, R, H: Handler<A, R>>(self, handler: H) -> (Self, Run) {
        let erased = handler.erase();
        (self.schema(&erased.input).output_schema(&erased.output), erased.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails() -> Result<(), HandlerError> {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "no such ladder");
        Err(missing)?
    }

    #[test]
    fn any_error_becomes_a_failure_of_the_handler() {
        let error = fails().expect_err("it fails");
        assert_eq!((error.code, error.to_string()), (ErrorCode::HandlerFailed, "no such ladder".into()));
        assert!(!error.is_decline() && !error.retryable);
        assert!(HandlerError::decline().is_decline());
    }

    #[test]
    fn nothing_is_lost_on_the_way_to_the_wire() {
        let mut error = HandlerError::code(ErrorCode::RateLimited, "slowly");
        error.retry_after = Some(Duration::from_secs(2));
        error.details = Some(Bytes::from_static(b"\xc0"));
        error.retryable = false;
        let rpc = RpcError::from(error);
        assert_eq!((rpc.code, rpc.message.as_str(), rpc.retryable), (ErrorCode::RateLimited, "slowly", false));
        assert_eq!((rpc.retry_after, rpc.details), (Some(Duration::from_secs(2)), Some(Bytes::from_static(b"\xc0"))));
    }
}
