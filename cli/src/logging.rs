//! Logs of the node, on stderr, for those who want them.

mod flood;

use std::{env, io};

use tracing_subscriber::{Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{args::Global, output::Out};

/// Variables with a filter, the first that is set counts.
const VARIABLES: [&str; 2] = ["P2PNODE_LOG", "RUST_LOG"];

/// Quiet unless asked: errors are told as errors, not as logs.
pub(crate) fn start(global: &Global, out: &Out) {
    let wanted = VARIABLES.into_iter().find_map(|name| env::var(name).ok().filter(|filter| !filter.is_empty()));
    let filter = match &wanted {
        Some(filter) => filter.parse::<Targets>(),
        None => level(global).parse(),
    };
    let filter = filter.unwrap_or_else(|error| {
        out.note(&format!("P2PNODE_LOG is not understood and ignored: {error}"));
        level(global).parse().unwrap_or_default()
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(out.talk.colour())
        .map_event_format(flood::Paced::new);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    // Fails only if somebody has set one before: nobody has.
    let _ = subscriber.try_init();
}

fn level(global: &Global) -> &'static str {
    let out_of_sight = crate::background::is_child();
    match global.verbose {
        // A log that somebody reads later.
        0 if out_of_sight => "warn,libp2p_kad=error",
        0 => "off",
        1 => "warn,p2pnode=info",
        _ => "info,p2pnode=debug,p2pnode_behaviours=debug",
    }
}
