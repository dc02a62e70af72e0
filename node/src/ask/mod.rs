//! Asking: a question goes to members of a swarm as mail; who takes it may ack, report progress, and answers when it
//! can. [`AskBuilder`] and [`Asked`] are the asker's side, [`Ask`] is what a handler gets.

mod answer;
mod asker;
mod asks;
mod driver;
mod letters;
mod one;
mod state;

pub(crate) use answer::{Answerer, Inbox};
pub use answer::{Ask, AskHandler};
pub use asker::{AskBuilder, AskError, AskEvent, AskOutcome, Asked};
pub(crate) use asks::Asks;
pub(crate) use letters::{Address, Word, word as word_mail};
pub use one::{Answer, AnswerError};
pub use state::AskEnd;
