//! A schedule as its owner gave it, and as it is kept.

use serde::{Deserialize, Serialize};

use super::{action::Action, error::SchedulesError};
use crate::{
    schedule::{Options, Schedule, ScheduleError},
    store::ScheduleRow,
};

/// Bytes of a name.
const MAX_NAME: usize = 64;

/// Bytes of a whole schedule, mostly those of its question or arguments.
const MAX_SPEC: usize = 64 * 1024;

/// What came of adding a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is new.
    New,
    /// It was there, just so.
    Already,
    /// It stands in for another one of its name, whose account it goes on with.
    Replaced,
}

/// What is to be done, when and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) when: Schedule,
    pub(super) action: Action,
    #[serde(default)]
    pub(super) options: Options,
}

impl Spec {
    /// As it is kept: it must come back as it was.
    pub(super) fn write(&self) -> Result<String, SchedulesError> {
        let text = self.when.to_string();
        text.parse::<Schedule>()?;
        let spec = serde_json::to_string(self).map_err(|error| SchedulesError::Action(error.to_string()))?;
        match spec.len() {
            0..=MAX_SPEC => Ok(spec),
            bytes => {
                Err(SchedulesError::Action(format!("a schedule has at most {MAX_SPEC} bytes, this one has {bytes}")))
            }
        }
    }

    /// What was kept.
    pub(super) fn read(row: &ScheduleRow) -> Result<Self, String> {
        serde_json::from_str(&row.spec).map_err(|error| error.to_string())
    }
}

pub(super) fn check_name(name: &str) -> Result<(), SchedulesError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let ok = !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain) && !name.starts_with('-');
    if ok { Ok(()) } else { Err(SchedulesError::Name(name.chars().take(2 * MAX_NAME).collect())) }
}

impl SchedulesError {
    /// The part of the schedule's text that is wrong, in bytes.
    pub fn span(&self) -> Option<std::ops::Range<usize>> {
        match self {
            Self::Schedule(error) => ScheduleError::span(error),
            _ => None,
        }
    }
}
