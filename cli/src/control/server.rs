//! Serves clients of the control socket, so many at once.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{CLIENTS, Daemon, HEADERS, REFUSED, SEND, Socket, routes};
use crate::signals::TERMINATED;

/// A client that is refused has this long to read why.
const REFUSAL: Duration = Duration::from_secs(2);

/// When no more files can be opened, somebody has to close one first.
const NO_FILES: Duration = Duration::from_millis(100);

/// Clients of a node that leaves have this long to hear their last words.
const CLOSING: Duration = Duration::from_secs(2);

/// All places.
#[allow(clippy::cast_possible_truncation, reason = "a small constant")]
const ALL: u32 = CLIENTS as u32;

/// The control socket of a node that runs; it closes when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    daemon: Arc<Daemon>,
    /// Places for clients; all are free when nobody is there.
    places: Arc<Semaphore>,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Begins to take clients.
    pub(crate) fn start(socket: Socket, daemon: Arc<Daemon>) -> Self {
        let (places, closing) = (Arc::new(Semaphore::new(CLIENTS)), watch::Sender::new(false));
        let task = tokio::spawn(serve(socket, daemon.clone(), places.clone(), closing.subscribe()));
        Self { daemon, places, closing, task }
    }

    /// The node and its clients.
    pub(crate) fn daemon(&self) -> &Arc<Daemon> {
        &self.daemon
    }

    /// Takes no more clients, and lets those that are there hear the end of their commands.
    pub(crate) async fn close(mut self) {
        self.task.abort();
        // Its file goes with it.
        let _ = (&mut self.task).await;
        // Those that watch the node know already that it has left.
        self.daemon.cancel(None, TERMINATED);
        self.closing.send_replace(true);
        // What was said has left this process only when the connections have ended.
        let _ = timeout(CLOSING, self.places.acquire_many(ALL)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: Socket, daemon: Arc<Daemon>, places: Arc<Semaphore>, closing: watch::Receiver<bool>) {
    let (all, few) = (routes::all(daemon.clone()), routes::few(daemon));
    let doorway = Arc::new(Semaphore::new(REFUSED));
    loop {
        let Ok(stream) = socket.accept().await else {
            sleep(NO_FILES).await;
            continue;
        };
        if let Ok(place) = places.clone().try_acquire_owned() {
            tokio::spawn(connection(stream, all.clone(), closing.clone(), place));
        } else if let Ok(place) = doorway.clone().try_acquire_owned() {
            tokio::spawn(timeout(REFUSAL, connection(stream, few.clone(), closing.clone(), place)));
        }
    }
}

async fn connection(
    stream: UnixStream,
    router: Router,
    mut closing: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SEND).max_buf_size(HEADERS);
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    // A client that goes away, or talks no HTTP, is nothing to report.
    tokio::select! {
        _ = served.as_mut() => return,
        _ = closing.wait_for(|closing| *closing) => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}
