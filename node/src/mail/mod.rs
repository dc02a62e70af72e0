//! Messages from one to another that wait for each other: an outbox that tries until the other has it, an inbox that keeps it.
//!
//! A message of ours is on the disk before it is sent for the first time; one for us before it is acknowledged. Questions
//! come by the same road: what was taken is worked on, also after a restart, and its answer waits for the asker.

mod arrive;
mod handle;
mod limits;
mod lines;
mod link;
mod outbox;
mod send;
mod task;
mod work;

pub(crate) use arrive::Arrival;
pub use handle::{InboxMail, Mailbox, OutboxMail};
pub(crate) use handle::{inbox_mail, outbox_mail};
pub use limits::MailLimits;
pub(crate) use link::{Link, Note};
pub use send::{Send, SendError};
pub(crate) use task::{is_kept, start};
