//! The table of errors: number, name, retry, exit code, meaning. Everything else derives from it.

use std::{fmt, time::Duration};

use bytes::Bytes;

macro_rules! table {
    ($($variant:ident = $number:literal, $name:literal, $retry:literal, $exit:literal, $text:literal;)*) => {
        /// A row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $text] $variant = $number,)*
        }

        impl ErrorCode {
            /// All rows, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number that travels.
            pub fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The name in capitals that travels.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether the same request may succeed later.
            pub fn retryable(self) -> bool {
                match self { $(Self::$variant => $retry,)* }
            }

            /// The exit code of the command line.
            pub fn exit(self) -> u8 {
                match self { $(Self::$variant => $exit,)* }
            }

            /// What it means, for people.
            pub fn describe(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The row of that number.
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

table! {
    TransportTimeout = 1001, "TRANSPORT_TIMEOUT", true, 6, "No answer in time.";
    TransportNoResponders = 1002, "TRANSPORT_NO_RESPONDERS", false, 6, "Nobody there who could answer.";
    InvalidEnvelope = 2001, "INVALID_ENVELOPE", false, 2, "The message breaks the protocol.";
    InvalidManifest = 2002, "INVALID_MANIFEST", false, 2, "The self-description is not valid.";
    InvalidArgument = 2003, "INVALID_ARGUMENT", false, 2, "An argument does not fit.";
    EndpointNotFound = 3001, "ENDPOINT_NOT_FOUND", false, 5, "No such endpoint, or not for this caller.";
    AgentUnavailable = 3002, "AGENT_UNAVAILABLE", true, 3, "The peer is known but cannot be reached.";
    TaskInvalidTransition = 3003, "TASK_INVALID_TRANSITION", false, 8, "The task cannot go from its state to that one.";
    IdentityMismatch = 3004, "IDENTITY_MISMATCH", false, 4, "The sender is not who the message says.";
    PermissionDenied = 3005, "PERMISSION_DENIED", false, 4, "Not allowed.";
    NotFound = 3006, "NOT_FOUND", false, 5, "Nothing of that name.";
    Ambiguous = 3007, "AMBIGUOUS", false, 8, "Several fit.";
    Conflict = 3008, "CONFLICT", false, 8, "It exists already, with another content.";
    Overloaded = 4001, "OVERLOADED", true, 7, "Too much at once.";
    RateLimited = 4002, "RATE_LIMITED", true, 7, "Too often.";
    TooLarge = 4003, "TOO_LARGE", false, 2, "Larger than the limit.";
    InboxFull = 4004, "INBOX_FULL", true, 7, "The receiver's inbox is full.";
    BudgetExceeded = 4005, "BUDGET_EXCEEDED", false, 7, "The conversation's budget is spent.";
    InternalError = 5001, "INTERNAL_ERROR", true, 7, "Something broke at the peer.";
    HandlerFailed = 5002, "HANDLER_FAILED", false, 7, "The handler answered with an error.";
    Stale = 6001, "STALE", false, 7, "The peer has not been in contact for too long.";
    UpgradeNeeded = 6002, "UPGRADE_NEEDED", false, 7, "The peer needs a newer version.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error as it travels.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// Which row of the table.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// When it may.
    pub retry_after: Option<Duration>,
    /// MessagePack with more.
    pub details: Option<Bytes>,
}

impl RpcError {
    /// An error of that row.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.retryable(), retry_after: None, details: None }
    }
}

impl fmt::Debug for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.code.name(), self.message)
    }
}
