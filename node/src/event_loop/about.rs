//! What a node says of itself.

use p2pnode_behaviours::Clock;
use p2pnode_wire::{
    card::{Availability, Capability, Card, EndpointInfo, LIFE_MS, NAME_MAX},
    ids::{PeerKey, Team},
    limits::CARD_MAX,
    sign::Signed,
};

use crate::identity::Identity;

/// What the card says beside endpoints and addresses.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) key: PeerKey,
    pub(crate) clock: Clock,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) description: String,
    pub(crate) team: Option<Team>,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) agent: String,
    /// These two change while it runs.
    pub(crate) availability: Availability,
    pub(crate) load: u8,
}

/// A card over its limit would be refused by everybody: schemas go first, a caller can ask the node for them
/// (`_node.methods`); then what is left of the list of endpoints, from its end.
fn seal_within_limit(mut card: Card, identity: &Identity) -> (Card, Signed) {
    let key = identity.signing_key();
    let fits = |signed: &Signed| signed.raw().len() <= CARD_MAX;
    let signed = card.seal(&key);
    if fits(&signed) {
        return (card, signed);
    }
    tracing::warn!("this node's card is too large: its endpoints are listed without schemas");
    for endpoint in &mut card.endpoints {
        (endpoint.input_schema, endpoint.output_schema) = (None, None);
    }
    loop {
        let signed = card.seal(&key);
        if fits(&signed) || card.endpoints.pop().is_none() {
            return (card, signed);
        }
    }
}

/// Bytes of a description: a card with many endpoints must still fit into its limit.
const DESCRIPTION_MAX: usize = 1_024;

impl About {
    /// What would make every card of this node refused by others, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (what, text, max) in [
            ("name", &self.name, NAME_MAX),
            ("role", &self.role, NAME_MAX),
            ("description", &self.description, DESCRIPTION_MAX),
        ] {
            if text.len() > max {
                return Err(format!("the {what} has {} bytes, the limit is {max}", text.len()));
            }
            if text.chars().any(char::is_control) {
                return Err(format!("the {what} {text:?} holds control characters"));
            }
        }
        if self.name.is_empty() || self.name.contains(['/', ':', '@', ' ']) {
            return Err(format!(
                "\"{}\" is no name for a node: it may not be empty nor hold `/`, `:`, `@` or spaces",
                self.name
            ));
        }
        Ok(())
    }

    /// The card as of now, signed; `before` is the number of the last one of this run.
    pub(crate) fn card(
        &self,
        identity: &Identity,
        endpoints: Vec<EndpointInfo>,
        addresses: Vec<String>,
        before: Option<u64>,
    ) -> (Card, Signed) {
        let now = self.clock.now_ms();
        let card = Card {
            // Milliseconds rise across restarts without a counter on disk. Within a run it rises even if the clock is set back.
            seq: before.map_or(now, |before| now.max(before.saturating_add(1))),
            not_after: now.saturating_add(LIFE_MS),
            name: self.name.clone(),
            role: self.role.clone(),
            description: self.description.clone(),
            team: self.team.clone(),
            kind: "node".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: self.capabilities.clone(),
            endpoints,
            availability: self.availability.as_str().into(),
            load: Some(self.load),
            addresses,
            agent: self.agent.clone(),
            ..Card::new(self.key)
        };
        seal_within_limit(card, identity)
    }
}
