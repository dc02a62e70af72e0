//! What is wrong with a schedule, with a caret below it.

use p2pnode::{ErrorCode, SchedulesError, schedule::ScheduleError};

use super::{CliError, exit};

impl From<ScheduleError> for CliError {
    fn from(error: ScheduleError) -> Self {
        let message = match &error {
            ScheduleError::Text { what, text, at, len, reason, .. } => {
                // The text is plain letters, or was escaped: a byte is a column.
                let caret = format!("{:at$}{} {reason}", "", "^".repeat((*len).max(1)));
                format!("bad {what} \"{text}\"\n{text}\n{caret}")
            }
            _ => error.to_string(),
        };
        let exit = if matches!(error, ScheduleError::TooMany { .. }) { exit::CONFLICT } else { exit::USAGE };
        let mut ours = Self::new("schedule", exit, message).detail("reason", error.reason());
        if let Some(span) = error.span() {
            ours = ours.detail("at", span.start).detail("len", span.len());
        }
        error.hint().into_iter().fold(ours, Self::maybe)
    }
}

impl From<SchedulesError> for CliError {
    fn from(error: SchedulesError) -> Self {
        let text = error.to_string();
        match error {
            SchedulesError::Schedule(error) => error.into(),
            SchedulesError::Name(_) | SchedulesError::Action(_) => Self::usage(text),
            SchedulesError::Conflict { name, .. } => Self::new("conflict", exit::CONFLICT, text)
                .try_also(crate::output::render::again("", "--replace"), "put the new one in its place")
                .try_this(format!("p2pnode schedule rm {name}")),
            SchedulesError::Unknown { near, .. } => {
                let ours = Self::of(ErrorCode::NotFound, text);
                let ours =
                    near.first().into_iter().fold(ours, |ours, near| ours.maybe(format!("did you mean \"{near}\"?")));
                ours.try_also("p2pnode schedule list", "all there are")
            }
            SchedulesError::Broken { name, .. } => Self::new("broken", exit::CONFLICT, text)
                .try_also(format!("p2pnode schedule rm {name}"), "then add it again"),
            SchedulesError::Busy(_) => Self::new("busy", exit::REMOTE, text).retryable(true),
            SchedulesError::Store(error) => error.into(),
            _ => Self::internal(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::style::Style;

    #[test]
    fn a_caret_stands_below_what_is_wrong() {
        let error = "cron 0 9 * * mon-fry".parse::<p2pnode::schedule::Schedule>().unwrap_err();
        let error = CliError::from(error);
        let text = error.to_text(Style::plain());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("error: bad cron \"cron 0 9 * * mon-fry\"") && lines[0].ends_with("[schedule]"));
        assert_eq!(lines[1], "       cron 0 9 * * mon-fry");
        assert!(lines[2].starts_with("                    ^^^^^^^ "), "{text}");
        assert_eq!((error.exit(), &error.to_json()["details"]["at"]), (2, &13.into()));
    }
}
