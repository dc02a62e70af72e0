//! Asking: a question goes to members of a swarm as mail; who takes it may ack, report progress, and answers when it
//! can. [`AskBuilder`] and [`Asked`] are the asker's side, [`Ask`] is what a handler gets.

mod answer;
mod asker;
mod asks;
mod driver;
mod handler;
mod letters;
mod one;
mod state;

pub use answer::Ask;
pub(crate) use answer::{Answerer, Inbox};
pub use asker::{AskBuilder, AskError, AskEvent, AskOutcome, Asked};
pub(crate) use asks::Asks;
pub(crate) use handler::AskFn;
pub use handler::AskHandler;
pub(crate) use letters::{Address, Word, word as word_mail};
pub use one::{Answer, AnswerError};
pub use state::AskEnd;
