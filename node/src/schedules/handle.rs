//! Keeping schedules in order.

use jiff::Timestamp;

use super::{action::Action, error::SchedulesError, info::ScheduleInfo, spec::Added, spec::Spec};
use crate::{
    node::Node,
    schedule::{Options, Schedule, ScheduleError},
    store::{Store, StoreError},
};

/// The named schedules of a node. They last: after a restart each goes on where it was, and what was due meanwhile is made
/// up for as its options say.
#[derive(Debug, Clone)]
pub struct Schedules {
    node: Node,
}

impl Schedules {
    pub(crate) fn new(node: Node) -> Self {
        Self { node }
    }

    /// Adds a schedule:
    /// `schedules.add("digest", "cron 0 9 * * mon-fri", Action::Ask { … }, Options::default()).await?`. The same one twice is
    /// no error.
    ///
    /// # Errors
    /// [`SchedulesError::Conflict`] if there is another one of that name; else what is wrong with it.
    pub async fn add<S>(&self, name: &str, when: S, action: Action, options: Options) -> Result<Added, SchedulesError>
    where
        S: TryInto<Schedule>,
        ScheduleError: From<S::Error>,
    {
        let when = when.try_into().map_err(ScheduleError::from)?;
        self.node.timetable().add(&self.node, name, Spec { when, action, options }, false).await
    }

    /// Adds a schedule in the place of the one of that name, if there is one; its account goes on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn replace<S>(
        &self,
        name: &str,
        when: S,
        action: Action,
        options: Options,
    ) -> Result<Added, SchedulesError>
    where
        S: TryInto<Schedule>,
        ScheduleError: From<S::Error>,
    {
        let when = when.try_into().map_err(ScheduleError::from)?;
        self.node.timetable().add(&self.node, name, Spec { when, action, options }, true).await
    }

    /// All of them, by name.
    pub async fn list(&self) -> Vec<ScheduleInfo> {
        self.node.timetable().list().await
    }

    /// One of them.
    ///
    /// # Errors
    /// [`SchedulesError::Unknown`].
    pub async fn get(&self, name: &str) -> Result<ScheduleInfo, SchedulesError> {
        self.node.timetable().get(name).await
    }

    /// The times of its next runs, at most so many, without jitter. None while it is paused.
    ///
    /// # Errors
    /// [`SchedulesError::Unknown`].
    pub async fn next(&self, name: &str, most: usize) -> Result<Vec<Timestamp>, SchedulesError> {
        Ok(self.get(name).await?.upcoming().take(most).collect())
    }

    /// Removes one. What runs is dropped. False if there was none.
    ///
    /// # Errors
    /// [`SchedulesError::Store`].
    pub async fn remove(&self, name: &str) -> Result<bool, SchedulesError> {
        self.node.timetable().remove(name).await
    }

    /// Runs one now, out of turn, even if it is paused.
    ///
    /// # Errors
    /// [`SchedulesError::Unknown`], [`SchedulesError::Broken`], [`SchedulesError::Busy`].
    pub async fn run(&self, name: &str) -> Result<(), SchedulesError> {
        self.node.timetable().run(name).await
    }

    /// Starts no runs of it until [`Schedules::resume`], also after a restart. What runs goes on. False if it was paused.
    ///
    /// # Errors
    /// [`SchedulesError::Unknown`], [`SchedulesError::Broken`], [`SchedulesError::Store`].
    pub async fn pause(&self, name: &str) -> Result<bool, SchedulesError> {
        self.node.timetable().pause(name, true).await
    }

    /// Goes on; what was due meanwhile is left out. False if it was not paused.
    ///
    /// # Errors
    /// As for [`Schedules::pause`].
    pub async fn resume(&self, name: &str) -> Result<bool, SchedulesError> {
        self.node.timetable().pause(name, false).await
    }

    /// What a store holds, for a node that does not run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kept(store: &Store) -> Result<Vec<ScheduleInfo>, StoreError> {
        let now = Timestamp::now();
        let rows = store.read(|tables| tables.schedules()).await?;
        Ok(rows.iter().map(|row| ScheduleInfo::kept(row, now)).collect())
    }
}
