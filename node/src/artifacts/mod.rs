//! Small documents that a node serves: its agent card, metadata, files for others. A name is a label, never a path; the
//! bytes are named by their SHA-256, by which whoever fetches them checks them.

mod error;
mod fetch;
mod handle;
mod label;
mod serve;

pub(crate) use self::serve::register;
pub use self::{
    error::{ArtifactError, ExportError},
    fetch::FetchedArtifact,
    handle::{Artifact, Artifacts, NewArtifact},
    label::{export, file_name},
};

/// The artifact that says what an agent is and can do.
pub const AGENT_CARD: &str = "agent-card";

/// The MIME type of [`AGENT_CARD`].
pub const AGENT_CARD_MIME: &str = "application/vnd.synapse.agent-card+json";

/// Bytes of one artifact.
pub const ARTIFACT_MAX: u64 = 64 * 1024 * 1024;

/// Bytes that are kept of what one peer gave.
pub const ARTIFACTS_PER_PEER: u64 = 256 * 1024 * 1024;

/// Bytes of all artifacts of a node.
pub const ARTIFACTS_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Bytes that are sent at once.
const CHUNK: usize = 256 * 1024;

/// Artifacts of one node: a list of them is one answer.
const MOST: usize = 4_000;
