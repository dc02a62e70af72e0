//! What can go wrong with artifacts.

use std::{io, path::PathBuf};

use crate::{call::CallError, store::StoreError, target::TargetError};

/// Why an artifact is not kept, or not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The name is none: empty, too long, or with signs that steer a terminal or turn text around.
    #[error("no name for an artifact: 1 to 255 bytes without control characters")]
    Name,
    /// It is larger than an artifact may be.
    #[error("an artifact has at most {limit} bytes, this one has {bytes}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// There is no room for it.
    #[error("no room: {0}")]
    Full(String),
    /// There is none of that name.
    #[error("there is no artifact \"{0}\"")]
    Unknown(String),
    /// It was replaced while it was fetched.
    #[error("artifact \"{0}\" was replaced while it was fetched")]
    Changed(String),
    /// What came is not what was promised.
    #[error("artifact \"{0}\" does not have the bytes of its SHA-256")]
    Corrupt(String),
    /// Who is meant is not known.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The peer did not answer, or not so.
    #[error("{0}")]
    Call(Box<CallError>),
    /// It cannot be kept or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CallError> for ArtifactError {
    fn from(error: CallError) -> Self {
        Self::Call(error.into())
    }
}

/// Why an artifact does not become a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Its name is no name for a file.
    #[error("its name is no name for a file: {0}")]
    Name(&'static str),
    /// The folder cannot be used, or there is something of that name.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
