//! The task that keeps mail: takes what arrives, tries what is to go, has questions worked on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use p2pnode_behaviours::{
    key_of,
    mail::{DeliverError, Ticket},
    peer_of,
};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{EventId, MailId, PeerKey},
    mail::{Mail, MailAck},
};
use rand::RngExt;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{
    MailLimits,
    arrive::{self, Arrival, Took},
    lines::Lines,
    link::{Link, Met, Note},
    outbox,
    work::{self, Last},
};
use crate::{
    ask::Answerer,
    command::Command,
    events::NodeEvent,
    node::{Node, WeakNode},
    store::{InboxQuery, InboxRow, OutboxRow, OutboxState, Store, StoreError, Waiting, WorkState},
};

/// Taken together, with one flush of the disk.
const BATCH: usize = 32;

/// Looked at when nothing else is due: work that found no place, and clocks that were set.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What could not be read or noted is tried again.
const UNKEPT: Duration = Duration::from_secs(5);

/// Work that found no free place is tried again.
const BUSY: Duration = Duration::from_millis(500);

/// What is remembered for too long is forgotten so often.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// Starts the task once the node is there.
pub(crate) fn start(store: Store, limits: MailLimits, answerer: Answerer) -> (Link, impl FnOnce(WeakNode)) {
    let (link, notes, met) = Link::new();
    let run = move |node: WeakNode| {
        let now = Instant::now();
        let task = Task {
            store,
            limits,
            node,
            answerer,
            lines: Lines::default(),
            flights: JoinSet::new(),
            loaded: false,
            next: now,
            next_work: now,
            next_forget: now,
            failing: false,
        };
        tokio::spawn(task.run(notes, met));
    };
    (link, run)
}

/// A try that has ended.
struct Flight {
    waiting: Waiting,
    hash: EventId,
    since: Instant,
    outcome: Result<MailAck, DeliverError>,
}

struct Task {
    store: Store,
    limits: MailLimits,
    node: WeakNode,
    answerer: Answerer,
    lines: Lines,
    flights: JoinSet<Flight>,
    /// Whether `lines` has what earlier runs have left.
    loaded: bool,
    /// When the outbox is looked at next.
    next: Instant,
    next_work: Instant,
    next_forget: Instant,
    failing: bool,
}

impl Task {
    async fn run(mut self, mut notes: mpsc::Receiver<Note>, met: Arc<Met>) {
        self.interrupted().await;
        let mut batch = Vec::new();
        loop {
            let due = self.next.min(self.next_work).min(self.next_forget);
            tokio::select! {
                count = notes.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    if let Some(done) = self.take(&mut batch).await {
                        self.flights.abort_all();
                        let _ = done.send(());
                        return;
                    }
                }
                peers = met.next() => {
                    self.next = Instant::now();
                    peers.iter().filter_map(key_of).for_each(|key| self.lines.met(&key, self.next));
                }
                Some(landed) = self.flights.join_next() => {
                    let others = std::iter::from_fn(|| self.flights.try_join_next());
                    let landed: Vec<Flight> = std::iter::once(landed).chain(others).filter_map(Result::ok).collect();
                    self.landed(landed).await;
                }
                () = tokio::time::sleep_until(due.into()) => self.tick(Instant::now()).await,
            }
        }
    }

    async fn tick(&mut self, now: Instant) {
        if now >= self.next {
            self.next = now + LOOK_EVERY;
            self.dispatch(now).await;
        }
        if now >= self.next_work {
            self.next_work = now + LOOK_EVERY;
            self.work(now).await;
        }
        if now >= self.next_forget {
            self.next_forget = now + FORGET_EVERY;
            self.forget().await;
        }
    }

    async fn take(&mut self, batch: &mut Vec<Note>) -> Option<oneshot::Sender<()>> {
        let now = Instant::now();
        let mut arrived = Vec::new();
        let mut last = None;
        for note in batch.drain(..) {
            match note {
                Note::Arrived { arrival, ticket } => arrived.push((*arrival, ticket)),
                Note::Queued(waiting) => self.queued(waiting, now),
                Note::Worked { author, id, last, done } => {
                    let _ = done.send(self.worked(author, id, last, now).await);
                }
                Note::Close { done } => last = Some(done),
            }
        }
        if !arrived.is_empty() {
            self.arrived(arrived, now).await;
        }
        last
    }

    /// Keeps messages, and acknowledges those that are kept.
    async fn arrived(&mut self, arrived: Vec<(Arrival, Ticket)>, now: Instant) {
        let Some(node) = self.node.upgrade() else { return };
        let (arrivals, tickets): (Vec<Arrival>, Vec<Ticket>) = arrived.into_iter().unzip();
        let (now_ms, limits, all) = (node.now_ms(), self.limits.clone(), arrivals.clone());
        let taken = self.store.write_durably(move |tables| {
            all.iter().map(|arrival| arrive::take(tables, arrival, now_ms, &limits)).collect::<Result<Vec<_>, _>>()
        });
        let taken = match taken.await {
            Ok(taken) => taken,
            Err(error) => {
                self.failed(&error);
                let refused = unkept(&error);
                for ticket in tickets {
                    node.send(Command::Acknowledge { ticket, verdict: Err(refused.clone()) }).await;
                }
                return;
            }
        };
        self.failing = false;
        for ((arrival, ticket), took) in arrivals.into_iter().zip(tickets).zip(taken) {
            let verdict = match took {
                Took::Refused(why) => Err(why),
                Took::New(row) => {
                    self.tell_inbox(&node, &row, now);
                    Ok(self.ack(&arrival))
                }
                Took::Told(row) => {
                    if let Some(row) = row {
                        tell_outbox(&node, &row);
                    }
                    Ok(self.ack(&arrival))
                }
                Took::Known => Ok(self.ack(&arrival)),
            };
            node.send(Command::Acknowledge { ticket, verdict }).await;
        }
    }

    fn ack(&self, arrival: &Arrival) -> MailAck {
        let hash = Some(EventId(arrive::hash(&arrival.raw)));
        MailAck { id: arrival.mail.id, stored: self.store.is_durable(), hash }
    }

    fn tell_inbox(&mut self, node: &Node, row: &InboxRow, now: Instant) {
        if row.work == WorkState::Waiting {
            self.next_work = now;
        }
        if let Some(from) = peer_of(&row.mail.from) {
            let mail = super::handle::inbox_mail(node.reference(from), row);
            node.tell(NodeEvent::MailArrived(Box::new(mail)));
        }
    }

    fn failed(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.failing, true) {
            let text = format!("mail is not kept: {error}");
            tracing::error!("{text}");
            if let Some(node) = self.node.upgrade() {
                node.tell(NodeEvent::Warning(text));
            }
        }
    }

    fn queued(&mut self, waiting: Waiting, now: Instant) {
        self.lines.add(waiting, now);
        self.next = now;
    }

    /// Sends what is due, the first of each line only.
    async fn dispatch(&mut self, now: Instant) {
        let Some(node) = self.node.upgrade() else { return };
        if !self.loaded {
            match self.store.read(|tables| tables.outbox_waiting()).await {
                Ok(waiting) => waiting.into_iter().for_each(|waiting| self.lines.add(waiting, now)),
                Err(error) => {
                    self.next = now + UNKEPT;
                    return self.failed(&error);
                }
            }
            self.loaded = true;
        }
        self.expire(&node, now).await;
        let go = self.lines.take(now);
        if !go.is_empty() {
            let ids: Vec<MailId> = go.iter().map(|waiting| waiting.id).collect();
            let rows = self.store.read(move |tables| {
                ids.iter().map(|id| tables.outbox_item(id)).collect::<Result<Vec<_>, StoreError>>()
            });
            match rows.await {
                Ok(rows) => {
                    go.into_iter().zip(rows).for_each(|(waiting, row)| self.launch(&node, waiting, row, now));
                }
                Err(error) => {
                    self.failed(&error);
                    go.iter().for_each(|waiting| self.lines.unkept(waiting, now + UNKEPT));
                }
            }
        }
        let (due, over_ms) = self.lines.next();
        let over = over_ms.map(|over| now + Duration::from_millis(over.saturating_sub(node.now_ms())).min(LOOK_EVERY));
        self.next = [due, over].into_iter().flatten().fold(self.next, Instant::min);
    }

    /// A message that somebody has taken out of the outbox in the meantime goes nowhere.
    fn launch(&mut self, node: &Node, waiting: Waiting, row: Option<OutboxRow>, since: Instant) {
        let row = row.filter(|row| row.state == OutboxState::Sent);
        let (Some(row), Some(peer)) = (row, peer_of(&waiting.to)) else {
            self.lines.gone(&waiting.id, since);
            self.next = since;
            return;
        };
        let (node, hash) = (node.clone(), EventId(arrive::hash(&row.raw)));
        self.flights.spawn(async move { Flight { waiting, hash, since, outcome: node.deliver(peer, row.raw).await } });
    }

    /// Says of messages whose time is over that it is.
    async fn expire(&mut self, node: &Node, now: Instant) {
        let now_ms = node.now_ms();
        let over = self.lines.expire(now_ms, now);
        if over.is_empty() {
            return;
        }
        let ids: Vec<MailId> = over.iter().map(|waiting| waiting.id).collect();
        let expired = self.store.write(move |tables| {
            let mut expired = Vec::new();
            for id in ids {
                let Some(mut row) = tables.outbox_item(&id)? else { continue };
                if outbox::expire(&mut row, now_ms) {
                    tables.put_outbox(&row, None)?;
                    expired.push(row);
                }
            }
            Ok(expired)
        });
        match expired.await {
            Ok(expired) => expired.iter().for_each(|row| tell_outbox(node, row)),
            Err(error) => {
                self.failed(&error);
                over.iter().for_each(|waiting| self.lines.unkept(waiting, now + UNKEPT));
            }
        }
    }

    async fn landed(&mut self, flights: Vec<Flight>) {
        let Some(node) = self.node.upgrade() else { return };
        let (now, now_ms) = (Instant::now(), node.now_ms());
        // What follows may go.
        self.next = now;
        let mut tries = Vec::new();
        for Flight { waiting, hash, since, outcome } in flights {
            let outcome = outcome.and_then(|ack| match ack.hash {
                Some(of) if of != hash => Err(DeliverError::Unacknowledged("it acknowledged another message".into())),
                _ => Ok(ack),
            });
            let spread = rand::rng().random_range(0.0..1.0);
            let again = self.lines.landed(waiting.id, outbox::landing(&outcome), since, now, spread);
            tries.push((waiting, outcome, again));
        }
        let settled: Vec<Waiting> =
            tries.iter().filter(|(_, _, again)| again.is_none()).map(|(waiting, ..)| *waiting).collect();
        let changed = self.store.write(move |tables| {
            let mut changed = Vec::new();
            for (waiting, outcome, again) in tries {
                let row = tables.outbox_item(&waiting.id)?.filter(|row| row.state == OutboxState::Sent);
                let Some(mut row) = row else { continue };
                outbox::tried(&mut row, outcome, again, now_ms);
                outbox::expire(&mut row, now_ms);
                tables.put_outbox(&row, None)?;
                changed.push(row);
            }
            Ok(changed)
        });
        match changed.await {
            Ok(rows) => {
                rows.iter().filter(|row| row.state != OutboxState::Sent).for_each(|row| tell_outbox(&node, row));
            }
            // They go once more, which the other one knows by their ids.
            Err(error) => {
                self.failed(&error);
                settled.iter().for_each(|waiting| self.lines.unkept(waiting, now + UNKEPT));
            }
        }
    }

    /// What was begun in an earlier run ends with a word to its asker.
    async fn interrupted(&mut self) {
        let Some(node) = self.node.upgrade() else { return };
        let store = self.store.clone();
        match work::interrupted(&store, &node).await {
            Ok(()) => self.next = Instant::now(),
            Err(error) => self.failed(&error),
        }
    }

    /// Has questions worked on, as far as there are places.
    async fn work(&mut self, now: Instant) {
        let Some(node) = self.node.upgrade() else { return };
        let query = InboxQuery { work: true, limit: BATCH, ..InboxQuery::default() };
        let waiting = self.store.read(move |tables| tables.inbox(&query)).await;
        let waiting = match waiting {
            Ok(waiting) => waiting,
            Err(error) => return self.failed(&error),
        };
        for mut row in waiting.into_iter().filter(|row| row.work == WorkState::Waiting) {
            let Some(place) = self.answerer.place() else {
                self.next_work = now + BUSY;
                return;
            };
            row.work = WorkState::Begun;
            let begun = row.clone();
            // On the disk before it begins: what was begun is never begun twice.
            match self.store.write_durably(move |tables| tables.put_inbox(&begun, None)).await {
                Ok(()) => self.answerer.work_on(&node, &row.mail, place),
                Err(error) => return self.failed(&error),
            }
            self.next_work = now;
        }
    }

    async fn worked(&mut self, author: PeerKey, id: MailId, last: Last, now: Instant) -> Result<(), StoreError> {
        let Some(node) = self.node.upgrade() else { return Err(StoreError::Closed) };
        if let Some(answer) = work::finish(&self.store, &node, author, id, last).await? {
            self.queued(answer, now);
        }
        Ok(())
    }

    async fn forget(&mut self) {
        let Some(node) = self.node.upgrade() else { return };
        let age = u64::try_from(self.limits.remembered.as_millis()).unwrap_or(u64::MAX);
        let (before, keep) = (node.now_ms().saturating_sub(age), self.limits.remembered_messages);
        if let Err(error) = self.store.write(move |tables| tables.forget_taken(before, keep)).await {
            self.failed(&error);
        }
    }
}

fn tell_outbox(node: &Node, row: &OutboxRow) {
    if let Some(to) = peer_of(&row.mail.to) {
        node.tell(NodeEvent::MailChanged(Box::new(super::handle::outbox_mail(node.reference(to), row))));
    }
}

/// Its sender keeps it and tries again.
fn unkept(error: &StoreError) -> RpcError {
    let mut refused = RpcError::new(ErrorCode::Overloaded, format!("it cannot be kept: {error}"));
    refused.retry_after = Some(Duration::from_secs(5));
    refused
}

/// Whether a message is kept: others are for who waits now.
pub(crate) fn is_kept(mail: &Mail) -> bool {
    use p2pnode_wire::mail::MailMeta;
    !mail.meta.as_deref().is_some_and(|meta| MailMeta::decode(meta).live)
}
