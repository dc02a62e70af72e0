//! The node's own endpoints, all under `_node.`.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use p2pnode_wire::{
    card::{Capability, EndpointInfo},
    error::ErrorCode,
    event::Event,
    msgpack,
    talk::{self, Message},
};
use rmpv::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ask::Answerer,
    endpoint::{Arguments, Context, DynHandler, Endpoint, EndpointError, Endpoints, HandlerError, Run},
    node::{Node, WeakNode},
    value::to_json,
};

/// Takes an event that is brought straight, and tells whether this node acts on it.
pub(crate) const EVENT: &str = "_node.event";

/// What they need of the node.
pub(crate) struct NodeEndpoints {
    pub(crate) node: WeakNode,
    pub(crate) answerer: Answerer,
}

/// The answer of `_node.info`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    /// Its id.
    pub peer_id: String,
    /// Its name.
    pub name: String,
    /// Its role, or empty.
    pub role: String,
    /// Its description, or empty.
    pub description: String,
    /// Program and version.
    pub agent: String,
    /// The swarm in whose name it was asked.
    pub swarm: Option<String>,
    /// Names of its capabilities.
    pub capabilities: Vec<String>,
}

/// One of `_node.methods`.
#[derive(Debug, Serialize, JsonSchema)]
struct Method {
    name: String,
    description: String,
    tags: Vec<String>,
    input_schema: Option<String>,
    output_schema: Option<String>,
    idempotent: bool,
    streaming: bool,
}

impl From<EndpointInfo> for Method {
    fn from(info: EndpointInfo) -> Self {
        Self {
            name: info.name,
            description: info.description,
            tags: info.tags,
            input_schema: info.input_schema,
            output_schema: info.output_schema,
            idempotent: info.idempotent,
            streaming: info.streaming,
        }
    }
}

/// One of `_node.capabilities`.
#[derive(Debug, Serialize, JsonSchema)]
struct Skill {
    name: String,
    description: String,
    input_schema: Option<String>,
    output_schema: Option<String>,
}

impl From<Capability> for Skill {
    fn from(c: Capability) -> Self {
        Self { name: c.name, description: c.description, input_schema: c.input_schema, output_schema: c.output_schema }
    }
}

/// One of `_node.peers`.
#[derive(Debug, Serialize, JsonSchema)]
struct Neighbour {
    peer_id: String,
    name: String,
    role: String,
    state: &'static str,
    capabilities: Vec<String>,
    addresses: Vec<String>,
}

/// The arguments of `_node.ask`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Question {
    task: String,
    #[serde(default)]
    context: BTreeMap<String, serde_json::Value>,
}

fn up(node: &WeakNode) -> Result<Node, HandlerError> {
    node.upgrade().ok_or_else(|| HandlerError::code(ErrorCode::AgentUnavailable, "the node is stopping"))
}

impl NodeEndpoints {
    pub(crate) fn register(self, endpoints: &Endpoints) -> Result<(), EndpointError> {
        let add = |(endpoint, handler)| endpoints.register_reserved(endpoint, handler);
        add(Endpoint::new("_node.ping").idempotent().with_handler(|_: Context, ()| async { Ok("pong") }))?;
        let listed = endpoints.clone();
        add(Endpoint::new("_node.methods").idempotent().with_handler(move |_: Context, ()| {
            let methods: Vec<Method> = listed.published().into_iter().map(Method::from).collect();
            async { Ok(methods) }
        }))?;
        let node = self.node.clone();
        add(Endpoint::new("_node.info").idempotent().with_handler(move |cx: Context, ()| {
            let info = up(&node).map(|node| info(&node, cx.swarm));
            async { info }
        }))?;
        let node = self.node.clone();
        add(Endpoint::new("_node.capabilities").idempotent().with_handler(move |_: Context, ()| {
            let skills = up(&node).map(|node| skills(&node));
            async { skills }
        }))?;
        let node = self.node.clone();
        add(Endpoint::new("_node.peers").idempotent().with_handler(move |cx: Context, ()| {
            let peers = up(&node).map(|node| neighbours(&node, cx.swarm.as_deref()));
            async { peers }
        }))?;
        let (node, answerer, served) = (self.node.clone(), self.answerer.clone(), endpoints.clone());
        // Public: an answer is brought by whoever has one, and its event is checked like any other.
        endpoints.register_reserved(
            Endpoint::new(EVENT).public().idempotent(),
            Run::Once(Arc::new(Brought { node, answerer, endpoints: served })),
        )?;
        crate::artifacts::register(&self.node, endpoints)?;
        crate::history::register(&self.node, endpoints)?;
        let answerer = self.answerer;
        add(Endpoint::new("_node.ask").with_handler(move |cx: Context, question: Question| {
            let answerer = answerer.clone();
            async move {
                let context = question.context.iter().map(|(k, v)| (k.clone(), crate::value::from_json(v))).collect();
                let reply: Value = answerer.answer_call(&cx, question.task, context).await?;
                Ok(to_json(&reply))
            }
        }))
    }
}

struct Brought {
    node: WeakNode,
    answerer: Answerer,
    endpoints: Endpoints,
}

impl DynHandler for Brought {
    fn call(&self, cx: Context, args: Arguments) -> BoxFuture<'static, Result<Bytes, HandlerError>> {
        let (node, answerer, endpoints) = (self.node.clone(), self.answerer.clone(), self.endpoints.clone());
        async move {
            let invalid = |why: String| HandlerError::code(ErrorCode::InvalidArgument, why);
            let (raw,): (serde_bytes::ByteBuf,) = msgpack::decode(&args.args).map_err(|e| invalid(e.to_string()))?;
            let (node, raw) = (up(&node)?, Bytes::from(raw.into_vec()));
            let (event, _) = Event::peek(raw.clone()).map_err(|e| invalid(e.to_string()))?;
            let message = (event.kind == talk::kind::MESSAGE).then(|| Message::decode(&event.body).ok()).flatten();
            let acts = message.is_some_and(|message| match message.endpoint.as_str() {
                talk::ASK => answerer.takes_asks(),
                name => endpoints.get(name).is_some(),
            });
            if acts && !node.vicinity().lets_in(&cx.caller.id) {
                let refusal = crate::access::refusal();
                return Err(HandlerError::code(refusal.code, refusal.message));
            }
            node.inject(cx.caller.id, raw).await.map_err(|why| invalid(why.to_string()))?;
            Ok(Bytes::from(msgpack::encode(&acts)))
        }
        .boxed()
    }
}

fn info(node: &Node, swarm: Option<String>) -> Info {
    let card = node.card();
    let text = |field: Option<String>| field.unwrap_or_default();
    Info {
        peer_id: node.peer_id().to_string(),
        name: node.name().to_owned(),
        role: text(card.as_ref().map(|c| c.role.clone())),
        description: text(card.as_ref().map(|c| c.description.clone())),
        agent: text(card.as_ref().map(|c| c.agent.clone())),
        swarm,
        capabilities: card.map(|c| c.capabilities.into_iter().map(|c| c.name).collect()).unwrap_or_default(),
    }
}

fn skills(node: &Node) -> Vec<Skill> {
    node.card().map(|card| card.capabilities.into_iter().map(Skill::from).collect()).unwrap_or_default()
}

/// Members of the swarm in whose name the call came; of other swarms nothing is told.
fn neighbours(node: &Node, swarm: Option<&str>) -> Vec<Neighbour> {
    let Some(swarm) = swarm else { return Vec::new() };
    let members = node.members(swarm).into_iter().filter(|peer| !peer.ephemeral);
    members
        .map(|peer| Neighbour {
            peer_id: peer.id.to_string(),
            name: peer.name,
            role: peer.role,
            state: peer.state.as_str(),
            capabilities: peer.capabilities.into_iter().map(|c| c.name).collect(),
            addresses: peer.addresses.into_iter().map(|a| a.addr.to_string()).collect(),
        })
        .collect()
}
