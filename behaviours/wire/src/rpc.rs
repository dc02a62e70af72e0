//! The envelopes of both RPC roads: MessagePack maps with string keys, each in one frame.
//!
//! Bodies with `more`: the items after a `req` concatenate to the MessagePack array `[args: bin, kwargs: bin]`; the
//! items after a `res` with `more` append to its `result`, unless it is a `stream`: then each is a value. The hot path: encoding writes straight into the buffer,
//! decoding is one scan and one pass whose bodies are slices of the frame.

use std::{fmt, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use rmp::{decode, encode};

use crate::{
    error::{ErrorCode, RpcError},
    ids::SwarmId,
    limits,
    msgpack::{self, Bounds, DecodeError},
};

/// Longest name of an endpoint, trace, or error code, in bytes.
pub const TEXT_MAX: usize = 1_024;

/// Details of an error that are sent: an error is one frame.
pub const DETAILS_MAX: usize = 32 * 1024;

/// One frame.
#[derive(Clone, PartialEq)]
pub enum Message {
    /// A call.
    Req(Req),
    /// A result, or the first part of one.
    Res {
        /// Of which call.
        id: u64,
        /// MessagePack.
        result: Bytes,
        /// Items follow.
        more: bool,
        /// The items are values, each for itself. Without `more`, `result` is the array of all.
        stream: bool,
    },
    /// A call failed.
    Err {
        /// Which.
        id: u64,
        /// How.
        error: RpcError,
    },
    /// A part of a body.
    Item {
        /// Of which call.
        id: u64,
        /// Counted from 0.
        n: u32,
        /// The part.
        body: Bytes,
        /// In a stream: the value goes on in the next item.
        more: bool,
    },
    /// The body is complete.
    End {
        /// Of which call.
        id: u64,
    },
    /// The caller no longer waits.
    Cancel {
        /// For which call.
        id: u64,
    },
    /// So much more may come.
    Credit {
        /// For which call.
        id: u64,
        /// Items of a body; of a stream, what they cost.
        n: u32,
    },
}

/// A call.
#[derive(Clone, PartialEq, Default)]
pub struct Req {
    /// Chosen by the caller, unique on its substream.
    pub id: u64,
    /// In the name of which swarm.
    pub swarm: Option<SwarmId>,
    /// Name of the endpoint.
    pub endpoint: String,
    /// MessagePack array, or empty.
    pub args: Bytes,
    /// MessagePack map, or empty.
    pub kwargs: Bytes,
    /// Milliseconds the caller still waits.
    pub left_ms: u32,
    /// The body follows in items.
    pub more: bool,
    /// The caller takes a result item by item, and so much of it may be on its way: see [`item_cost`].
    pub window: Option<u32>,
    /// Key of a call that may be repeated.
    pub idem: Option<[u8; 16]>,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// Nodes passed.
    pub hop: u8,
    /// MessagePack map.
    pub meta: Option<Bytes>,
}

/// What an item of a stream takes of the window of its reader: its bytes, and what it costs to keep it.
pub fn item_cost(body: &[u8]) -> u32 {
    u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(limits::ITEM_COST)
}

impl fmt::Debug for Req {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Req")
            .field("id", &self.id)
            .field("endpoint", &self.endpoint)
            .field("args", &self.args.len())
            .field("kwargs", &self.kwargs.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Req(req) => fmt::Debug::fmt(req, f),
            Self::Res { id, result, more, stream } => {
                write!(f, "Res({id}, {} bytes, more: {more}, stream: {stream})", result.len())
            }
            Self::Err { id, error } => write!(f, "Err({id}, {error:?})"),
            Self::Item { id, n, body, more } => write!(f, "Item({id}, {n}, {} bytes, more: {more})", body.len()),
            Self::End { id } => write!(f, "End({id})"),
            Self::Cancel { id } => write!(f, "Cancel({id})"),
            Self::Credit { id, n } => write!(f, "Credit({id}, {n})"),
        }
    }
}

/// Arguments that go in items.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestBody {
    /// Positional.
    pub args: Bytes,
    /// By keyword.
    pub kwargs: Bytes,
}

impl RequestBody {
    /// `[args, kwargs]`.
    pub fn encode(&self) -> Bytes {
        let mut writer = BytesMut::with_capacity(self.args.len().saturating_add(self.kwargs.len()).saturating_add(16));
        let mut out = Writer(&mut writer);
        out.array(2);
        out.bin(&self.args);
        out.bin(&self.kwargs);
        writer.freeze()
    }

    /// Slices of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        msgpack::scan(bytes, Bounds::default())?;
        let mut reader = Reader { all: bytes, rest: bytes };
        if reader.array()? != 2 {
            return Err(unexpected("not two parts"));
        }
        Ok(Self { args: reader.bin()?, kwargs: reader.bin()? })
    }
}

/// Writes MessagePack into a buffer that grows, which cannot fail.
struct Writer<'a>(&'a mut BytesMut);

impl Writer<'_> {
    fn map(&mut self, n: usize) {
        let _ = encode::write_map_len(&mut self.0.writer(), u32::try_from(n).unwrap_or(u32::MAX));
    }

    fn array(&mut self, n: u32) {
        let _ = encode::write_array_len(&mut self.0.writer(), n);
    }

    fn str(&mut self, text: &str) {
        let _ = encode::write_str(&mut self.0.writer(), text);
    }

    fn uint(&mut self, n: u64) {
        let _ = encode::write_uint(&mut self.0.writer(), n);
    }

    fn bool(&mut self, b: bool) {
        let _ = encode::write_bool(&mut self.0.writer(), b);
    }

    /// Left out where it is not set.
    fn flag(&mut self, key: &str, set: bool) {
        if set {
            self.str(key);
            self.bool(true);
        }
    }

    fn bin(&mut self, bytes: &[u8]) {
        let _ = encode::write_bin_len(&mut self.0.writer(), u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.put_slice(bytes);
    }

    fn head(&mut self, fields: usize, kind: &str, id: u64) {
        self.map(fields.saturating_add(2));
        self.str("t");
        self.str(kind);
        self.str("id");
        self.uint(id);
    }
}

impl Message {
    /// Appends the frame, length first.
    pub fn encode_into(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32(0);
        self.write(&mut Writer(out));
        let length = u32::try_from(out.len().saturating_sub(start).saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(prefix) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *prefix = length.to_be_bytes();
        }
    }

    fn write(&self, w: &mut Writer<'_>) {
        match self {
            Self::Req(req) => req.write(w),
            Self::Res { id, result, more, stream } => {
                w.head(1usize.saturating_add(usize::from(*more)).saturating_add(usize::from(*stream)), "res", *id);
                w.str("result");
                w.bin(result);
                w.flag("more", *more);
                w.flag("stream", *stream);
            }
            Self::Err { id, error } => write_error(w, *id, error),
            Self::Item { id, n, body, more } => {
                w.head(2usize.saturating_add(usize::from(*more)), "item", *id);
                w.str("n");
                w.uint(u64::from(*n));
                w.str("body");
                w.bin(body);
                w.flag("more", *more);
            }
            Self::End { id } => w.head(0, "end", *id),
            Self::Cancel { id } => w.head(0, "cancel", *id),
            Self::Credit { id, n } => {
                w.head(1, "credit", *id);
                w.str("n");
                w.uint(u64::from(*n));
            }
        }
    }

    /// Reads one frame, without its length. Bodies are slices of it.
    ///
    /// # Errors
    /// [`DecodeError`]; unknown keys are ignored, a key that comes twice is refused.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        msgpack::scan(frame, Bounds::default())?;
        let mut fields = Fields::default();
        let mut reader = Reader { all: frame, rest: frame };
        for _ in 0..reader.map()? {
            fields.read(&mut reader)?;
        }
        fields.message()
    }
}

impl Req {
    fn write(&self, w: &mut Writer<'_>) {
        let words = [self.swarm.is_some(), self.idem.is_some(), self.trace.is_some(), self.meta.is_some()];
        let numbers = [self.more, self.window.is_some(), self.hop > 0];
        let fields = words.iter().chain(&numbers).filter(|set| **set).count();
        w.head(fields.saturating_add(4), "req", self.id);
        if let Some(swarm) = &self.swarm {
            w.str("swarm");
            w.bin(&swarm.0);
        }
        w.str("endpoint");
        w.str(&self.endpoint);
        w.str("args");
        w.bin(&self.args);
        w.str("kwargs");
        w.bin(&self.kwargs);
        w.str("left_ms");
        w.uint(u64::from(self.left_ms));
        w.flag("more", self.more);
        if let Some(window) = self.window {
            w.str("window");
            w.uint(u64::from(window));
        }
        if let Some(idem) = &self.idem {
            w.str("idem");
            w.bin(idem);
        }
        if let Some(trace) = &self.trace {
            w.str("trace");
            w.str(trace);
        }
        if self.hop > 0 {
            w.str("hop");
            w.uint(u64::from(self.hop));
        }
        if let Some(meta) = &self.meta {
            w.str("meta");
            // Already a MessagePack map.
            w.0.put_slice(meta);
        }
    }
}

fn write_error(w: &mut Writer<'_>, id: u64, error: &RpcError) {
    let details = error.details.as_ref().filter(|details| details.len() <= DETAILS_MAX);
    let extra = usize::from(error.retry_after.is_some()).saturating_add(usize::from(details.is_some()));
    w.head(extra.saturating_add(4), "err", id);
    w.str("code");
    w.str(error.code.name());
    w.str("number");
    w.uint(u64::from(error.code.number()));
    w.str("message");
    w.str(cut(&error.message));
    w.str("retryable");
    w.bool(error.retryable);
    if let Some(after) = error.retry_after {
        w.str("retry_after_ms");
        w.uint(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    }
    if let Some(details) = details {
        w.str("details");
        w.bin(details);
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(TEXT_MAX)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

fn unexpected(what: &str) -> DecodeError {
    DecodeError::Unexpected(what.to_owned())
}

struct Reader<'a> {
    all: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn map(&mut self) -> Result<u32, DecodeError> {
        decode::read_map_len(&mut self.rest).map_err(|_| unexpected("not a map"))
    }

    fn array(&mut self) -> Result<u32, DecodeError> {
        decode::read_array_len(&mut self.rest).map_err(|_| unexpected("not an array"))
    }

    fn uint(&mut self) -> Result<u64, DecodeError> {
        decode::read_int(&mut self.rest).map_err(|_| unexpected("not a count"))
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.uint()?).map_err(|_| unexpected("a count out of range"))
    }

    fn bool(&mut self) -> Result<bool, DecodeError> {
        decode::read_bool(&mut self.rest).map_err(|_| unexpected("not a boolean"))
    }

    fn take(&mut self, n: u32) -> Result<&'a [u8], DecodeError> {
        let n = usize::try_from(n).map_err(|_| DecodeError::Truncated)?;
        let (head, tail) = self.rest.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    fn str(&mut self) -> Result<&'a str, DecodeError> {
        let n = decode::read_str_len(&mut self.rest).map_err(|_| unexpected("not a text"))?;
        std::str::from_utf8(self.take(n)?).map_err(|_| unexpected("a text that is not UTF-8"))
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let text = self.str()?;
        if text.len() > TEXT_MAX { Err(unexpected("a text that is too long")) } else { Ok(text.to_owned()) }
    }

    fn bin(&mut self) -> Result<Bytes, DecodeError> {
        let n = decode::read_bin_len(&mut self.rest).map_err(|_| unexpected("not bytes"))?;
        let bytes = self.take(n)?;
        Ok(self.all.slice_ref(bytes))
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.bin()?.as_ref().try_into().map_err(|_| unexpected("bytes of another length"))
    }

    /// One value of whatever kind; the scan has checked that it is whole.
    fn skip(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.rest;
        let length = msgpack::measure(start)?;
        self.take(u32::try_from(length).map_err(|_| DecodeError::Truncated)?)
    }
}

#[derive(Default)]
struct Fields<'a> {
    t: Option<&'a str>,
    id: Option<u64>,
    swarm: Option<SwarmId>,
    endpoint: Option<String>,
    args: Option<Bytes>,
    kwargs: Option<Bytes>,
    left_ms: Option<u32>,
    more: Option<bool>,
    window: Option<u32>,
    stream: Option<bool>,
    idem: Option<[u8; 16]>,
    trace: Option<String>,
    hop: Option<u8>,
    meta: Option<Bytes>,
    result: Option<Bytes>,
    number: Option<u16>,
    message: Option<String>,
    retryable: Option<bool>,
    retry_after_ms: Option<u64>,
    details: Option<Bytes>,
    n: Option<u32>,
    body: Option<Bytes>,
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(unexpected("a key that comes twice")),
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self, r: &mut Reader<'a>) -> Result<(), DecodeError> {
        match r.str()? {
            "t" => once(&mut self.t, r.str()?),
            "id" => once(&mut self.id, r.uint()?),
            "swarm" => once(&mut self.swarm, SwarmId(r.array_of()?)),
            "endpoint" => once(&mut self.endpoint, r.text()?),
            "args" => once(&mut self.args, r.bin()?),
            "kwargs" => once(&mut self.kwargs, r.bin()?),
            "left_ms" => once(&mut self.left_ms, r.small()?),
            "more" => once(&mut self.more, r.bool()?),
            "window" => once(&mut self.window, r.small()?),
            "stream" => once(&mut self.stream, r.bool()?),
            "idem" => once(&mut self.idem, r.array_of()?),
            "trace" => once(&mut self.trace, r.text()?),
            "hop" => once(&mut self.hop, r.small()?),
            "meta" => once(&mut self.meta, r.all.slice_ref(r.skip()?)),
            "result" => once(&mut self.result, r.bin()?),
            "number" => once(&mut self.number, r.small()?),
            "message" => once(&mut self.message, r.text()?),
            "retryable" => once(&mut self.retryable, r.bool()?),
            "retry_after_ms" => once(&mut self.retry_after_ms, r.uint()?),
            "details" => once(&mut self.details, r.bin()?),
            "n" => once(&mut self.n, r.small()?),
            "body" => once(&mut self.body, r.bin()?),
            _ => r.skip().map(drop),
        }
    }

    fn message(self) -> Result<Message, DecodeError> {
        let missing = |what: &str| unexpected(&format!("`{what}` is missing"));
        let id = self.id.ok_or_else(|| missing("id"))?;
        Ok(match self.t.ok_or_else(|| missing("t"))? {
            "req" => Message::Req(Req {
                id,
                swarm: self.swarm,
                endpoint: self.endpoint.ok_or_else(|| missing("endpoint"))?,
                args: self.args.unwrap_or_default(),
                kwargs: self.kwargs.unwrap_or_default(),
                left_ms: self.left_ms.ok_or_else(|| missing("left_ms"))?,
                more: self.more.unwrap_or_default(),
                window: self.window,
                idem: self.idem,
                trace: self.trace,
                hop: self.hop.unwrap_or_default(),
                meta: self.meta,
            }),
            "res" => Message::Res {
                id,
                result: self.result.ok_or_else(|| missing("result"))?,
                more: self.more.unwrap_or_default(),
                stream: self.stream.unwrap_or_default(),
            },
            "err" => {
                let code = self.number.and_then(ErrorCode::from_number).unwrap_or(ErrorCode::InternalError);
                let mut error = RpcError::new(code, self.message.unwrap_or_default());
                error.retryable = self.retryable.unwrap_or_default();
                error.retry_after = self.retry_after_ms.map(Duration::from_millis);
                error.details = self.details;
                Message::Err { id, error }
            }
            "item" => Message::Item {
                id,
                n: self.n.ok_or_else(|| missing("n"))?,
                body: self.body.ok_or_else(|| missing("body"))?,
                more: self.more.unwrap_or_default(),
            },
            "end" => Message::End { id },
            "cancel" => Message::Cancel { id },
            "credit" => Message::Credit { id, n: self.n.ok_or_else(|| missing("n"))? },
            other => return Err(unexpected(&format!("an unknown frame {other:?}"))),
        })
    }
}
