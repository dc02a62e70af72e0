//! Work that a node does by itself, on a schedule.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    sync::Notify,
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    endpoint::HandlerError,
    node::{Node, WeakNode},
    schedule::{Counts, LastRun, Options, Plan, Run, RunId, Schedule, ScheduleError},
};

/// Schedules of one node: more are a program's mistake.
const MAX_SCHEDULES: usize = 1_000;

/// The clock is looked at again after so long: it may have been set, or the machine may have slept.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

pub(crate) type Job = dyn Fn(Node, Run) -> BoxFuture<'static, Result<(), HandlerError>> + Send + Sync;

/// How many schedules a node carries out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<AtomicUsize>);

/// One of them; counted as long as it lives.
pub(crate) struct Place(Places);

impl Places {
    pub(crate) fn take(&self) -> Result<Place, ScheduleError> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.clone());
        if before >= MAX_SCHEDULES { Err(ScheduleError::TooMany { limit: MAX_SCHEDULES }) } else { Ok(place) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Shared {
    plan: Mutex<Plan>,
    /// The plan was changed from outside.
    changed: Notify,
    /// Runs out of turn that are to start.
    triggered: Mutex<Vec<Run>>,
    /// The account has changed: it may be kept.
    account: Notify,
    node: WeakNode,
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Option<Timestamp> {
        Some(now(&self.node.upgrade()?))
    }
}

/// A schedule that a node carries out; it ends with this, and what runs then is dropped.
#[must_use = "dropping it ends the schedule; detach() keeps it as long as the node"]
pub struct Periodic {
    shared: Arc<Shared>,
    end: DropGuard,
}

impl fmt::Debug for Periodic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Periodic").field("plan", &*self.shared.plan()).finish_non_exhaustive()
    }
}

/// What is to be done and when, before there is a node to do it.
pub(crate) struct Work {
    schedule: Result<Schedule, ScheduleError>,
    options: Options,
    job: Arc<Job>,
}

impl Work {
    pub(crate) fn new<S, F, Fut>(schedule: S, options: Options, handler: F) -> Self
    where
        S: TryInto<Schedule>,
        ScheduleError: From<S::Error>,
        F: Fn(Node) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let schedule = schedule.try_into().map_err(ScheduleError::from);
        Self { schedule, options, job: Arc::new(move |node, _| Box::pin(handler(node))) }
    }

    pub(crate) fn start(self, node: &Node) -> Result<Periodic, ScheduleError> {
        let (schedule, place, now) = (self.schedule?, node.timetable().places().take()?, now(node));
        schedule.first_run(now)?;
        let plan = Plan::new(schedule, self.options, now, &mut rand::rng());
        Ok(Periodic::carry(node, plan, self.job, Some(place)))
    }
}

/// What there is to keep of a schedule, for who keeps it.
pub(crate) struct Account {
    shared: Arc<Shared>,
    ended: CancellationToken,
}

impl Account {
    /// Waits for a change; false if there will be none any more.
    pub(crate) async fn changed(&self) -> bool {
        tokio::select! {
            () = self.ended.cancelled() => false,
            () = self.shared.account.notified() => true,
        }
    }

    /// Waits for the end, at most so long.
    pub(crate) async fn rest(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.ended.cancelled()).await;
    }
}

impl Periodic {
    /// Carries out a plan; `place` is given back at its end.
    pub(crate) fn carry(node: &Node, plan: Plan, job: Arc<Job>, place: Option<Place>) -> Self {
        let shared = Arc::new(Shared {
            plan: Mutex::new(plan),
            changed: Notify::new(),
            triggered: Mutex::default(),
            account: Notify::new(),
            node: node.downgrade(),
        });
        let (end, stopped) = (CancellationToken::new(), node.stop_token());
        let (ended, work) = (end.clone(), shared.clone());
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                () = carry_out(&work, &job) => {}
                () = ended.cancelled() => {}
                () = stopped.cancelled() => {}
            }
        });
        Self { shared, end: end.drop_guard() }
    }

    /// To keep its state while it goes on.
    pub(crate) fn account(&self, ended: CancellationToken) -> Account {
        Account { shared: self.shared.clone(), ended }
    }

    /// Whether the account is of this one.
    pub(crate) fn owns(&self, account: &Account) -> bool {
        Arc::ptr_eq(&self.shared, &account.shared)
    }

    /// A look at the plan, or a change that starts nothing.
    pub(crate) fn plan(&self) -> MutexGuard<'_, Plan> {
        self.shared.plan()
    }

    /// Keeps the schedule as long as the node.
    pub fn detach(self) {
        self.end.disarm();
    }

    /// The time of its next run, without jitter, also while it is paused; none if there is none.
    pub fn next_run(&self) -> Option<Timestamp> {
        self.shared.plan().next_due()
    }

    /// How many runs there were, and what became of them.
    pub fn counts(&self) -> Counts {
        self.shared.plan().counts()
    }

    /// The run that ended last.
    pub fn last_run(&self) -> Option<LastRun> {
        self.shared.plan().last_run()
    }

    /// A run out of turn, also while it is paused. False if 64 are running, or the node has stopped.
    pub fn run(&self) -> bool {
        let Some(now) = self.shared.now() else { return false };
        let Some(run) = self.shared.plan().trigger(now) else { return false };
        self.shared.triggered.lock().unwrap_or_else(PoisonError::into_inner).push(run);
        self.shared.changed.notify_one();
        true
    }

    /// Starts nothing until [`Periodic::resume`]. What runs goes on.
    pub fn pause(&self) {
        self.shared.plan().pause();
        self.shared.changed.notify_one();
    }

    /// Goes on; what was due meanwhile is left out.
    pub fn resume(&self) {
        if let Some(now) = self.shared.now() {
            self.shared.plan().resume(now, &mut rand::rng());
            self.shared.changed.notify_one();
        }
    }
}

pub(crate) fn now(node: &Node) -> Timestamp {
    let ms = i64::try_from(node.now_ms()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// Runs under way, by task.
#[derive(Default)]
struct Runs {
    tasks: JoinSet<Result<(), HandlerError>>,
    ids: std::collections::HashMap<Id, RunId>,
}

impl Runs {
    fn start(&mut self, run: Run, job: Arc<Job>, node: Node) {
        tracing::debug!(due = %run.due, cause = ?run.cause, "a schedule runs");
        // Called in the task: the handler may panic before there is a future.
        let task = self.tasks.spawn(async move { job(node, run).await });
        self.ids.insert(task.id(), run.id);
    }

    /// The next one that ends, and whether it went well; waits for ever while none runs.
    async fn next(&mut self) -> (RunId, bool) {
        loop {
            match self.tasks.join_next_with_id().await {
                Some(ended) => {
                    let (task, ok) = outcome(ended);
                    if let Some(id) = self.ids.remove(&task) {
                        return (id, ok);
                    }
                }
                None => std::future::pending().await,
            }
        }
    }
}

/// A failure is logged and counted; it never ends the schedule.
fn outcome(ended: Result<(Id, Result<(), HandlerError>), JoinError>) -> (Id, bool) {
    match ended {
        Ok((task, Ok(()))) => (task, true),
        Ok((task, Err(error))) => {
            tracing::warn!(error = %error.message, "a run of a schedule failed");
            (task, false)
        }
        Err(error) => {
            tracing::warn!(%error, "a run of a schedule panicked");
            (error.id(), false)
        }
    }
}

/// Until the node is gone.
async fn carry_out(shared: &Shared, job: &Arc<Job>) {
    let mut runs = Runs::default();
    loop {
        let Some(node) = shared.node.upgrade() else { return };
        let due = shared.plan().due(now(&node), &mut rand::rng());
        let triggered = std::mem::take(&mut *shared.triggered.lock().unwrap_or_else(PoisonError::into_inner));
        if !due.is_empty() || !triggered.is_empty() {
            shared.account.notify_one();
        }
        due.into_iter().chain(triggered).for_each(|run| runs.start(run, job.clone(), node.clone()));
        let at = shared.plan().wake_at();
        let left = at.map(|at| at.duration_since(now(&node)).max(jiff::SignedDuration::ZERO).unsigned_abs());
        // Whoever waits must not keep the node.
        drop(node);
        tokio::select! {
            () = tokio::time::sleep(left.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)) => {}
            () = shared.changed.notified() => {}
            (id, ok) = runs.next() => {
                let Some(now) = shared.now() else { return };
                shared.plan().finished(id, ok, now);
                shared.account.notify_one();
            }
        }
    }
}

impl From<Infallible> for ScheduleError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
