//! What goes wrong on purpose.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::Net;

/// Something that is about to go from one host to another.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Host that sends.
    pub from: usize,
    /// Host that shall receive.
    pub to: usize,
    /// Since the simulation began.
    pub at: Duration,
    /// What it is.
    pub what: What,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A first packet: somebody dials.
    Dial,
    /// So many bytes of a connection.
    Data(usize),
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes its way, and no other rule is asked.
    Pass,
    /// It arrives so much later.
    Delay(Duration),
    /// It waits until the rule is gone, as TCP sends it again and again. A dial times out.
    Hold,
    /// The connection breaks at once; a dial is refused.
    Reset,
}

pub(super) type Rule = Box<dyn FnMut(&Flow) -> Option<Verdict> + Send>;

/// A rule in force: dropped, the network is healed of it.
#[must_use = "dropped at once, it never was"]
pub struct Fault {
    net: Net,
    id: u64,
}

impl Fault {
    pub(super) fn new(net: Net, id: u64) -> Self {
        Self { net, id }
    }

    /// Ends it; the same as dropping it.
    pub fn heal(self) {}

    /// Leaves it in force as long as the simulation lasts.
    pub fn for_ever(self) {
        std::mem::forget(self);
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.net.remove_rule(self.id);
    }
}

/// The groups hear nothing of each other; hosts in none of them hear all.
pub fn partition(groups: impl IntoIterator<Item = Vec<usize>>) -> impl FnMut(&Flow) -> Option<Verdict> + Send {
    let groups: Vec<BTreeSet<usize>> = groups.into_iter().map(|group| group.into_iter().collect()).collect();
    let of = move |host: usize| groups.iter().position(|group| group.contains(&host));
    move |flow| match (of(flow.from), of(flow.to)) {
        (Some(a), Some(b)) if a != b => Some(Verdict::Hold),
        _ => None,
    }
}

/// What `from` sends does not reach `to`; the other direction is whole.
pub fn one_way(from: Vec<usize>, to: Vec<usize>) -> impl FnMut(&Flow) -> Option<Verdict> + Send {
    let (from, to): (BTreeSet<usize>, BTreeSet<usize>) = (from.into_iter().collect(), to.into_iter().collect());
    move |flow| (from.contains(&flow.from) && to.contains(&flow.to)).then_some(Verdict::Hold)
}

/// Everything to and from these hosts takes longer.
pub fn slow(hosts: Vec<usize>, by: Duration) -> impl FnMut(&Flow) -> Option<Verdict> + Send {
    let hosts: BTreeSet<usize> = hosts.into_iter().collect();
    move |flow| (hosts.contains(&flow.from) || hosts.contains(&flow.to)).then_some(Verdict::Delay(by))
}
