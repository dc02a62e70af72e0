//! What a node says of itself to those who may use it, and whether it fits a command.

use p2pnode::Peer;
use serde::{Deserialize, Serialize};

use crate::args::{
    Global, Verb,
    artifact::{Artifact, Verb as ArtifactVerb},
    dht::{Dht, Verb as DhtVerb},
    look::Find,
};

/// Characters of an id that must be given at least.
const PREFIX_MIN: usize = 6;

/// The answer to `GET /v1/healthz`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct About {
    /// Its name.
    pub(crate) name: String,
    /// Its id.
    pub(crate) peer_id: String,
    /// Version of the program.
    pub(crate) version: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Its profile.
    pub(crate) profile: String,
    /// Swarms it is in.
    pub(crate) swarms: Vec<String>,
    /// It takes questions.
    pub(crate) asks: bool,
    /// Endpoints it serves, also those it does not list.
    pub(crate) endpoints: Vec<String>,
    /// What it advertises.
    pub(crate) capabilities: Vec<String>,
    /// Its role, or empty.
    pub(crate) role: String,
    /// No other member is online.
    pub(crate) alone: bool,
    /// It runs in the background and has a log.
    pub(crate) detached: bool,
    /// It has as many clients as it takes.
    pub(crate) busy: bool,
}

impl About {
    /// Whether the target means this node: by name, id, capability or role.
    pub(crate) fn is(&self, target: &str) -> bool {
        if let Some(capability) = target.strip_prefix("cap:") {
            return self.capabilities.iter().any(|own| own == capability);
        }
        if let Some(role) = target.strip_prefix("role:") {
            return !role.is_empty() && self.role == role;
        }
        let (name, swarm) = target.rsplit_once('@').map_or((target, None), |(name, swarm)| (name, Some(swarm)));
        let here = swarm.is_none_or(|swarm| self.is_in(swarm));
        let id = name.len() >= PREFIX_MIN && self.peer_id.starts_with(name);
        name == "." || here && (name == self.name || id)
    }

    /// Whether it is in the swarm, however somebody writes it.
    pub(crate) fn is_in(&self, swarm: &str) -> bool {
        crate::connect::swarm_name(swarm).is_ok_and(|name| self.swarms.contains(&name))
    }

    /// Whether a command should go through this node when nobody has said which: it is in the wanted swarm, and it does
    /// not itself serve what is asked for. A node does not answer its own questions and is no member to itself, so a
    /// node that takes questions, serves the endpoint, or is the target is asked by a node of the command's own. So is
    /// one that is alone by what must reach somebody.
    pub(crate) fn fits(&self, verb: &Verb, global: &Global) -> bool {
        let swarm = verb.swarm().or(global.swarm.as_deref());
        let there = swarm.is_none_or(|swarm| self.is_in(swarm));
        there && !self.busy && self.reaches(verb, swarm) && !self.serves(verb)
    }

    /// What is asked for is this node.
    fn serves(&self, verb: &Verb) -> bool {
        match verb {
            // `ask garden` lacks the question: that is told where it is asked.
            Verb::Ask(ask) if ask.swarm().is_none() && ask.word().is_some_and(|word| self.is_in(word)) => true,
            Verb::Ask(ask) if ask.to.is_empty() => self.asks,
            Verb::Ask(ask) => ask.to.iter().any(|target| self.is(target)),
            Verb::Call(call) => self.is(&call.target),
            Verb::Ping(ping) => self.is(&ping.target),
            Verb::Peer(peer) => self.is(&peer.target),
            Verb::Artifact(Artifact { verb: ArtifactVerb::List { target: Some(target) } }) => self.is(target),
            Verb::Find(find) => self.may_be_found(find),
            Verb::Broadcast(broadcast) => match &broadcast.endpoint {
                Some(endpoint) => self.endpoints.contains(endpoint),
                None => self.asks,
            },
            Verb::Dht(Dht { verb: DhtVerb::Lookup { peer } }) => self.is(peer),
            Verb::Dht(Dht { verb: DhtVerb::Get { key, .. } }) => {
                key.split('/').next().is_some_and(|peer| self.is(peer))
            }
            _ => false,
        }
    }

    /// Whom it can reach: of several swarms it cannot look in one alone by capability or role.
    fn reaches(&self, verb: &Verb, swarm: Option<&str>) -> bool {
        let vague = |target: &str| target.starts_with("cap:") || target.starts_with("role:");
        match verb {
            Verb::Call(call) if vague(&call.target) => swarm.is_none() || self.swarms.len() == 1,
            Verb::Ping(ping) if vague(&ping.target) => swarm.is_none() || self.swarms.len() == 1,
            Verb::Dht(Dht { verb: DhtVerb::Table { .. } | DhtVerb::Stats {} }) => true,
            Verb::Emit(_) | Verb::Broadcast(_) | Verb::Dht(_) => !self.alone,
            _ => true,
        }
    }

    /// Of its own endpoints it knows no tags here, and of itself no descriptions.
    fn may_be_found(&self, find: &Find) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_ref().is_none_or(|wanted| wanted == own);
        let own = || [&self.name, &self.role].into_iter().chain(&self.capabilities).chain(&self.endpoints);
        let said = |word: &str| {
            let word = word.to_lowercase();
            own().any(|own| own.to_lowercase().contains(&word))
                || !p2pnode::near(&word, own().map(String::as_str)).is_empty()
        };
        let text = find.text.as_ref().is_none_or(|text| text.split_whitespace().any(said));
        let able = find.cap.iter().all(|cap| self.capabilities.contains(cap));
        is(&find.name, &self.name) && is(&find.role, &self.role) && able && text
    }
}

/// Whether the options ask for a node that looks around by itself, and which one does.
pub(crate) fn own_node(verb: &Verb, global: &Global) -> Option<&'static str> {
    let target = match verb {
        Verb::Call(call) => Some(&call.target),
        Verb::Ping(ping) => Some(&ping.target),
        Verb::Peer(peer) => Some(&peer.target),
        _ => None,
    };
    let address =
        target.is_some_and(|target| crate::connect::address_of(target).is_ok_and(|address| address.is_some()));
    match global {
        // It is that node which joins.
        _ if matches!(verb, Verb::Join(_)) => None,
        _ if address => Some("an address as the target"),
        Global { bootstrap, .. } if !bootstrap.is_empty() => Some("--bootstrap"),
        Global { no_mdns: true, .. } => Some("--no-mdns"),
        Global { no_local: true, .. } => Some("--no-local"),
        _ => None,
    }
}

/// Whether nobody but one-command nodes is there.
pub(crate) fn is_alone(peers: &[Peer]) -> bool {
    !peers.iter().any(|peer| !peer.ephemeral && peer.state == p2pnode::PeerState::Online)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Parsed, parse};

    const ID: &str = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";

    fn cli(line: &str) -> Cli {
        let words: Vec<_> = std::iter::once("p2pnode").chain(line.split_whitespace()).map(Into::into).collect();
        match parse(&words) {
            Parsed::Run(cli) => *cli,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn quiet() -> About {
        About { name: "fern".into(), peer_id: ID.into(), swarms: vec!["garden".into()], ..About::default() }
    }

    fn demo() -> About {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        About {
            asks: true,
            endpoints: words(&["echo", "sum"]),
            capabilities: words(&["math"]),
            role: "helper".into(),
            ..quiet()
        }
    }

    fn fits(about: &About, line: &str) -> bool {
        let Cli { global, verb } = cli(line);
        about.fits(&verb, &global)
    }

    #[test]
    fn a_node_that_does_not_serve_it_is_used() {
        for line in [
            "ask hi",
            "ask garden hi",
            "ask Garden hi",
            "call calculator sum 1 2",
            "call cap:math sum",
            "broadcast garden hi",
            "broadcast garden --endpoint sum 1",
            "emit a.b",
            "subscribe a.>",
            "watch garden",
            "peers",
            "members garden",
            "find --cap math",
            "ping calculator",
            "wait peers 2",
            "dht get x/y",
        ] {
            assert!(fits(&quiet(), line), "{line}");
        }
    }

    #[test]
    fn a_node_that_is_asked_itself_is_not() {
        for line in [
            "ask hi",
            "ask garden hi",
            "ask --to fern hi",
            "ask --to cap:math hi",
            "call fern sum 1 2",
            "call fern@garden sum",
            "call cap:math sum 1 2",
            "call role:helper sum 1 2",
            "call 12D3KooWQYhTNQ sum",
            "ping fern",
            "peer fern",
            "broadcast garden hi",
            "broadcast garden --endpoint sum 1",
            "find --cap math",
            "find ECHO",
            "find --role helper",
            "dht get fern/motd",
        ] {
            assert!(!fits(&demo(), line), "{line}");
        }
        for line in ["ask --to ash hi", "broadcast garden --endpoint shout x", "find --cap art", "call fern@ops sum"] {
            assert!(fits(&demo(), line), "{line}");
        }
    }

    #[test]
    fn a_node_elsewhere_alone_or_busy_is_not() {
        for line in
            ["ask ops hi", "--swarm ops peers", "watch ops", "members ops", "broadcast ops hi", "wait online -s ops"]
        {
            assert!(!fits(&quiet(), line), "{line}");
        }
        let alone = About { alone: true, ..quiet() };
        for (line, fit) in
            [("emit a.b", false), ("dht put a b", false), ("broadcast garden hi", false), ("peers", true)]
        {
            assert_eq!(fits(&alone, line), fit, "{line}");
        }
        assert!(!fits(&About { busy: true, ..quiet() }, "peers"));
        let both = About { swarms: vec!["garden".into(), "ops".into()], ..quiet() };
        assert!(fits(&both, "call cap:art draw") && !fits(&both, "-s ops call cap:art draw"));
        assert!(fits(&both, "-s ops call ash draw"));
    }

    #[test]
    fn options_for_a_node_of_ones_own() {
        for (line, why) in [
            ("peers", None),
            ("call 127.0.0.1:9999 sum", Some("an address as the target")),
            ("call cap:x sum", None),
            ("peers --no-mdns", Some("--no-mdns")),
            ("peers --no-local", Some("--no-local")),
            ("ask hi --bootstrap h:1", Some("--bootstrap")),
        ] {
            let Cli { global, verb } = cli(line);
            assert_eq!(own_node(&verb, &global), why, "{line}");
        }
    }
}
