//! The table of endpoints: looked up by every call, changed now and then.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use p2pnode_wire::card::EndpointInfo;
use tokio::sync::Semaphore;

use super::{Endpoint, Run};

/// Characters of a name.
const NAME_MAX: usize = 128;

/// Names that older systems gave to what is reserved here.
const ALIASES: [(&str, &str); 8] = [
    ("_synapse.ping", "_node.ping"),
    ("_synapse.methods", "_node.methods"),
    ("_synapse.peers", "_node.peers"),
    ("_agent.info", "_node.info"),
    ("_agent.capabilities", "_node.capabilities"),
    ("_agent.ask", "_node.ask"),
    ("synapse.ask", "_node.ask"),
    ("_synapse.info", "_node.info"),
];

/// Why an endpoint cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The name is not well formed.
    #[error("\"{0}\" is no name for an endpoint: use letters, digits, `.`, `_` and `-`, at most {NAME_MAX}")]
    Name(String),
    /// The name is the node's own.
    #[error("\"{0}\" is reserved: names that begin with `_` are the node's own")]
    Reserved(String),
    /// There is one of that name.
    #[error("there is an endpoint \"{0}\" already")]
    Taken(String),
    /// Too many.
    #[error("this node may have {limit} endpoints")]
    TooMany {
        /// The limit, [`Limits::endpoints`](crate::Limits::endpoints).
        limit: usize,
    },
}

pub(crate) struct Registered {
    pub(super) name: Arc<str>,
    pub(super) info: EndpointInfo,
    pub(super) published: bool,
    pub(super) public: bool,
    pub(super) run: Run,
    pub(super) slots: Arc<Semaphore>,
    pub(super) concurrency: usize,
}

/// The endpoints of a node. Clones share one table.
#[derive(Clone)]
pub(crate) struct Endpoints(Arc<Table>);

struct Table {
    entries: RwLock<BTreeMap<Arc<str>, Arc<Registered>>>,
    generation: AtomicU64,
    limit: usize,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.read().keys()).finish()
    }
}

impl Endpoints {
    /// An empty table for `limit` of them.
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Table { entries: RwLock::default(), generation: AtomicU64::new(0), limit }))
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Arc<str>, Arc<Registered>>> {
        self.0.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Arc<str>, Arc<Registered>>> {
        self.0.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an endpoint.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub(crate) fn register(&self, endpoint: Endpoint, run: Run) -> Result<Registration, EndpointError> {
        if endpoint.info.name.starts_with('_') || ALIASES.iter().any(|(alias, _)| *alias == endpoint.info.name) {
            return Err(EndpointError::Reserved(endpoint.info.name));
        }
        self.insert(endpoint, run)
    }

    /// Adds one of the node's own.
    pub(crate) fn register_reserved(&self, endpoint: Endpoint, run: Run) -> Result<(), EndpointError> {
        self.insert(endpoint.unlisted(), run).map(Registration::detach)
    }

    fn insert(&self, mut endpoint: Endpoint, run: Run) -> Result<Registration, EndpointError> {
        check_name(&endpoint.info.name)?;
        endpoint.info.streaming = matches!(run, Run::Stream(_));
        let name: Arc<str> = endpoint.info.name.as_str().into();
        let mut entries = self.write();
        if entries.contains_key(&name) {
            return Err(EndpointError::Taken(endpoint.info.name));
        }
        if entries.len() >= self.0.limit {
            return Err(EndpointError::TooMany { limit: self.0.limit });
        }
        let registered = Arc::new(Registered {
            name: name.clone(),
            info: endpoint.info,
            published: endpoint.published,
            public: endpoint.public,
            run,
            slots: Arc::new(Semaphore::new(endpoint.concurrency)),
            concurrency: endpoint.concurrency,
        });
        entries.insert(name, registered.clone());
        drop(entries);
        self.0.generation.fetch_add(1, Ordering::Relaxed);
        Ok(Registration { endpoints: self.clone(), registered: Some(registered) })
    }

    /// Removes an endpoint; false if there was none, or it is the node's own.
    pub(crate) fn unregister(&self, name: &str) -> bool {
        if name.starts_with('_') {
            return false;
        }
        // Dropped after the lock: what a handler owns may call back into this table.
        let removed = self.write().remove(name);
        if removed.is_some() {
            self.0.generation.fetch_add(1, Ordering::Relaxed);
        }
        removed.is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Registered>> {
        let entries = self.read();
        entries.get(name).or_else(|| entries.get(alias(name)?)).cloned()
    }

    /// What the card lists.
    pub(crate) fn published(&self) -> Vec<EndpointInfo> {
        self.read().values().filter(|e| e.published).map(|e| e.info.clone()).collect()
    }

    /// How busy the busiest of those that the card lists is, percent of the calls it takes at once.
    pub(crate) fn load(&self) -> u8 {
        let busy =
            |e: &Arc<Registered>| share(e.concurrency.saturating_sub(e.slots.available_permits()), e.concurrency);
        self.read().values().filter(|e| e.published).map(busy).max().unwrap_or_default()
    }

    /// Rises with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Relaxed)
    }
}

/// Percent.
pub(crate) fn share(part: usize, whole: usize) -> u8 {
    u8::try_from(part.saturating_mul(100) / whole.max(1)).unwrap_or(100).min(100)
}

fn alias(name: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, name)| *name)
}

fn check_name(name: &str) -> Result<(), EndpointError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fine) {
        return Err(EndpointError::Name(name.escape_debug().take(NAME_MAX).collect()));
    }
    Ok(())
}

/// An endpoint registered while the node runs; it goes with this.
#[must_use = "dropping it unregisters the endpoint; detach() keeps it as long as the node"]
pub struct Registration {
    endpoints: Endpoints,
    registered: Option<Arc<Registered>>,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({:?})", self.registered.as_ref().map(|r| &r.name))
    }
}

impl Registration {
    /// Keeps the endpoint as long as the node.
    pub fn detach(mut self) {
        self.registered = None;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(registered) = self.registered.take() else { return };
        let mut entries = self.endpoints.write();
        // Somebody may have unregistered it and put another in its place.
        if entries.get(&registered.name).is_some_and(|known| Arc::ptr_eq(known, &registered)) {
            let removed = entries.remove(&registered.name);
            drop(entries);
            self.endpoints.0.generation.fetch_add(1, Ordering::Relaxed);
            drop(removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{FutureExt, future::BoxFuture};
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::{Arguments, Context, DynHandler, HandlerError};

    struct Nothing;

    impl DynHandler for Nothing {
        fn call(&self, _: Context, _: Arguments) -> BoxFuture<'static, Result<Bytes, HandlerError>> {
            futures::future::ready(Ok(Bytes::new())).boxed()
        }
    }

    /// A handler that owns the registration of another, as a plug-in may.
    struct Owner(#[allow(dead_code, reason = "it matters when it is dropped")] Registration);

    impl DynHandler for Owner {
        fn call(&self, _: Context, _: Arguments) -> BoxFuture<'static, Result<Bytes, HandlerError>> {
            futures::future::ready(Ok(Bytes::new())).boxed()
        }
    }

    fn add(endpoints: &Endpoints, name: &str) -> Result<Registration, EndpointError> {
        endpoints.register(Endpoint::new(name), Run::Once(Arc::new(Nothing)))
    }

    fn names(endpoints: &Endpoints) -> Vec<String> {
        endpoints.published().into_iter().map(|info| info.name).collect()
    }

    #[test]
    fn an_endpoint_is_there_as_long_as_its_registration() {
        let endpoints = Endpoints::new(8);
        let sum = add(&endpoints, "sum").expect("registered");
        add(&endpoints, "kept").expect("registered").detach();
        let before = endpoints.generation();
        assert_eq!(names(&endpoints), ["kept", "sum"]);
        assert_eq!(add(&endpoints, "sum").expect_err("taken"), EndpointError::Taken("sum".into()));
        assert_eq!(endpoints.generation(), before, "nothing has changed");
        drop(sum);
        assert_eq!(names(&endpoints), ["kept"]);
        assert!(endpoints.generation() > before);
        assert!(endpoints.unregister("kept") && !endpoints.unregister("kept"));
        assert!(endpoints.get("kept").is_none());
    }

    #[test]
    fn a_registration_removes_only_its_own() {
        let endpoints = Endpoints::new(8);
        let first = add(&endpoints, "sum").expect("registered");
        assert!(endpoints.unregister("sum"));
        let _second = add(&endpoints, "sum").expect("free again");
        drop(first);
        assert_eq!(names(&endpoints), ["sum"]);
    }

    #[test]
    fn unlisted_ones_answer_but_are_not_told_of() {
        let endpoints = Endpoints::new(8);
        let _secret =
            endpoints.register(Endpoint::new("secret").unlisted(), Run::Once(Arc::new(Nothing))).expect("registered");
        assert!(endpoints.get("secret").is_some() && names(&endpoints).is_empty());
    }

    #[test]
    fn reserved_names_are_for_the_node_and_old_names_lead_to_them() {
        let endpoints = Endpoints::new(8);
        for name in ["_node.ping", "_mine", "synapse.ask", "_synapse.ping"] {
            assert_eq!(add(&endpoints, name).expect_err("reserved"), EndpointError::Reserved(name.into()));
        }
        for (_, name) in ALIASES {
            // Several aliases lead to one.
            let _ = endpoints.register_reserved(Endpoint::new(name), Run::Once(Arc::new(Nothing)));
        }
        for (alias, name) in ALIASES {
            assert_eq!(endpoints.get(alias).map(|found| found.name.to_string()).as_deref(), Some(name));
        }
        assert!(!endpoints.unregister("_node.ping"), "nor can they be removed");
        assert!(endpoints.get("_synapse.join").is_none() && names(&endpoints).is_empty());
    }

    #[test]
    fn a_handler_may_own_a_registration() {
        let endpoints = Endpoints::new(8);
        let inner = add(&endpoints, "inner").expect("registered");
        let outer = endpoints.register(Endpoint::new("outer"), Run::Once(Arc::new(Owner(inner)))).expect("registered");
        drop(outer);
        let inner = add(&endpoints, "inner").expect("free again");
        endpoints.register(Endpoint::new("outer"), Run::Once(Arc::new(Owner(inner)))).expect("registered").detach();
        assert!(endpoints.unregister("outer"));
        assert_eq!(names(&endpoints), Vec::<String>::new());
    }

    #[test]
    fn there_is_an_end_to_them() {
        let endpoints = Endpoints::new(8);
        for n in 0..8 {
            add(&endpoints, &n.to_string()).expect("registered").detach();
        }
        assert_eq!(add(&endpoints, "one-more").expect_err("full"), EndpointError::TooMany { limit: 8 });
    }

    #[test]
    fn an_odd_name_is_shown_harmless() {
        let text = check_name("a\u{1b}[2J\n").expect_err("refused").to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }

    proptest! {
        #[test]
        fn names_are_plain(name in ".{0,140}") {
            let plain = !name.is_empty() && name.len() <= 128
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            prop_assert_eq!(check_name(&name).is_ok(), plain);
        }
    }
}
