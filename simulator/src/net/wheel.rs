//! What happens when: one timer for a whole network.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::{sync::Notify, time::Instant};

/// A moment, or never as long as a way is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due(Option<Instant>);

impl Due {
    pub(super) const NEVER: Self = Self(None);

    pub(super) fn at(at: Instant) -> Self {
        Self(Some(at))
    }

    pub(super) fn is_past(self, now: Instant) -> bool {
        self.0.is_some_and(|at| at <= now)
    }

    pub(super) fn is_never(self) -> bool {
        self.0.is_none()
    }
}

/// Something that waits for its moment.
pub(super) trait Fire: Send + Sync {
    fn fire(&self);
}

#[derive(Default)]
struct Queue {
    /// Of the same moment, in the order in which they were put in.
    due: BTreeMap<(Instant, u64), Weak<dyn Fire>>,
    next: u64,
}

#[derive(Default)]
pub(super) struct Wheel {
    queue: Mutex<Queue>,
    earlier: Notify,
}

impl Wheel {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, due: Due, what: Weak<dyn Fire>) {
        let Some(at) = due.0 else { return };
        let mut queue = self.lock();
        let first = queue.due.first_key_value().is_none_or(|((first, _), _)| at < *first);
        queue.next += 1;
        let number = queue.next;
        queue.due.insert((at, number), what);
        drop(queue);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Wakes whom it is time for, for ever.
    pub(super) async fn turn(self: Arc<Self>) {
        loop {
            let next = self.lock().due.first_key_value().map(|((at, _), _)| *at);
            match next {
                Some(at) if at > Instant::now() => {
                    tokio::select! {
                        biased;
                        () = self.earlier.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                Some(_) => self.fire(Instant::now()),
                None => self.earlier.notified().await,
            }
        }
    }

    fn fire(&self, now: Instant) {
        let mut queue = self.lock();
        let mut due = Vec::new();
        while let Some(entry) = queue.due.first_entry()
            && entry.key().0 <= now
        {
            due.push(entry.remove());
        }
        drop(queue);
        due.iter().filter_map(Weak::upgrade).for_each(|what| what.fire());
    }
}
