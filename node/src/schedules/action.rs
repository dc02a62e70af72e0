//! What a schedule does when it runs.

use std::{fmt, sync::Arc, time::Duration};

use p2pnode_wire::subject::Subject;
use rmpv::Value;
use serde::{Deserialize, Serialize};

use super::{
    error::SchedulesError,
    exec::{ExecFn, ExecRun},
};
use crate::{
    endpoint::{Arguments, HandlerError},
    node::Node,
    schedule::Run,
};

/// One run takes no longer: what waits for ever would fill the 64 places of its schedule.
const RUN_LIMIT: Duration = Duration::from_secs(600);

/// The first look around takes no longer; a run does not wait for more.
const DISCOVERY: Duration = Duration::from_secs(10);

/// What a schedule does when it runs. An empty swarm is the first one of the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Action {
    /// Puts a question to a swarm. It went well if somebody replied.
    Ask {
        /// Which swarm.
        #[serde(default)]
        swarm: String,
        /// The question.
        text: String,
    },
    /// Calls an endpoint of everybody in a swarm who serves it. It went well if a member took it.
    Broadcast {
        /// Which swarm.
        #[serde(default)]
        swarm: String,
        /// Which endpoint.
        endpoint: String,
        /// Arguments by position.
        #[serde(default, with = "values")]
        args: Vec<Value>,
    },
    /// Tells a swarm that something happened. It went well if a member took it.
    Emit {
        /// Which swarm.
        #[serde(default)]
        swarm: Option<String>,
        /// What happened.
        subject: String,
        /// More about it.
        #[serde(default = "nil", with = "value")]
        data: Value,
    },
    /// Runs a command, by what [`Builder::exec`](crate::Builder::exec) was given.
    Exec {
        /// The command and its arguments.
        argv: Vec<String>,
    },
}

fn nil() -> Value {
    Value::Nil
}

/// A value as JSON, bytes as `{"$bin": "<base64>"}`.
mod value {
    use rmpv::Value;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        crate::value::to_json(value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        serde_json::Value::deserialize(deserializer).map(|json| crate::value::from_json(&json))
    }
}

/// The same for several.
mod values {
    use rmpv::Value;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[Value], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(crate::value::to_json))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
        let values = Vec::<serde_json::Value>::deserialize(deserializer)?;
        Ok(values.iter().map(crate::value::from_json).collect())
    }
}

/// As people read it: `ask garden "daily digest"`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let swarm = |name: &str| if name.is_empty() { String::new() } else { format!(" {name}") };
        match self {
            Self::Ask { swarm: name, text } => write!(f, "ask{} {text:?}", swarm(name)),
            Self::Broadcast { swarm: name, endpoint, .. } => write!(f, "broadcast{} {endpoint}", swarm(name)),
            Self::Emit { swarm: name, subject, .. } => {
                write!(f, "emit{} {subject}", swarm(name.as_deref().unwrap_or_default()))
            }
            Self::Exec { argv } => write!(f, "exec {}", argv.join(" ")),
        }
    }
}

impl Action {
    /// The swarm it is for; empty for the first one, none if it is for none.
    pub fn swarm(&self) -> Option<&str> {
        match self {
            Self::Ask { swarm, .. } | Self::Broadcast { swarm, .. } => Some(swarm),
            Self::Emit { swarm, .. } => Some(swarm.as_deref().unwrap_or_default()),
            Self::Exec { .. } => None,
        }
    }

    /// Whether this node could do it.
    pub(super) fn check(&self, node: &Node, exec: bool) -> Result<(), SchedulesError> {
        if let Some(swarm) = self.swarm().filter(|swarm| node.swarm_id(swarm).is_none()) {
            let joined = node.swarms().join(", ");
            return Err(SchedulesError::Action(match swarm {
                "" => "the node is in no swarm that it could talk to".to_owned(),
                _ => format!("the node is not in swarm \"{swarm}\", but in {joined}"),
            }));
        }
        let wrong = |text: &str| Err(SchedulesError::Action(text.to_owned()));
        match self {
            Self::Ask { text, .. } if text.trim().is_empty() => wrong("the question is empty"),
            Self::Broadcast { endpoint, .. } if endpoint.is_empty() => wrong("the endpoint has no name"),
            Self::Emit { subject, .. } => match subject.parse::<Subject>() {
                Ok(_) => Ok(()),
                Err(error) => Err(SchedulesError::Action(error.to_string())),
            },
            Self::Exec { argv } if argv.first().is_none_or(String::is_empty) => wrong("the command is empty"),
            Self::Exec { .. } if !exec => Err(SchedulesError::NoExec),
            _ => Ok(()),
        }
    }

    /// Does it, within [`RUN_LIMIT`].
    pub(super) async fn perform(
        self,
        node: Node,
        schedule: String,
        run: Run,
        exec: Option<Arc<ExecFn>>,
    ) -> Result<(), HandlerError> {
        let work = Box::pin(self.do_it(node, schedule, run, exec));
        let late = || HandlerError::new(format!("not done within {} min", RUN_LIMIT.as_secs() / 60));
        tokio::time::timeout(RUN_LIMIT, work).await.unwrap_or_else(|_| Err(late()))
    }

    async fn do_it(
        self,
        node: Node,
        schedule: String,
        run: Run,
        exec: Option<Arc<ExecFn>>,
    ) -> Result<(), HandlerError> {
        if self.swarm().is_some() {
            // A run at the start of the node would find nobody yet.
            node.discovered(DISCOVERY).await;
        }
        let failed = |error: &dyn fmt::Display| HandlerError::new(error.to_string());
        match self {
            Self::Ask { swarm, text } => {
                let mut asked = node.ask(swarm, text).timeout(RUN_LIMIT).await.map_err(|error| failed(&error))?;
                let outcome = asked.outcome().await.ok_or_else(|| HandlerError::new("the node is stopping"))?;
                match (outcome.replies, outcome.failures) {
                    (0, 0) => Err(HandlerError::new("nobody answered")),
                    (0, failures) => Err(HandlerError::new(format!("{failures} failed, nobody replied"))),
                    _ => Ok(()),
                }
            }
            Self::Broadcast { swarm, endpoint, args } => {
                let sent = node.broadcast(endpoint, Arguments::new(args, Vec::new())).to(swarm).await;
                taken(sent.map_err(|error| failed(&error))?.reached())
            }
            Self::Emit { swarm, subject, data } => {
                let sent = node.emit(&subject, &data).to(swarm.unwrap_or_default()).await;
                taken(sent.map_err(|error| failed(&error))?.reached)
            }
            Self::Exec { argv } => match exec {
                Some(exec) => exec(ExecRun { schedule, argv, due: run.due, cause: run.cause }).await,
                None => Err(HandlerError::new(SchedulesError::NoExec.to_string())),
            },
        }
    }
}

fn taken(reached: usize) -> Result<(), HandlerError> {
    if reached > 0 { Ok(()) } else { Err(HandlerError::new("nobody was there to take it")) }
}
