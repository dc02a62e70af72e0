//! Options in the query of a GET: `?cap=pytest&online=true&swarm=garden`.

use serde_json::{Map, Value};

/// Options that may be given more than once.
const LISTS: [&str; 2] = ["cap", "kind"];

/// The options as JSON; serde judges them.
pub(super) fn options(pairs: Vec<(String, String)>) -> Map<String, Value> {
    let mut options = Map::new();
    for (name, text) in pairs {
        if LISTS.contains(&name.as_str()) {
            let values = text.split(',').filter(|value| !value.is_empty()).map(Value::from);
            if let Value::Array(list) = options.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                list.extend(values);
            }
            continue;
        }
        let value = match text.as_str() {
            "true" | "" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::String(text),
        };
        options.insert(name, value);
    }
    options
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_become_options() {
        let pairs =
            [("cap", "a,b"), ("cap", "c"), ("online", "true"), ("ids", ""), ("swarm", "garden"), ("kind", "ask")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let expected = json!({"cap": ["a", "b", "c"], "online": true, "ids": true, "swarm": "garden", "kind": ["ask"]});
        assert_eq!(Value::Object(options(pairs)), expected);
    }
}
