//! Numbers that bound what is accepted. One place for all of them.

/// Levels of nesting of any message.
pub const MAX_DEPTH: usize = 32;
/// Elements of one collection.
pub const MAX_COLLECTION: usize = 4_096;
/// Values of one message.
pub const MAX_VALUES: usize = 16_384;
/// Body bytes of one frame of the fast road.
pub const FRAME_PAYLOAD: usize = 64 * 1024;
/// Bytes around the body of a frame.
pub const FRAME_HEADER: usize = 2 * 1024;
/// Largest request or result.
pub const MAX_BODY: usize = 4 * 1024 * 1024;
/// Bytes of one chunk of a large body: small enough that a small call beside it waits for microseconds.
pub const CHUNK: usize = 16 * 1024;
/// Chunks that may leave before the receiver has given credit.
pub const INITIAL_CREDIT: u32 = 16;
/// Calls in flight per peer and direction.
pub const MAX_IN_FLIGHT_PER_PEER: usize = 512;
/// Calls in flight per endpoint.
pub const PER_ENDPOINT: usize = 256;
/// A signed card.
pub const CARD_MAX: usize = 16 * 1024;
/// A signed message.
pub const MAIL_MAX: usize = 1024 * 1024;
/// A signed event.
pub const EVENT_MAX: usize = 64 * 1024;
/// A signed value in the DHT.
pub const VALUE_MAX: usize = 4 * 1024;
