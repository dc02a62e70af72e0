//! The caller's end of a streamed result.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, stream::FusedStream};
use libp2p_core::Multiaddr;

use super::{
    CallError, Road,
    mux::{Inbox, Link, Reader, Taken},
};

/// The items of one result, in their order, each as MessagePack. The peer sends no more than
/// [`Config::window`](super::Config::window) bytes ahead of the reader. An error is the last item; dropped before the end,
/// the call is cancelled at the peer.
pub struct Items {
    from: Option<From>,
    road: Road,
}

enum From {
    /// As they come.
    Link { link: Arc<Link>, id: u64, reader: Reader },
    /// All came in one.
    Array(VecDeque<Bytes>),
}

impl Items {
    pub(crate) fn coming(link: Arc<Link>, id: u64, inbox: Arc<Inbox>) -> Self {
        Self { from: Some(From::Link { link, id, reader: Reader::new(inbox) }), road: Road::Fast }
    }

    pub(crate) fn all(items: impl IntoIterator<Item = Bytes>) -> Self {
        Self { from: Some(From::Array(items.into_iter().collect())), road: Road::Classic }
    }

    /// Which protocol carries the call. On the classic road all items come at once, at the end.
    pub fn road(&self) -> Road {
        self.road
    }

    /// The remote end of the connection; only the fast road knows it.
    pub fn remote(&self) -> Option<&Multiaddr> {
        match &self.from {
            Some(From::Link { link, .. }) => Some(&link.remote),
            _ => None,
        }
    }

    /// The peer has begun to answer, or why it will not.
    pub(crate) async fn begun(&mut self) -> Result<(), CallError> {
        match &self.from {
            Some(From::Link { reader, .. }) => std::future::poll_fn(|cx| reader.inbox().poll_begun(cx)).await,
            _ => Ok(()),
        }
    }
}

impl Stream for Items {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.from {
            Some(From::Link { link, id, reader }) => {
                let (next, credit) = reader.poll_next(cx);
                if let Some(n) = credit {
                    link.give(*id, n);
                }
                match std::task::ready!(next) {
                    Taken::Item(item) => Poll::Ready(Some(Ok(item))),
                    Taken::End(outcome) => {
                        self.from = None;
                        Poll::Ready(outcome.err().map(Err))
                    }
                }
            }
            Some(From::Array(items)) => Poll::Ready(items.pop_front().map(Ok)),
            None => Poll::Ready(None),
        }
    }
}

impl FusedStream for Items {
    fn is_terminated(&self) -> bool {
        self.from.is_none()
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        if let Some(From::Link { link, id, .. }) = &self.from {
            link.cancel(*id);
        }
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("road", &self.road).finish_non_exhaustive()
    }
}
