//! When a node acts by itself: schedules, and the plan that carries one out.
//!
//! A [`Schedule`] is a rule for points in time. It is written as people write it,
//!
//! ```text
//! every 15m                       every 1h 30m jitter 5m
//! cron 0 9 * * mon-fri            cron @daily Europe/London
//! solar sunrise 69.65 18.96       solar sunset-30m 51.5 -0.1 Europe/London
//! ```
//!
//! or made in Rust by [`every`], [`cron()`] and [`solar()`]. [`Schedule::next`] is a function of a time and nothing else. A
//! [`Plan`] carries one schedule out: it says what to start now and when to ask again, and keeps account of runs, failures,
//! overlaps and what was missed. Nothing here reads a clock, sleeps, or draws from global randomness; the time zone
//! database is jiff's.

mod builder;
mod cron;
mod duration;
mod error;
mod plan;
mod rule;
mod solar;
mod text;
mod words;
mod zone;

pub use self::{
    builder::{ScheduleBuilder, cron, every, solar},
    error::ScheduleError,
    plan::{CatchUp, Cause, Counts, LastRun, Options, Overlap, Plan, Run, RunId, Saved},
    rule::{MAX_TEXT, PEER_PERIOD, Schedule},
    solar::Event,
};
