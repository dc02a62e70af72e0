//! Numbers that bound what is accepted. One place for all of them.

/// One number of this page, with what it bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Name of the constant.
    pub name: &'static str,
    /// Its value.
    pub value: usize,
    /// What it bounds, as Markdown.
    pub doc: &'static str,
}

macro_rules! bounds {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $value:expr;)+) => {
        $($(#[doc = $doc])+ pub const $name: $kind = $value;)+

        /// All of them: peers rely on these, so no setting changes them.
        pub const ALL: &[Bound] = &[
            $(Bound { name: stringify!($name), value: $name as usize, doc: concat!($($doc),+) }),+
        ];
    };
}

bounds! {
    /// Levels of nesting of any message.
    MAX_DEPTH: usize = 32;
    /// Elements of one collection.
    MAX_COLLECTION: usize = 4_096;
    /// Values of one message.
    MAX_VALUES: usize = 16_384;
    /// Body bytes of one frame of the fast road.
    FRAME_PAYLOAD: usize = 64 * 1024;
    /// Bytes around the body of a frame.
    FRAME_HEADER: usize = 2 * 1024;
    /// Largest request or result.
    MAX_BODY: usize = 4 * 1024 * 1024;
    /// Bytes of one chunk of a large body: small enough that a small call beside it waits for microseconds.
    CHUNK: usize = 16 * 1024;
    /// Chunks that may leave before the receiver has given credit.
    INITIAL_CREDIT: u32 = 16;
    /// What an item of a streamed result takes of its reader's window, besides its bytes.
    ITEM_COST: u32 = 64;
    /// The window of a reader of ours, in bytes: 1,600 values of 100 bytes, or 16 large frames.
    WINDOW: u32 = 256 * 1024;
    /// Calls in flight per peer and direction.
    MAX_IN_FLIGHT_PER_PEER: usize = 512;
    /// Calls in flight per endpoint.
    PER_ENDPOINT: usize = 256;
    /// A signed card.
    CARD_MAX: usize = 16 * 1024;
    /// A signed message.
    MAIL_MAX: usize = 1024 * 1024;
    /// An event, besides the 64 bytes of its signature.
    EVENT_MAX: usize = 64 * 1024;
    /// A signed value in the DHT.
    VALUE_MAX: usize = 4 * 1024;
    /// Feeds in one answer of the catch-up.
    SYNC_FEEDS: usize = 512;
    /// Events in one answer of the catch-up.
    SYNC_EVENTS: usize = 512;
    /// Their bytes; a single larger event still fits.
    SYNC_BYTES: usize = 512 * 1024;
}
