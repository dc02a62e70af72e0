//! Which verbs the control socket has, and how their options become JSON and back.

use serde_json::{Map, Value};

use crate::{
    args::{Verb, given::span, value::duration},
    error::CliError,
};

/// One line per verb: its name, which is also its route, and its variant.
macro_rules! verbs {
    ($($name:literal => $variant:ident,)*) => {
        /// All verbs with a route.
        pub(super) const NAMES: &[&str] = &[$($name),*];

        /// A verb by name, with its options.
        fn verb_of(name: &str, options: Value) -> Option<serde_json::Result<Verb>> {
            match name {
                $($name => Some(serde_json::from_value(options).map(Verb::$variant)),)*
                _ => None,
            }
        }

        /// The options of a verb, if it has a route.
        fn options_of(verb: &Verb) -> Option<serde_json::Result<Value>> {
            match verb {
                $(Verb::$variant(args) => Some(serde_json::to_value(args)),)*
                _ => None,
            }
        }

        /// Whether a verb has a route.
        pub(super) fn has_route(verb: &Verb) -> bool {
            match verb {
                $(Verb::$variant(_) => true,)*
                _ => false,
            }
        }
    };
}

verbs! {
    "artifact" => Artifact,
    "ask" => Ask,
    "availability" => Availability,
    "block" => Block,
    "broadcast" => Broadcast,
    "call" => Call,
    "conv" => Conv,
    "dht" => Dht,
    "emit" => Emit,
    "find" => Find,
    "history" => History,
    "inbox" => Inbox,
    "invite" => Invite,
    "join" => Join,
    "members" => Members,
    "mute" => Mute,
    "names" => Names,
    "netcheck" => Netcheck,
    "outbox" => Outbox,
    "peer" => Peer,
    "peers" => Peers,
    "ping" => Ping,
    "reply" => Reply,
    "schedule" => Schedule,
    "send" => Send,
    "status" => Status,
    "subscribe" => Subscribe,
    "swarms" => Swarms,
    "unblock" => Unblock,
    "unmute" => Unmute,
    "wait" => Wait,
    "watch" => Watch,
}

/// Routes for a look: path and verb.
pub(super) const LOOKS: &[(&str, &str)] = &[
    ("status", "status"),
    ("peers", "peers"),
    ("swarms", "swarms"),
    ("members", "members"),
    ("inbox", "inbox"),
    ("outbox", "outbox"),
    ("schedules", "schedule"),
    ("events", "watch"),
];

/// Options that every verb takes besides its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Common {
    /// Which swarm.
    pub(super) swarm: Option<String>,
    /// Limit for the whole command.
    pub(super) timeout: Option<std::time::Duration>,
    /// Tell more: of one-command nodes, of what this node hears.
    pub(super) verbose: bool,
}

impl Common {
    /// Takes its options out of a verb's.
    fn take(options: &mut Map<String, Value>) -> Result<Self, CliError> {
        let wrong = |name: &str, value: &Value| CliError::usage(format!("`{name}` cannot be {value}"));
        let mut take = |name: &str| options.remove(name).filter(|value| !value.is_null());
        let swarm = take("swarm").map(|value| match value {
            Value::String(text) => Ok(text),
            other => Err(wrong("swarm", &other)),
        });
        let timeout = take("timeout").map(|value| match &value {
            Value::String(text) => duration(text).map_err(CliError::usage),
            Value::Number(seconds) => duration(&seconds.to_string()).map_err(CliError::usage),
            other => Err(wrong("timeout", other)),
        });
        let verbose = take("verbose").map(|value| value.as_bool().ok_or_else(|| wrong("verbose", &value)));
        Ok(Self {
            swarm: swarm.transpose()?,
            timeout: timeout.transpose()?,
            verbose: verbose.transpose()?.unwrap_or_default(),
        })
    }

    fn put(&self, options: &mut Map<String, Value>) {
        if let Some(swarm) = &self.swarm {
            options.insert("swarm".into(), swarm.as_str().into());
        }
        if let Some(timeout) = self.timeout {
            options.insert("timeout".into(), span::text(timeout).into());
        }
        if self.verbose {
            options.insert("verbose".into(), true.into());
        }
    }
}

/// Reads a request's options. A file can be written only by a client that says it is one: `files`.
pub(super) fn read(name: &str, mut options: Map<String, Value>, files: bool) -> Result<(Verb, Common), CliError> {
    let common = Common::take(&mut options)?;
    if name == "schedule" && options.is_empty() {
        options.insert("list".into(), Value::Object(Map::new()));
    }
    let out = options.get("out").or_else(|| options.get("get")?.get("out")).is_some();
    if out && !files {
        return Err(CliError::usage(format!(
            "{name}: `out` names a file of the client; take the result from the answer"
        )));
    }
    let verb = verb_of(name, Value::Object(options)).ok_or_else(|| CliError::internal(format!("no verb {name}")))?;
    let verb = verb.map_err(|error| {
        CliError::usage(format!("{name}: {error}"))
            .maybe("every verb also takes `swarm`, `timeout` and `verbose`")
            .try_also(format!("p2pnode {name} --help"), "its options, which have the same names here")
    })?;
    Ok((verb, common))
}

/// The body of a request; none if the verb has no route or its values cannot be told in JSON.
pub(super) fn write(verb: &Verb, common: &Common) -> Option<String> {
    let Value::Object(mut options) = options_of(verb)?.ok()? else { return None };
    options.retain(|_, value| !value.is_null());
    common.put(&mut options);
    Some(crate::output::json::ascii(&Value::Object(options)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::{Parsed, parse};

    async fn typed(line: &[&str]) -> Verb {
        let words: Vec<_> = std::iter::once("p2pnode").chain(line.iter().copied()).map(Into::into).collect();
        let mut verb = match parse(&words) {
            Parsed::Run(cli) => cli.verb,
            other => panic!("{line:?}: {other:?}"),
        };
        crate::input::read(&mut verb).await.unwrap();
        verb
    }

    fn object(options: Value) -> Map<String, Value> {
        match options {
            Value::Object(options) => options,
            other => panic!("no object: {other}"),
        }
    }

    fn sent(name: &str, options: Value) -> Result<(Verb, Common), CliError> {
        read(name, object(options), true)
    }

    /// What is not the same in JSON and on the command line: words that were read.
    fn shown(verb: &Verb) -> String {
        let text = format!("{verb:?}");
        let cut = text.find("words: [").and_then(|from| Some((from, text[from..].find(']')? + from)));
        let text = cut.map_or(text.clone(), |(from, to)| format!("{}{}", &text[..from], &text[to..]));
        text.replace("broadcast_swarm: \"garden\"", "broadcast_swarm: \"\"")
    }

    #[tokio::test]
    async fn defaults_are_those_of_the_command_line() {
        for (line, options) in [
            (&["ask", "hi"][..], json!({"text": "hi"})),
            (&["call", "calc", "--list"], json!({"target": "calc", "list": true})),
            (&["call", "calc", "sum"], json!({"target": "calc", "endpoint": "sum"})),
            (&["broadcast", "garden", "hi"], json!({"args": ["hi"]})),
            (&["emit", "a.b"], json!({"subject": "a.b"})),
            (&["subscribe", "a.>"], json!({"pattern": "a.>"})),
            (&["find", "words"], json!({"text": "words"})),
            (&["ping", "calc"], json!({"target": "calc"})),
            (&["peer", "calc"], json!({"target": "calc"})),
            (&["peers"], json!({})),
            (&["members"], json!({})),
            (&["swarms"], json!({})),
            (&["watch"], json!({})),
            (&["status"], json!({})),
            (&["wait", "online"], json!({"conditions": ["online"]})),
            (&["dht", "get", "x/y"], json!({"get": {"key": "x/y"}})),
            (&["send", "moss", "hi"], json!({"target": "moss", "text": "hi"})),
            (&["reply", "hi"], json!({"text": "hi"})),
            (&["inbox"], json!({})),
            (&["inbox", "read", "a1", "b2"], json!({"verb": {"read": {"ids": ["a1", "b2"]}}})),
            (&["inbox", "purge"], json!({"verb": {"purge": {}}})),
            (&["outbox", "rm", "a1"], json!({"verb": {"rm": {"id": "a1"}}})),
            (&["conv", "list"], json!({"list": {}})),
            (&["conv", "export", "a1"], json!({"export": {"id": "a1"}})),
            (&["history", "list"], json!({"list": {}})),
            (&["history", "search", "x"], json!({"search": {"text": "x"}})),
            (&["history", "cleanup", "--max-size", "1kB"], json!({"cleanup": {"max_size": 1000}})),
            (&["schedule", "list"], json!({})),
            (&["schedule", "rm", "x"], json!({"rm": {"name": "x"}})),
            (&["schedule", "next", "x"], json!({"next": {"what": "x"}})),
        ] {
            let (verb, common) = sent(line[0], options).unwrap();
            assert_eq!(shown(&verb), shown(&typed(line).await), "{line:?}");
            assert_eq!(common, Common::default());
        }
    }

    #[tokio::test]
    async fn what_is_typed_comes_out_the_same_at_the_other_end() {
        for line in [
            &["ask", "hi", "--first", "--wait-first", "3s", "--context", "a=1", "--to", "x"][..],
            &[
                "call", "calc", "sum", "1", "two", "[3]", "-k", "b=2", "-k", "a=1.5", "--pick", "random", "--repeat",
                "3",
            ],
            &["broadcast", "garden", "--endpoint", "sum", "1", "--replies", "2", "--wait", "1500us"],
            &["emit", "a.b", "{\"n\":1}"],
            &["find", "--cap", "x", "--limit", "3"],
            &["peers", "--cap", "a", "--cap", "b", "--sort", "rtt", "--ids"],
            &["swarms", "--scan", "2s"],
            &["ping", "calc", "-c", "3", "-i", "200ms"],
            &["wait", "peers", "3", "cap", "x"],
            &["dht", "put", "motd", "ten"],
            &["status", "--strict"],
            &[
                "send",
                "moss",
                "hi",
                "--ask",
                "--response",
                "--priority",
                "5",
                "--expires",
                "1h",
                "--conversation",
                "a1",
            ],
            &["reply", "a1", "hi"],
            &["inbox", "--unread", "--from", "moss"],
            &["inbox", "archive", "a1"],
            &["conv", "export", "a1", "--format", "md"],
            &["history", "search", "x y", "--logic", "or", "--days", "3", "--kind", "ask", "--format", "csv"],
            &["history", "cleanup", "--older-than", "30d", "--dry-run"],
            &["schedule", "next", "every 1h", "-n", "3", "--from", "2026-10-24", "--tz", "Europe/London"],
        ] {
            let mut verb = typed(line).await;
            if let Verb::Call(call) = &mut verb {
                call.named.sort_by(|a, b| a.0.cmp(&b.0));
            }
            let common = Common { swarm: Some("ops".into()), verbose: true, ..Common::default() };
            let body = write(&verb, &common).unwrap();
            let (read, again) = sent(line[0], serde_json::from_str(&body).unwrap()).unwrap();
            assert_eq!(shown(&read), shown(&verb), "{line:?}: {body}");
            assert_eq!(again, common);
        }
    }

    #[test]
    fn unknown_and_missing_options_are_named() {
        let told = |name: &str, options: Value| sent(name, options).unwrap_err().facts().message.clone();
        assert!(told("ask", json!({"text": "hi", "frist": true})).contains("unknown field `frist`"));
        assert!(told("peers", json!({"capp": []})).contains("unknown field `capp`"));
        assert!(told("members", json!({"capp": []})).contains("unknown field `capp`"));
        assert!(told("dht", json!({"get": {"key": "a/b", "x": 1}})).contains("unknown field `x`"));
        assert!(told("dht", json!({"drop": {}})).contains("unknown variant `drop`"));
        assert!(told("ask", json!({})).contains("missing field `text`"));
        assert!(told("ask", json!({"text": "hi", "replies": 0})).contains("from 1 upwards"));
        assert!(told("ask", json!({"text": "hi", "timeout": "soon"})).contains("no duration"));
        assert!(told("ask", json!({"text": "hi", "swarm": 7})).contains("`swarm`"));
        let error = read("call", object(json!({"target": "x", "endpoint": "y", "out": "/etc/passwd"})), false);
        assert!(error.unwrap_err().facts().message.contains("file of the client"));
        let error = read("dht", object(json!({"get": {"key": "x/y", "out": "/etc/passwd"}})), false);
        assert!(error.unwrap_err().facts().message.contains("file of the client"));
    }

    #[tokio::test]
    async fn what_json_cannot_hold_is_not_sent() {
        let common = Common::default();
        assert!(write(&typed(&["call", "c", "e", "-k", "a=1", "-k", "a=2"]).await, &common).is_none());
        assert!(write(&typed(&["version"]).await, &common).is_none());
        let unread = match parse(&["p2pnode".into(), "call".into(), "c".into(), "e".into(), "@file".into()]) {
            Parsed::Run(cli) => cli.verb,
            other => panic!("{other:?}"),
        };
        assert!(write(&unread, &common).is_none(), "the daemon opens no files");
    }

    #[test]
    fn every_look_has_a_verb() {
        assert!(LOOKS.iter().all(|(_, verb)| NAMES.contains(verb)));
    }
}
