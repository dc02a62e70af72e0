//! The swarms a node is in: read by every handle, added to while it runs.

use std::sync::{Arc, PoisonError, RwLock};

use p2pnode_wire::ids::{SwarmId, SwarmName};

/// In the order in which they were joined.
type List = Arc<[(SwarmId, SwarmName)]>;

/// One list for the event loop, the handles and those who decide over callers.
#[derive(Debug, Clone)]
pub(crate) struct Swarms {
    limit: usize,
    joined: Arc<RwLock<List>>,
}

/// There are [`Limits::swarms`](crate::Limits::swarms) already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) usize);

impl Swarms {
    pub(crate) fn new(limit: usize, joined: Vec<(SwarmId, SwarmName)>) -> Self {
        Self { limit, joined: Arc::new(RwLock::new(joined.into())) }
    }

    /// All of them.
    pub(crate) fn all(&self) -> List {
        self.joined.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// False if the node is in it already.
    pub(crate) fn join(&self, id: SwarmId, name: SwarmName) -> Result<bool, Full> {
        let mut joined = self.joined.write().unwrap_or_else(PoisonError::into_inner);
        if joined.iter().any(|(known, _)| *known == id) {
            return Ok(false);
        }
        if joined.len() >= self.limit {
            return Err(Full(self.limit));
        }
        *joined = joined.iter().cloned().chain([(id, name)]).collect();
        Ok(true)
    }

    /// Whether one more may be joined, or this one is already.
    pub(crate) fn may_join(&self, id: &SwarmId) -> Result<(), Full> {
        if self.has(id) || self.all().len() < self.limit { Ok(()) } else { Err(Full(self.limit)) }
    }

    pub(crate) fn has(&self, id: &SwarmId) -> bool {
        self.all().iter().any(|(known, _)| known == id)
    }

    pub(crate) fn name_of(&self, id: &SwarmId) -> Option<SwarmName> {
        self.all().iter().find(|(known, _)| known == id).map(|(_, name)| name.clone())
    }

    /// The one of that name; the first one for an empty name.
    pub(crate) fn id_of(&self, name: &str) -> Option<SwarmId> {
        self.all().iter().find(|(_, known)| name.is_empty() || known.as_str() == name).map(|(id, _)| *id)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.all().iter().map(|(_, name)| name.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_joined_once_and_no_more_than_there_is_room_for() {
        let name = |text: &str| -> SwarmName { text.parse().expect("a name") };
        let (garden, lab, attic) = (name("garden"), name("lab"), name("attic"));
        let id = SwarmId::open;
        let swarms = Swarms::new(2, vec![(id(&garden), garden.clone())]);
        let other_handle = swarms.clone();
        assert_eq!(swarms.join(id(&lab), lab.clone()), Ok(true));
        assert_eq!(swarms.join(id(&lab), lab.clone()), Ok(false));
        assert_eq!(swarms.join(id(&attic), attic.clone()), Err(Full(2)));
        assert_eq!((swarms.may_join(&id(&attic)), swarms.may_join(&id(&lab))), (Err(Full(2)), Ok(())));
        assert_eq!(other_handle.names(), ["garden", "lab"]);
        assert!(other_handle.has(&id(&lab)) && !other_handle.has(&id(&attic)));
        assert_eq!((other_handle.id_of(""), other_handle.id_of("lab")), (Some(id(&garden)), Some(id(&lab))));
        assert_eq!((other_handle.id_of("Lab"), other_handle.name_of(&id(&lab))), (None, Some(lab)));
    }
}
