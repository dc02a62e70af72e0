//! The task that keeps mail: takes what arrives, tries what is to go, has questions worked on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use p2pnode_behaviours::{
    mail::{DeliverError, Ticket},
    peer_of,
};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{ConversationId, EventId, MailId, PeerKey},
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
    outbox,
    work::{self, Last},
};
use crate::{
    ask::Answerer,
    command::Command,
    events::NodeEvent,
    node::{Node, WeakNode},
    store::{InboxQuery, InboxRow, OutboxQuery, OutboxRow, OutboxState, Store, StoreError, WorkState},
};

/// Messages on their way to the store: a megabyte each at most, so this is what a burst may cost.
const QUEUE: usize = 64;

/// Taken together, with one flush of the disk.
const BATCH: usize = 32;

/// Messages of ours under way at once, to all peers together; of one conversation with one peer it is one.
const FLIGHTS: usize = 64;

/// Looked at when nothing else is due: work that found no place, and clocks that were set.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Work that found no free place is tried again.
const BUSY: Duration = Duration::from_millis(500);

/// What is remembered for too long is forgotten so often.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// What the node tells.
pub(crate) enum Note {
    /// A message for us. The ticket is answered once it is kept.
    Arrived { arrival: Box<Arrival>, ticket: Ticket },
    /// There is something new in the outbox.
    Queued,
    /// A peer is there: what waits for it need not wait longer.
    Met(PeerId),
    /// A question was worked on.
    Worked { author: PeerKey, id: MailId, last: Last, done: oneshot::Sender<Result<(), StoreError>> },
    /// The node stops.
    Close { done: oneshot::Sender<()> },
}

/// The way to the task.
#[derive(Clone)]
pub(crate) struct Link(mpsc::Sender<Note>);

impl Link {
    /// Without waiting; a message that finds no room is given back.
    pub(crate) fn tell(&self, note: Note) -> Result<(), Box<Note>> {
        self.0.try_send(note).map_err(|error| match error {
            mpsc::error::TrySendError::Full(note) | mpsc::error::TrySendError::Closed(note) => Box::new(note),
        })
    }

    pub(crate) async fn send(&self, note: Note) {
        let _ = self.0.send(note).await;
    }

    /// The last word: what was told before is kept when this returns.
    pub(crate) async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.0.send(Note::Close { done }).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// Starts the task once the node is there.
pub(crate) fn start(store: Store, limits: MailLimits, answerer: Answerer) -> (Link, impl FnOnce(WeakNode)) {
    let (sender, notes) = mpsc::channel(QUEUE);
    let run = move |node: WeakNode| {
        let now = Instant::now();
        let task = Task {
            store,
            limits,
            node,
            answerer,
            busy: BTreeSet::new(),
            flights: JoinSet::new(),
            next: now,
            next_work: now,
            next_forget: now,
            failing: false,
        };
        tokio::spawn(task.run(notes));
    };
    (Link(sender), run)
}

/// One conversation with one peer: its messages go one after the other.
type Line = (PeerKey, ConversationId);

type Flight = (MailId, Line, Result<MailAck, DeliverError>);

struct Task {
    store: Store,
    limits: MailLimits,
    node: WeakNode,
    answerer: Answerer,
    busy: BTreeSet<Line>,
    flights: JoinSet<Flight>,
    next: Instant,
    next_work: Instant,
    next_forget: Instant,
    failing: bool,
}

impl Task {
    async fn run(mut self, mut notes: mpsc::Receiver<Note>) {
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
                Note::Queued => self.next = now,
                Note::Met(peer) => self.hasten(peer, now).await,
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

    /// Sends what is due, the first of each line only.
    async fn dispatch(&mut self, now: Instant) {
        let Some(node) = self.node.upgrade() else { return };
        let (now_ms, busy) = (node.now_ms(), self.busy.clone());
        let room = FLIGHTS.saturating_sub(self.flights.len());
        if room < FLIGHTS / 2 {
            // Those under way make room in a moment; looking through what is due for each of them would be most of the work.
            return;
        }
        let due = self.store.write(move |tables| {
            let (due, next) = tables.outbox_due(now_ms, 2 * FLIGHTS)?;
            let (mut go, mut expired, mut lines) = (Vec::new(), Vec::new(), busy);
            for mut row in due {
                if outbox::expire(&mut row, now_ms) {
                    tables.put_outbox(&row, None)?;
                    expired.push(row);
                    continue;
                }
                let line = (row.mail.to, row.mail.conversation);
                if go.len() < room && !lines.contains(&line) && is_first(tables, &row)? {
                    lines.insert(line);
                    go.push(row);
                }
            }
            Ok((go, expired, next))
        });
        match due.await {
            Ok((go, expired, next)) => {
                expired.iter().for_each(|row| tell_outbox(&node, row));
                if let Some(next) = next.filter(|next| *next > now_ms) {
                    self.next = self.next.min(now + Duration::from_millis(next - now_ms));
                }
                for row in go {
                    self.launch(&node, row);
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn launch(&mut self, node: &Node, row: OutboxRow) {
        let Some(peer) = peer_of(&row.mail.to) else { return };
        let (id, line) = (row.mail.id, (row.mail.to, row.mail.conversation));
        self.busy.insert(line);
        let node = node.clone();
        self.flights.spawn(async move { (id, line, node.deliver(peer, row.raw).await) });
    }

    async fn landed(&mut self, flights: Vec<Flight>) {
        for (_, line, _) in &flights {
            self.busy.remove(line);
        }
        let Some(node) = self.node.upgrade() else { return };
        let now_ms = node.now_ms();
        let changed = self.store.write(move |tables| {
            let mut changed = Vec::new();
            for (id, _, outcome) in flights {
                changed.extend(note(tables, id, outcome, now_ms)?);
            }
            Ok(changed)
        });
        match changed.await {
            Ok(rows) => {
                rows.iter().filter(|row| row.state != OutboxState::Sent).for_each(|row| tell_outbox(&node, row))
            }
            Err(error) => self.failed(&error),
        }
        // The next ones of these lines may go, and when to try again is known.
        self.next = Instant::now();
    }

    /// What waits for this peer is due now.
    async fn hasten(&mut self, peer: PeerId, now: Instant) {
        let (Some(node), Some(to)) = (self.node.upgrade(), p2pnode_behaviours::key_of(&peer)) else { return };
        let now_ms = node.now_ms();
        let waiting = self.store.write(move |tables| {
            let query = OutboxQuery {
                states: vec![OutboxState::Sent],
                to: Some(to),
                limit: BATCH * FLIGHTS,
                ..OutboxQuery::default()
            };
            let mut waiting = tables.outbox(&query)?;
            waiting.retain(|row| row.next_ms > now_ms);
            for row in &mut waiting {
                row.next_ms = now_ms;
                tables.put_outbox(row, None)?;
            }
            Ok(waiting.len())
        });
        match waiting.await {
            Ok(waiting) if waiting > 0 => self.next = now,
            Ok(_) => {}
            Err(error) => self.failed(&error),
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
        self.next = now;
        let Some(node) = self.node.upgrade() else { return Err(StoreError::Closed) };
        work::finish(&self.store, &node, author, id, last).await
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

/// Notes how a try has ended; the row, if it still waited for that.
fn note(
    tables: &mut dyn crate::store::Write,
    id: MailId,
    outcome: Result<MailAck, DeliverError>,
    now_ms: u64,
) -> Result<Option<OutboxRow>, StoreError> {
    let Some(mut row) = tables.outbox_item(&id)?.filter(|row| row.state == OutboxState::Sent) else { return Ok(None) };
    let hash = EventId(arrive::hash(&row.raw));
    let right = outcome.and_then(|ack| match ack.hash {
        Some(of) if of != hash => Err(DeliverError::Unacknowledged("it acknowledged another message".into())),
        _ => Ok(ack),
    });
    outbox::tried(&mut row, right, now_ms, rand::rng().random_range(0.0..1.0));
    outbox::expire(&mut row, now_ms);
    tables.put_outbox(&row, None)?;
    Ok(Some(row))
}

/// Whether nothing older waits in its line.
fn is_first(tables: &dyn crate::store::Write, row: &OutboxRow) -> Result<bool, StoreError> {
    let query = OutboxQuery {
        states: vec![OutboxState::Sent],
        to: Some(row.mail.to),
        conversation: Some(row.mail.conversation),
        limit: usize::MAX,
        ..OutboxQuery::default()
    };
    Ok(tables.outbox(&query)?.iter().all(|other| other.mail.id >= row.mail.id))
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
