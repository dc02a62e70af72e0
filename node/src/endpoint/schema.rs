//! Names and types of arguments, from the handler's type.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value as Json;

/// What kind of arguments a type takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Nothing,
    /// Fields, in the order of the struct.
    Struct(Vec<String>),
    Tuple(usize),
    One,
}

/// The JSON Schema of a type, inlined, with fields in the order of the struct.
pub(super) fn schema_of<T: JsonSchema>() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

pub(super) fn shape_of<T: JsonSchema>() -> Shape {
    shape(&schema_of::<T>())
}

pub(super) fn shape(schema: &Json) -> Shape {
    let kind = schema.get("type").and_then(Json::as_str);
    if let Some(fields) = schema.get("properties").and_then(Json::as_object) {
        return Shape::Struct(fields.keys().cloned().collect());
    }
    if let Some(items) = schema.get("prefixItems").and_then(Json::as_array) {
        return Shape::Tuple(items.len());
    }
    match kind {
        Some("null") => Shape::Nothing,
        _ => Shape::One,
    }
}

/// An argument, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; `value` for the argument of a handler that takes one, `0`, `1`, … in a tuple.
    pub name: String,
    /// `integer`, `string`, `any`, …
    pub kind: String,
    /// It may be left out.
    pub optional: bool,
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}: {}", self.name, if self.optional { "?" } else { "" }, self.kind)
    }
}

/// The arguments that a JSON Schema describes.
pub fn parameters(schema: &Json) -> Vec<Parameter> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_array)
        .map(|names| names.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    match shape(schema) {
        Shape::Nothing => Vec::new(),
        Shape::Struct(fields) => fields
            .into_iter()
            .map(|name| Parameter {
                kind: kind(schema.pointer(&format!("/properties/{}", name.replace('~', "~0").replace('/', "~1")))),
                optional: !required.contains(&name.as_str()),
                name,
            })
            .collect(),
        Shape::Tuple(n) => (0..n)
            .map(|i| Parameter {
                name: i.to_string(),
                kind: kind(schema.pointer(&format!("/prefixItems/{i}"))),
                optional: false,
            })
            .collect(),
        Shape::One => vec![Parameter { name: "value".into(), kind: kind(Some(schema)), optional: false }],
    }
}

/// The type in a word; `null` beside another type only says that it may be left out.
fn kind(schema: Option<&Json>) -> String {
    let Some(schema) = schema else { return "any".into() };
    let words: Vec<&str> = match schema.get("type") {
        Some(Json::String(word)) => vec![word],
        Some(Json::Array(words)) => words.iter().filter_map(Json::as_str).filter(|w| *w != "null").collect(),
        _ if schema.get("enum").is_some() => vec!["enum"],
        _ => vec!["any"],
    };
    if words == ["array"] {
        return format!("[{}]", kind(schema.get("items")));
    }
    words.join("|")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its shape is looked at")]
    struct Order {
        zebra: i64,
        apple: Option<String>,
        #[serde(default)]
        mango: Vec<f64>,
    }

    #[test]
    fn fields_keep_their_order_and_types() {
        let shown: Vec<String> = parameters(&schema_of::<Order>()).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["zebra: integer", "apple?: string", "mango?: [number]"]);
    }

    #[test]
    fn every_kind_of_handler_type() {
        assert_eq!(shape_of::<()>(), Shape::Nothing);
        assert_eq!(shape_of::<(i64, String)>(), Shape::Tuple(2));
        assert_eq!(shape_of::<String>(), Shape::One);
        assert_eq!(shape_of::<Vec<u8>>(), Shape::One);
        assert_eq!(parameters(&schema_of::<String>())[0].to_string(), "value: string");
        assert_eq!(parameters(&Json::Bool(true))[0].to_string(), "value: any");
    }
}
