//! The handlers of `up --demo`: enough to try everything, nothing about the host or its user.

use std::{borrow::Cow, env::consts};

use p2pnode::{Ask, Builder, Context, Endpoint, HandlerError, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// What it serves, in the order it is told.
pub(crate) const SERVED: [&str; 4] = ["ask", "echo", "sum", "time"];

/// Arguments of `sum`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Sum {
    /// First number.
    a: i64,
    /// Second number.
    b: i64,
}

/// Arguments of `echo`.
#[derive(Debug, Deserialize, JsonSchema)]
struct Echo {
    /// What comes back.
    value: Any,
}

/// Any value, bytes included: JSON's cannot hold them.
#[derive(Debug, Deserialize, Serialize)]
#[serde(transparent)]
struct Any(Value);

impl JsonSchema for Any {
    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::default()
    }
}

/// Adds the handlers. `name` is what the node calls itself.
pub(crate) fn serve(builder: Builder, name: &str) -> Builder {
    let name = name.to_owned();
    builder
        .ask(move |cx: Ask, task: String| answer(cx, name.clone(), task))
        .endpoint(Endpoint::new("echo").describe("Returns what it gets"), |_: Context, echo: Echo| async move {
            Ok(echo.value)
        })
        .endpoint(
            Endpoint::new("sum").describe("Add two numbers").idempotent(),
            |_: Context, Sum { a, b }: Sum| async move {
                a.checked_add(b).ok_or_else(|| HandlerError::new(format!("{a} + {b} does not fit into 64 bits")))
            },
        )
        .endpoint(Endpoint::new("time").describe("The time here, in UTC"), |_: Context, ()| async move {
            Ok(crate::output::json::now())
        })
}

async fn answer(cx: Ask, name: String, task: String) -> Result<Value, HandlerError> {
    cx.ack().await?;
    Ok(Value::from(text(&name, &task)))
}

fn text(name: &str, task: &str) -> String {
    let served = SERVED.join(", ");
    format!("I am {name} on {}/{}. I can: {served}. You asked: \"{task}\"", consts::OS, consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_the_node_and_what_it_can() {
        let text = text("fern-7q2k", "who is there?");
        assert!(text.starts_with("I am fern-7q2k on "), "{text}");
        assert!(text.ends_with("I can: ask, echo, sum, time. You asked: \"who is there?\""), "{text}");
    }
}
