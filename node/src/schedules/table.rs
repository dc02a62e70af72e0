//! The schedules that a node carries out.

use std::{collections::BTreeMap, fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    error::SchedulesError,
    exec::ExecFn,
    info::{self, ScheduleInfo},
    spec::{Added, Spec, check_name},
};
use crate::{
    endpoint::HandlerError,
    events::NodeEvent,
    node::Node,
    periodic::{Account, Job, Periodic, Place, Places, now},
    schedule::Plan,
    store::{ScheduleRow, Store, StoreError},
};

/// A state is written at most this often: a schedule of milliseconds would do nothing else.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What a node holds of its schedules; clones are the same one.
#[derive(Clone)]
pub(crate) struct Timetable(Arc<Inner>);

struct Inner {
    /// How many the node carries out, those without a name included.
    places: Places,
    store: Option<Store>,
    exec: Option<Arc<ExecFn>>,
    named: Mutex<BTreeMap<String, Named>>,
}

/// A schedule that is kept.
struct Named {
    row: ScheduleRow,
    state: State,
}

enum State {
    Runs(Box<Carried>),
    /// It is kept, and not carried out.
    Broken(Option<Spec>, String),
}

struct Carried {
    spec: Spec,
    periodic: Periodic,
    place: Place,
    /// Ends the writing of its state.
    _keeper: DropGuard,
}

impl fmt::Debug for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timetable")
    }
}

impl Timetable {
    pub(crate) fn new(store: Option<Store>, exec: Option<Arc<ExecFn>>) -> Self {
        Self(Arc::new(Inner { places: Places::default(), store, exec, named: Mutex::default() }))
    }

    pub(crate) fn places(&self) -> &Places {
        &self.0.places
    }

    fn store(&self) -> Result<&Store, StoreError> {
        self.0.store.as_ref().ok_or(StoreError::Closed)
    }

    /// Goes on with what is kept. What cannot be carried out is kept all the same, and told.
    pub(crate) async fn open(&self, node: &Node) -> Result<(), StoreError> {
        let Some(store) = &self.0.store else { return Ok(()) };
        let rows = store.read(|tables| tables.schedules()).await?;
        let mut named = self.0.named.lock().await;
        for row in rows {
            let state = self.restore(node, &row);
            if let State::Broken(_, why) = &state {
                node.tell(NodeEvent::Warning(format!("schedule {} is not carried out: {why}", row.name)));
            }
            named.insert(row.name.clone(), Named { row, state });
        }
        Ok(())
    }

    fn restore(&self, node: &Node, row: &ScheduleRow) -> State {
        let spec = match Spec::read(row) {
            Ok(spec) => spec,
            Err(why) => return State::Broken(None, why),
        };
        match self.0.places.take() {
            Ok(place) => {
                let plan = info::plan(row, &spec, now(node));
                State::Runs(Box::new(self.carry(node, row, spec, plan, place)))
            }
            Err(error) => State::Broken(Some(spec), error.to_string()),
        }
    }

    fn carry(&self, node: &Node, row: &ScheduleRow, spec: Spec, plan: Plan, place: Place) -> Carried {
        let periodic = Periodic::carry(node, plan, job(&row.name, &spec, self.0.exec.clone()), None);
        let ended = CancellationToken::new();
        let account = periodic.account(ended.clone());
        tokio::spawn(keep(self.clone(), row.name.clone(), account));
        Carried { spec, periodic, place, _keeper: ended.drop_guard() }
    }

    pub(super) async fn add(
        &self,
        node: &Node,
        name: &str,
        spec: Spec,
        replace: bool,
    ) -> Result<Added, SchedulesError> {
        check_name(name)?;
        let now = now(node);
        spec.when.first_run(now)?;
        spec.action.check(node, self.0.exec.is_some())?;
        let text = spec.write()?;
        let mut named = self.0.named.lock().await;
        let before = named.get(name);
        if before.is_some_and(|before| before.spec() == Some(&spec)) {
            return Ok(Added::Already);
        }
        if let Some(before) = before.filter(|_| !replace) {
            return Err(before.conflict());
        }
        let old = before.and_then(Named::saved);
        let place = if before.is_some_and(Named::has_place) { None } else { Some(self.0.places.take()?) };
        let plan = match old {
            Some(saved) => Plan::restore(spec.when.clone(), spec.options, saved, now, &mut rand::rng()),
            None => Plan::new(spec.when.clone(), spec.options, now, &mut rand::rng()),
        };
        let row = ScheduleRow { name: name.to_owned(), spec: text, state: state(&plan), created_ms: node.now_ms() };
        let kept = row.clone();
        self.store()?.write_durably(move |tables| tables.put_schedule(&kept)).await?;
        let before = named.remove(name);
        let added = if before.is_some() { Added::Replaced } else { Added::New };
        let place =
            place.map_or_else(|| before.and_then(Named::into_place).map_or_else(|| self.0.places.take(), Ok), Ok)?;
        let carried = self.carry(node, &row, spec, plan, place);
        named.insert(name.to_owned(), Named { row, state: State::Runs(Box::new(carried)) });
        Ok(added)
    }

    pub(crate) async fn list(&self) -> Vec<ScheduleInfo> {
        self.0.named.lock().await.values().map(Named::info).collect()
    }

    pub(crate) async fn get(&self, name: &str) -> Result<ScheduleInfo, SchedulesError> {
        let named = self.0.named.lock().await;
        named.get(name).map(Named::info).ok_or_else(|| unknown(name, &named))
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<bool, SchedulesError> {
        let mut named = self.0.named.lock().await;
        if !named.contains_key(name) {
            return Ok(false);
        }
        let row = name.to_owned();
        self.store()?.write_durably(move |tables| tables.remove_schedule(&row)).await?;
        Ok(named.remove(name).is_some())
    }

    pub(crate) async fn run(&self, name: &str) -> Result<(), SchedulesError> {
        let named = self.0.named.lock().await;
        let carried = carried(&named, name)?;
        if carried.periodic.run() { Ok(()) } else { Err(SchedulesError::Busy(name.to_owned())) }
    }

    /// Pauses or resumes. False if that was so already.
    pub(crate) async fn pause(&self, name: &str, paused: bool) -> Result<bool, SchedulesError> {
        let named = self.0.named.lock().await;
        let periodic = &carried(&named, name)?.periodic;
        if periodic.plan().is_paused() == paused {
            return Ok(false);
        }
        if paused {
            periodic.pause()
        } else {
            periodic.resume()
        }
        if let Some(row) = named.get(name).and_then(Named::row_now) {
            self.store()?.write_durably(move |tables| tables.put_schedule(&row)).await?;
        }
        Ok(true)
    }

    /// Writes how far one is, if it is still the same one.
    async fn save(&self, name: &str, account: &Account) {
        let named = self.0.named.lock().await;
        let same = named.get(name).filter(|one| one.periodic().is_some_and(|periodic| periodic.owns(account)));
        let (Some(row), Ok(store)) = (same.and_then(Named::row_now), self.store()) else { return };
        if let Err(error) = store.write(move |tables| tables.put_schedule(&row)).await {
            tracing::warn!(%error, schedule = name, "how far a schedule is was not kept");
        }
    }

    /// Starts nothing any more, and writes how far all are.
    pub(crate) async fn close(&self) {
        let named = std::mem::take(&mut *self.0.named.lock().await);
        let rows: Vec<ScheduleRow> = named.values().filter_map(Named::row_now).collect();
        drop(named);
        let Some(store) = self.0.store.as_ref().filter(|_| !rows.is_empty()) else { return };
        let written = store.write_durably(move |tables| rows.iter().try_for_each(|row| tables.put_schedule(row))).await;
        if let Err(error) = written {
            tracing::warn!(%error, "how far the schedules are was not kept");
        }
    }
}

impl Named {
    fn periodic(&self) -> Option<&Periodic> {
        match &self.state {
            State::Runs(carried) => Some(&carried.periodic),
            State::Broken(..) => None,
        }
    }

    fn spec(&self) -> Option<&Spec> {
        match &self.state {
            State::Runs(carried) => Some(&carried.spec),
            // One that is not carried out is to be added again.
            State::Broken(..) => None,
        }
    }

    fn saved(&self) -> Option<crate::schedule::Saved> {
        self.periodic().map(|periodic| periodic.plan().saved())
    }

    fn has_place(&self) -> bool {
        matches!(self.state, State::Runs(_))
    }

    fn into_place(self) -> Option<Place> {
        match self.state {
            State::Runs(carried) => Some(carried.place),
            State::Broken(..) => None,
        }
    }

    /// The row as it should be by now.
    fn row_now(&self) -> Option<ScheduleRow> {
        let state = state(&self.periodic()?.plan());
        Some(ScheduleRow { state, ..self.row.clone() })
    }

    fn info(&self) -> ScheduleInfo {
        match &self.state {
            State::Runs(carried) => ScheduleInfo::of(&self.row, &carried.spec, &carried.periodic.plan()),
            State::Broken(spec, why) => ScheduleInfo::broken(&self.row, spec.as_ref(), why.clone()),
        }
    }

    fn conflict(&self) -> SchedulesError {
        let info = self.info();
        SchedulesError::Conflict {
            name: info.name,
            when: info.schedule.map(|schedule| schedule.to_string()).unwrap_or_default(),
            action: info.action.map(|action| action.to_string()).unwrap_or_default(),
        }
    }
}

fn state(plan: &Plan) -> String {
    serde_json::to_string(&plan.saved()).unwrap_or_default()
}

fn carried<'a>(named: &'a BTreeMap<String, Named>, name: &str) -> Result<&'a Carried, SchedulesError> {
    match named.get(name).map(|one| &one.state) {
        Some(State::Runs(carried)) => Ok(carried),
        Some(State::Broken(_, why)) => Err(SchedulesError::Broken { name: name.to_owned(), reason: why.clone() }),
        None => Err(unknown(name, named)),
    }
}

fn unknown(name: &str, named: &BTreeMap<String, Named>) -> SchedulesError {
    let near = crate::target::near(name, named.keys().map(String::as_str));
    SchedulesError::Unknown { name: name.to_owned(), near }
}

/// Writes the state after runs, until the schedule ends.
async fn keep(table: Timetable, name: String, account: Account) {
    while account.changed().await {
        table.save(&name, &account).await;
        account.rest(WRITE_EVERY).await;
    }
}

/// One run: what is to be done, then the news of it.
fn job(name: &str, spec: &Spec, exec: Option<Arc<ExecFn>>) -> Arc<Job> {
    let (name, when, action) = (name.to_owned(), spec.when.to_string(), spec.action.clone());
    Arc::new(move |node, run| {
        let (name, when) = (name.clone(), when.clone());
        let work = action.clone().perform(node.clone(), name.clone(), run, exec.clone());
        Box::pin(async move {
            let began = Instant::now();
            // A callback that panics has failed; there is news of that as well.
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| Err(HandlerError::new("it panicked")));
            let told = outcome.as_ref().map_or_else(|error| format!("failed: {}", error.message), |()| "ok".to_owned());
            node.tell(NodeEvent::ScheduleRan { name, when, outcome: told, elapsed: began.elapsed() });
            outcome
        })
    })
}
