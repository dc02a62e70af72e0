//! Named schedules that last: kept in the store, carried out by the node that keeps them, and where they were after a
//! restart. [`Schedules`] is the handle; [`Timetable`] is what a node holds of them.

mod action;
mod error;
mod exec;
mod handle;
mod info;
mod spec;
mod table;

#[cfg(test)]
mod tests;

pub use self::{
    action::Action, error::SchedulesError, exec::ExecRun, handle::Schedules, info::ScheduleInfo, spec::Added,
};
pub(crate) use self::{exec::ExecFn, table::Timetable};
