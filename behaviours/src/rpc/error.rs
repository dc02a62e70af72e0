use p2pnode_wire::error::{ErrorCode, RpcError};

/// Why a call has no result, as far as the caller can know.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection could be made. The call was not sent.
    #[error("the peer could not be reached: {reason}")]
    Unreachable {
        /// What was tried and how it ended.
        reason: String,
    },
    /// The peer speaks neither of the two RPC protocols. The call was not sent.
    #[error("the peer speaks neither /p2pnode/rpc-mux/1 nor /p2pnode/rpc/1")]
    Unsupported,
    /// The deadline passed. `sent` tells whether the peer may have run the call.
    #[error("no answer in time{}", if *.sent { "; the call was delivered and may have run" } else { "" })]
    TimedOut {
        /// Whether the request had left this node.
        sent: bool,
    },
    /// The connection ended while the call was under way; it may have run.
    #[error("the connection was lost while the call was under way ({reason}); it may have run")]
    Lost {
        /// Why the connection ended.
        reason: String,
    },
    /// This node already has as many calls under way to that peer as it may. The call was not sent.
    #[error("{limit} calls to this peer are already under way")]
    Busy {
        /// The limit, [`Config::in_flight_per_peer`](super::Config::in_flight_per_peer).
        limit: usize,
    },
    /// The body, the name of the endpoint or the trace is larger than its limit. The call was not sent.
    #[error("the body, the name or the trace has {size} bytes, the limit is {max}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The limit: [`Config::max_body`](super::Config::max_body); of name and trace 1,024.
        max: usize,
    },
    /// The peer's handler, or the peer itself, answered with an error.
    #[error("{0}")]
    Remote(RpcError),
    /// The peer's answer broke the protocol.
    #[error("the peer's answer cannot be read: {0}")]
    Malformed(String),
    /// The behaviour that would carry the call is gone.
    #[error("the node is shutting down")]
    Shutdown,
}

impl CallError {
    /// Whether the remote handler may have run: then a retry could run it twice.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::TimedOut { sent } => *sent,
            Self::Lost { .. } | Self::Malformed(_) => true,
            Self::Remote(error) => error.code == ErrorCode::HandlerFailed,
            Self::Unreachable { .. }
            | Self::Unsupported
            | Self::Busy { .. }
            | Self::TooLarge { .. }
            | Self::Shutdown => false,
        }
    }

    /// The row of the error table that this stands for.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Shutdown => ErrorCode::AgentUnavailable,
            Self::Unsupported => ErrorCode::TransportNoResponders,
            Self::TimedOut { .. } => ErrorCode::TransportTimeout,
            Self::Busy { .. } => ErrorCode::Overloaded,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::Remote(error) => error.code,
            Self::Malformed(_) => ErrorCode::InvalidEnvelope,
        }
    }
}
