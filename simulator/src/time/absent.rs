//! Without the feature `virtual-time`.

use std::{future::Future, io, time::Duration};

/// There is no virtual time without the feature `virtual-time`.
///
/// # Errors
/// Always.
pub fn simulate<F, Fut, T>(_seed: u64, _main: F) -> io::Result<T>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T>,
    T: Send + 'static,
{
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "p2pnode-simulator was built without its feature \"virtual-time\": there is only the wall clock",
    ))
}

/// How much virtual time has passed: there is none.
pub fn elapsed() -> Option<Duration> {
    None
}
