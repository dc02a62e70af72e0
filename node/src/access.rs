//! Who may call and ask in an open swarm.

use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::upkeep;
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{SwarmId, SwarmName},
};

use crate::{
    builder::Allow,
    endpoint::{Access, Admission, Refused},
};

/// Members of our open swarms, on this host or from a private range, unless [`Allow::Any`].
pub(crate) struct OpenSwarms {
    pub(crate) own: PeerId,
    pub(crate) swarms: Vec<(SwarmId, SwarmName)>,
    pub(crate) allow: Allow,
}

/// What a member hears who calls from too far away: it may know, being a member.
pub(crate) fn refusal() -> RpcError {
    let message = "this node answers callers of its own network only; its owner can start it with `--allow any`";
    RpcError::new(ErrorCode::PermissionDenied, message)
}

impl Access for OpenSwarms {
    fn check(
        &self,
        peer: &PeerId,
        remote: &Multiaddr,
        swarm: Option<&SwarmId>,
        public: bool,
    ) -> Result<Admission, Refused> {
        let joined = swarm.and_then(|id| self.swarms.iter().find(|(own, _)| own == id));
        let admission = Admission { swarm: joined.map(|(_, name)| name.clone()) };
        if public || *peer == self.own {
            return Ok(admission);
        }
        if joined.is_none() {
            return Err(Refused::Absent);
        }
        if self.allow == Allow::Any || upkeep::is_private(remote) {
            return Ok(admission);
        }
        Err(Refused::Told(refusal()))
    }
}
