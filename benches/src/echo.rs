//! An echo of RPC frames over any byte stream, many in flight: the bare minimum that ours is held against.
//!
//! The caller keeps one writer that batches what is queued and one reader that routes by id, with a oneshot per call;
//! the server answers each `req` frame with a `res` frame of the same bytes.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use p2pnode_wire::{
    frame,
    rpc::{Message, Req},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
};

/// Calls queued for the writer; as many as may be in flight.
const QUEUE: usize = 1_024;

/// Reads and writes of this size.
const CHUNK: usize = 64 * 1024;

type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<Bytes>>>>;

/// Makes calls over one stream.
#[derive(Clone, Debug)]
pub struct Caller {
    queue: mpsc::Sender<(u64, Bytes)>,
    pending: Pending,
    next: Arc<AtomicU64>,
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

impl Caller {
    /// Runs reader and writer on the current runtime.
    pub fn new<R, W>(reader: R, writer: W) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (queue, calls) = mpsc::channel(QUEUE);
        let pending = Pending::default();
        tokio::spawn(write(writer, calls));
        tokio::spawn(route(reader, pending.clone()));
        Self { queue, pending, next: Arc::default() }
    }

    /// One round trip.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn call(&self, args: Bytes) -> io::Result<Bytes> {
        let (sender, answer) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        self.queue.send((id, args)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        answer.await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

async fn write<W: AsyncWrite + Unpin>(mut writer: W, mut calls: mpsc::Receiver<(u64, Bytes)>) -> io::Result<()> {
    let (mut batch, mut out) = (Vec::new(), BytesMut::new());
    while calls.recv_many(&mut batch, QUEUE).await > 0 {
        for (id, args) in batch.drain(..) {
            let req = Req { id, endpoint: "echo".into(), args, left_ms: 30_000, ..Req::default() };
            Message::Req(req).encode_into(&mut out);
        }
        writer.write_all_buf(&mut out).await?;
        writer.flush().await?;
    }
    Ok(())
}

async fn route<R: AsyncRead + Unpin>(mut reader: R, pending: Pending) -> io::Result<()> {
    let decoder = frame::Decoder::new(frame::MAX);
    let mut buffer = BytesMut::with_capacity(CHUNK);
    while reader.read_buf(&mut buffer).await? > 0 {
        while let Some(frame) = decoder.next(&mut buffer).map_err(invalid)? {
            if let Message::Res { id, result, .. } = Message::decode(&frame).map_err(invalid)? {
                let waiting = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                // The caller may have been dropped at the end of a round.
                let _ = waiting.map(|sender| sender.send(result));
            }
        }
    }
    Ok(())
}

/// Answers until the stream ends: all that one read brought goes out in one write.
///
/// # Errors
/// The stream breaks, or a frame is not one of ours.
pub async fn serve<R, W>(mut reader: R, mut writer: W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let decoder = frame::Decoder::new(frame::MAX);
    let (mut buffer, mut out) = (BytesMut::with_capacity(CHUNK), BytesMut::new());
    while reader.read_buf(&mut buffer).await? > 0 {
        while let Some(frame) = decoder.next(&mut buffer).map_err(invalid)? {
            if let Message::Req(req) = Message::decode(&frame).map_err(invalid)? {
                Message::Res { id: req.id, result: req.args, more: false, stream: false }.encode_into(&mut out);
            }
        }
        writer.write_all_buf(&mut out).await?;
        writer.flush().await?;
    }
    Ok(())
}

/// Sends `count` items of `size` bytes, and the end, for each frame that comes.
///
/// # Errors
/// The stream breaks, or a frame is not one of ours.
pub async fn items<R, W>(mut reader: R, mut writer: W, count: u32, size: usize) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let decoder = frame::Decoder::new(frame::MAX);
    let (mut buffer, mut out, body) = (BytesMut::new(), BytesMut::new(), Bytes::from(vec![7; size]));
    while reader.read_buf(&mut buffer).await? > 0 {
        while decoder.next(&mut buffer).map_err(invalid)?.is_some() {
            for n in 0..count {
                Message::Item { id: 1, n, body: body.clone(), more: false }.encode_into(&mut out);
                if out.len() >= CHUNK {
                    writer.write_all_buf(&mut out).await?;
                }
            }
            Message::End { id: 1 }.encode_into(&mut out);
            writer.write_all_buf(&mut out).await?;
            writer.flush().await?;
        }
    }
    Ok(())
}

/// Reads what [`items`] sends.
#[derive(Debug)]
pub struct Reader<R, W> {
    reader: R,
    writer: W,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Reader<R, W> {
    /// One that has read nothing.
    pub fn new(reader: R, writer: W) -> Self {
        Self { reader, writer, buffer: BytesMut::with_capacity(CHUNK) }
    }

    /// Asks for items and counts them.
    ///
    /// # Errors
    /// The stream breaks, or a frame is not one of ours.
    pub async fn items(&mut self) -> io::Result<u32> {
        let mut out = BytesMut::new();
        Message::Cancel { id: 1 }.encode_into(&mut out);
        self.writer.write_all_buf(&mut out).await?;
        self.writer.flush().await?;
        let decoder = frame::Decoder::new(frame::MAX);
        let mut count = 0;
        loop {
            while let Some(frame) = decoder.next(&mut self.buffer).map_err(invalid)? {
                match Message::decode(&frame).map_err(invalid)? {
                    Message::Item { .. } => count += 1,
                    Message::End { .. } => return Ok(count),
                    other => return Err(invalid(format!("{other:?}"))),
                }
            }
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
