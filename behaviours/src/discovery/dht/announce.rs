//! When to announce what is ours again. Pure.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// Keys and values of our own: a swarm or two, its names, capabilities and their shards, and values of the user.
pub(super) const MAX_OWN: usize = 64;

/// Announcements under way: each is a lookup of up to 45 requests, most of which dial.
const MAX_RUNNING: usize = 2;

/// An announcement that reached few peers is repeated when there are more, but not faster than this.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
struct Item {
    done: Option<Instant>,
    /// Not before.
    after: Option<Instant>,
    /// How many peers the table had then.
    reach: usize,
    running: bool,
}

/// What is ours, and when it was announced.
#[derive(Debug)]
pub(super) struct Announce<K> {
    interval: Duration,
    enough: usize,
    items: HashMap<K, Item>,
}

impl<K: Eq + Hash + Clone> Announce<K> {
    /// Announces every `interval`; an announcement that knew `enough` peers need not be repeated sooner.
    pub(super) fn new(interval: Duration, enough: usize) -> Self {
        Self { interval, enough, items: HashMap::new() }
    }

    /// Announces `key` as soon as somebody is there to hear it, unless it is announced already. False when there are too
    /// many.
    pub(super) fn add(&mut self, key: K) -> bool {
        if self.items.len() >= MAX_OWN && !self.items.contains_key(&key) {
            return false;
        }
        self.items.entry(key).or_insert(Item { done: None, after: None, reach: 0, running: false });
        true
    }

    /// The same for what has changed: it is announced again.
    pub(super) fn renew(&mut self, key: K) -> bool {
        self.items.remove(&key);
        self.add(key)
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.items.remove(key);
    }

    /// What to announce now, with `table` peers known.
    pub(super) fn next(&mut self, table: usize, now: Instant) -> Option<K> {
        if table == 0 || self.items.values().filter(|item| item.running).count() >= MAX_RUNNING {
            return None;
        }
        let (interval, enough) = (self.interval, self.enough);
        let due = |item: &Item| item.due(table, enough, interval, now).is_some_and(|at| at <= now);
        let (key, item) = self.items.iter_mut().find(|(_, item)| due(item))?;
        *item = Item { done: Some(now), after: None, reach: table, running: true };
        Some(key.clone())
    }

    /// What is ours.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// How many peers an announcement should reach.
    pub(super) fn enough(&self) -> usize {
        self.enough
    }

    /// Whether `key` is being announced, and still ours.
    pub(super) fn is_running(&self, key: &K) -> bool {
        self.items.get(key).is_some_and(|item| item.running)
    }

    /// The announcement of `key` is over.
    pub(super) fn finished(&mut self, key: &K) {
        if let Some(item) = self.items.get_mut(key) {
            item.running = false;
        }
    }

    /// Not now: `next` gives `key` again at `until`.
    pub(super) fn postpone(&mut self, key: &K, until: Instant) {
        if let Some(item) = self.items.get_mut(key) {
            *item = Item { done: None, after: Some(until), reach: 0, running: false };
        }
    }

    /// When `next` may have something.
    pub(super) fn wake_at(&self, table: usize, now: Instant) -> Option<Instant> {
        if table == 0 {
            return None;
        }
        let due = self.items.values().filter_map(|item| item.due(table, self.enough, self.interval, now)).min();
        due.map(|at| at.max(now))
    }
}

impl Item {
    fn due(&self, table: usize, enough: usize, interval: Duration, now: Instant) -> Option<Instant> {
        if self.running {
            return None;
        }
        let Some(done) = self.done else { return Some(self.after.unwrap_or(now)) };
        let few = self.reach < enough && table > self.reach;
        Some(done + if few { AGAIN } else { interval })
    }
}

#[cfg(test)]
#[path = "announce_tests.rs"]
mod tests;
