//! By which words events and messages are found.

use p2pnode_wire::{
    event::Event,
    mail::{Mail, Part},
    msgpack,
};
use rmpv::Value;

use crate::{talk::Said, value::to_json};

/// Characters of one entry that are searched.
const MOST: usize = 64 * 1024;

/// The words of an event.
pub(crate) fn of_event(event: &Event) -> String {
    of_said(&Said::read(event))
}

/// The words of what was said.
pub(crate) fn of_said(said: &Said) -> String {
    let mut words = Vec::new();
    match said {
        Said::Ask { text, context } => {
            words.push(text.clone());
            words.extend(context.values().map(of_value));
        }
        Said::Broadcast { endpoint, args, kwargs } => {
            words.push(endpoint.clone());
            words.extend(args.iter().chain(kwargs.values()).map(of_value));
        }
        Said::Progress(text) => words.push(text.clone()),
        Said::Reply(value) => words.push(of_value(value)),
        Said::Failed(error) => words.push(error.message.clone()),
        Said::Emitted { subject, data } => words.extend([subject.clone(), of_value(data)]),
        Said::Ack | Said::Leave | Said::Other { .. } => {}
    }
    cut(words.join("\n"))
}

/// The words of a message.
pub(crate) fn of_mail(mail: &Mail) -> String {
    let words = mail.parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Data(data) => msgpack::decode::<Value>(data).map(|value| of_value(&value)).unwrap_or_default(),
        Part::File { name, .. } => name.clone(),
        _ => String::new(),
    });
    cut(words.collect::<Vec<_>>().join("\n"))
}

fn of_value(value: &Value) -> String {
    match value {
        Value::Nil | Value::Binary(_) => String::new(),
        Value::String(text) => text.as_str().unwrap_or_default().to_owned(),
        other => to_json(other).to_string(),
    }
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(MOST) {
        text.truncate(at);
    }
    text
}
