//! What is told of a schedule.

use jiff::Timestamp;

use super::{action::Action, spec::Spec};
use crate::{
    schedule::{Counts, LastRun, Options, Plan, Saved, Schedule},
    store::ScheduleRow,
};

/// A schedule of a node, and how far it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// Its name.
    pub name: String,
    /// When it runs; none if what is kept of it cannot be read.
    pub schedule: Option<Schedule>,
    /// What it does.
    pub action: Option<Action>,
    /// How it is carried out.
    pub options: Options,
    /// The time of its next run, without jitter; none while it is paused, or if there is none.
    pub next: Option<Timestamp>,
    /// The run that ended last.
    pub last: Option<LastRun>,
    /// How many runs there were, and what became of them.
    pub counts: Counts,
    /// Runs that have not ended.
    pub running: usize,
    /// It starts nothing until it is resumed.
    pub paused: bool,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Why it is not carried out, if it is not.
    pub problem: Option<String>,
}

impl ScheduleInfo {
    /// The next times it runs, without jitter; none while it is paused.
    pub fn upcoming(&self) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next, |last| self.schedule.as_ref()?.next(*last))
    }

    /// Of one whose plan cannot be made.
    pub(super) fn broken(row: &ScheduleRow, spec: Option<&Spec>, problem: String) -> Self {
        Self {
            name: row.name.clone(),
            schedule: spec.map(|spec| spec.when.clone()),
            action: spec.map(|spec| spec.action.clone()),
            options: spec.map(|spec| spec.options).unwrap_or_default(),
            next: None,
            last: None,
            counts: Counts::default(),
            running: 0,
            paused: false,
            created_ms: row.created_ms,
            problem: Some(problem),
        }
    }

    /// Of one that is carried out.
    pub(super) fn of(row: &ScheduleRow, spec: &Spec, plan: &Plan) -> Self {
        Self {
            next: plan.next_due().filter(|_| !plan.is_paused()),
            last: plan.last_run(),
            counts: plan.counts(),
            running: plan.running(),
            paused: plan.is_paused(),
            problem: None,
            ..Self::broken(row, Some(spec), String::new())
        }
    }

    /// Of one that is kept by a node that does not run.
    pub(super) fn kept(row: &ScheduleRow, now: Timestamp) -> Self {
        let spec = match Spec::read(row) {
            Ok(spec) => spec,
            Err(problem) => return Self::broken(row, None, problem),
        };
        let plan = plan(row, &spec, now);
        let info = Self::of(row, &spec, &plan);
        // What was missed is no next run.
        let next = info.next.map(|next| if next < now { spec.when.next(now).unwrap_or(next) } else { next });
        Self { next, ..info }
    }
}

/// The plan of a schedule that was kept.
pub(super) fn plan(row: &ScheduleRow, spec: &Spec, now: Timestamp) -> Plan {
    match serde_json::from_str::<Saved>(&row.state) {
        Ok(saved) => Plan::restore(spec.when.clone(), spec.options, saved, now, &mut rand::rng()),
        Err(_) => Plan::new(spec.when.clone(), spec.options, now, &mut rand::rng()),
    }
}
