//! Names and types of arguments, from the handler's type.

use std::fmt;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value as Json;

/// Levels of a type that are written out; schemas come from peers, too.
const KIND_DEPTH: usize = 4;

/// Alternatives of a type that are written out.
const KIND_WIDTH: usize = 4;

/// Characters of a literal that are written out.
const LITERAL_MAX: usize = 24;

/// What kind of arguments a type takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Nothing,
    Struct(Fields),
    Tuple(Tuple),
    One(One),
}

/// The fields of a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    /// In the order of the struct.
    pub(super) names: Vec<String>,
    /// Their types in a word, in the same order.
    pub(super) kinds: Vec<String>,
    /// Other keywords are welcome: a flattened map takes them.
    pub(super) open: bool,
}

impl Fields {
    pub(super) fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    pub(super) fn kind(&self, at: usize) -> &str {
        self.kinds.get(at).map_or("", String::as_str)
    }
}

/// The positions of a tuple.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tuple {
    /// How many there are without the optional ones at the end.
    pub(super) least: usize,
    /// The type of each in a word.
    pub(super) kinds: Vec<String>,
    /// None of them will do as well: it is an `Option` of a tuple.
    pub(super) nullable: bool,
}

/// The one argument of any other type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct One {
    /// None will do: it is nil then.
    pub(super) nullable: bool,
    /// Its type in a word.
    pub(super) kind: String,
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.kinds.len()) {
            (1, 1) => f.write_str("one argument"),
            (least, most) if least == most => write!(f, "{most} arguments"),
            (least, most) => write!(f, "{least} to {most} arguments"),
        }
    }
}

/// The JSON Schema of a type, inlined, with fields in the order of the struct (schemars' `preserve_order`; the alphabet
/// would give positional arguments to the wrong fields).
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
    let nullable = is_nullable(schema);
    let schema = without_null(schema);
    let kind = |part: &Json| kind(Some(part), KIND_DEPTH);
    if let Some(properties) = schema.get("properties").and_then(Json::as_object) {
        let (names, kinds) = properties.iter().map(|(name, property)| (name.clone(), kind(property))).unzip();
        return Shape::Struct(Fields { names, kinds, open: is_open(schema) });
    }
    if let Some(items) = schema.get("prefixItems").and_then(Json::as_array) {
        let optional = items.iter().rev().take_while(|item| is_nullable(item)).count();
        let least = items.len().saturating_sub(optional);
        return Shape::Tuple(Tuple { least, kinds: items.iter().map(kind).collect(), nullable });
    }
    if is_type(schema, "object") && !is_open(schema) && !is_choice(schema) {
        return Shape::Struct(Fields { names: Vec::new(), kinds: Vec::new(), open: false });
    }
    match schema.get("type").and_then(Json::as_str) {
        Some("null") => Shape::Nothing,
        _ => Shape::One(One { nullable, kind: kind(schema) }),
    }
}

fn is_type(schema: &Json, wanted: &str) -> bool {
    match schema.get("type") {
        Some(Json::String(word)) => word == wanted,
        Some(Json::Array(words)) => words.iter().any(|word| word == wanted),
        _ => false,
    }
}

/// Objects with other properties than the named ones: maps, and structs with a flattened map.
fn is_open(schema: &Json) -> bool {
    let given = |key| schema.get(key).is_some_and(|extra| *extra != Json::Bool(false));
    given("additionalProperties") || given("patternProperties")
}

fn is_choice(schema: &Json) -> bool {
    ["oneOf", "anyOf", "allOf", "$ref"].iter().any(|key| schema.get(key).is_some())
}

/// Whether the type is an `Option`.
fn is_nullable(schema: &Json) -> bool {
    let choices = schema.get("anyOf").and_then(Json::as_array);
    is_type(schema, "null") || choices.is_some_and(|choices| choices.iter().any(|choice| is_type(choice, "null")))
}

/// The type inside an `Option`, which schemars writes as `anyOf` where it has no `type` to add `null` to.
fn without_null(schema: &Json) -> &Json {
    let Some(choices) = schema.get("anyOf").and_then(Json::as_array) else { return schema };
    let mut others = choices.iter().filter(|choice| !is_type(choice, "null"));
    match (others.next(), others.next()) {
        (Some(one), None) => one,
        _ => schema,
    }
}

/// An argument, as lists show it: `b?: integer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; `value` for the argument of a handler that takes one, `0`, `1`, … in a tuple.
    pub name: String,
    /// `integer`, `[string]`, `"red"|"blue"`, `any`, …
    pub kind: String,
    /// It may be left out.
    pub optional: bool,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: {}", self.name, if self.optional { "?" } else { "" }, self.kind)
    }
}

/// The arguments that a JSON Schema describes, in the order of their positions.
pub fn parameters(schema: &Json) -> Vec<Parameter> {
    match shape(schema) {
        Shape::Nothing => Vec::new(),
        Shape::Struct(fields) => {
            let required = without_null(schema).get("required").and_then(Json::as_array);
            let optional = |name: &str| !required.is_some_and(|names| names.iter().any(|required| required == name));
            let fields = fields.names.into_iter().zip(fields.kinds);
            fields.map(|(name, kind)| Parameter { optional: optional(&name), name, kind }).collect()
        }
        Shape::Tuple(Tuple { least, kinds, nullable }) => {
            let positions = kinds.into_iter().enumerate();
            positions
                .map(|(at, kind)| Parameter { name: at.to_string(), kind, optional: nullable || at >= least })
                .collect()
        }
        Shape::One(One { nullable, kind }) => vec![Parameter { name: "value".into(), kind, optional: nullable }],
    }
}

/// The type in a word; `null` beside another type only says that it may be left out.
fn kind(schema: Option<&Json>, depth: usize) -> String {
    let (Some(schema), Some(depth)) = (schema, depth.checked_sub(1)) else { return "any".into() };
    if let Some(literals) = literals(schema) {
        return literals;
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(key).and_then(Json::as_array) {
            let choices = choices.iter().filter(|choice| choice.get("type") != Some(&Json::from("null")));
            return joined(choices.map(|choice| kind(Some(choice), depth)));
        }
    }
    match schema.get("type") {
        Some(Json::String(word)) => one_kind(schema, word, depth),
        Some(Json::Array(words)) => {
            let words = words.iter().filter_map(Json::as_str).filter(|word| *word != "null");
            joined(words.map(|word| one_kind(schema, word, depth)))
        }
        // A type that contains itself is an object; nothing else can be.
        _ if schema.get("$ref").is_some() => "object".into(),
        _ => "any".into(),
    }
}

fn one_kind(schema: &Json, word: &str, depth: usize) -> String {
    match word {
        "array" => format!("[{}]", kind(schema.get("items"), depth)),
        word => word.to_owned(),
    }
}

/// `"red"|"blue"`, if the schema lists a few short values.
fn literals(schema: &Json) -> Option<String> {
    let listed = match schema.get("const") {
        Some(one) => std::slice::from_ref(one),
        None => schema.get("enum")?.as_array()?,
    };
    let short: Vec<String> = listed.iter().filter(|v| !v.is_null()).map(Json::to_string).collect();
    let fit = short.len() <= KIND_WIDTH && short.iter().all(|text| text.chars().count() <= LITERAL_MAX);
    (fit && !short.is_empty()).then(|| short.join("|"))
}

fn joined(kinds: impl Iterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for kind in kinds {
        if !distinct.contains(&kind) {
            distinct.push(kind);
        }
        if distinct.len() > KIND_WIDTH {
            return "any".into();
        }
    }
    if distinct.is_empty() { "any".into() } else { distinct.join("|") }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its shape is looked at")]
    struct Order {
        zebra: i64,
        apple: Option<String>,
        #[serde(default)]
        mango: Vec<f64>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code, reason = "only its shape is looked at")]
    enum Colour {
        Red,
        Blue,
    }

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its shape is looked at")]
    struct Odd {
        colour: Colour,
        perhaps: Option<Colour>,
        inner: Option<Order>,
        tree: Option<Box<Odd>>,
        pairs: HashMap<String, i64>,
        either: Either,
        free: serde_json::Value,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(untagged)]
    #[allow(dead_code, reason = "only its shape is looked at")]
    enum Either {
        Text(String),
        Number(f64),
    }

    #[derive(Deserialize, JsonSchema)]
    struct Empty {}

    #[derive(Deserialize, JsonSchema)]
    struct Unit;

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its shape is looked at")]
    struct Wrapped(Order);

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its shape is looked at")]
    struct Rest {
        first: i64,
        #[serde(flatten)]
        rest: HashMap<String, i64>,
    }

    fn shown<T: JsonSchema>() -> Vec<String> {
        parameters(&schema_of::<T>()).iter().map(ToString::to_string).collect()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn fields(names: &[&str], kinds: &[&str], open: bool) -> Shape {
        Shape::Struct(Fields { names: words(names), kinds: words(kinds), open })
    }

    #[test]
    fn fields_keep_their_order_and_types() {
        assert_eq!(shown::<Order>(), ["zebra: integer", "apple?: string", "mango?: [number]"]);
        assert_eq!(shown::<Wrapped>(), shown::<Order>());
        assert_eq!(shown::<Option<Order>>(), shown::<Order>());
    }

    #[test]
    fn schemas_keep_their_order_as_text() {
        let text = schema_of::<Order>().to_string();
        let parsed: Json = serde_json::from_str(&text).expect("its own text");
        assert_eq!(parameters(&parsed)[0].name, "zebra");
    }

    #[test]
    fn odd_types_have_a_word() {
        let expected = [
            "colour: \"red\"|\"blue\"",
            "perhaps?: \"red\"|\"blue\"",
            "inner?: object",
            "tree?: object",
            "pairs: object",
            "either: string|number",
            "free: any",
        ];
        assert_eq!(shown::<Odd>(), expected);
        assert_eq!(shown::<(i64, Option<String>)>(), ["0: integer", "1?: string"]);
        assert_eq!(shown::<Option<i64>>(), ["value?: integer"]);
        assert_eq!(shown::<()>(), Vec::<String>::new());
        assert_eq!(parameters(&Json::Bool(true))[0].to_string(), "value: any");
    }

    #[test]
    fn every_kind_of_handler_type() {
        let one = |kind: &str| Shape::One(One { nullable: false, kind: kind.into() });
        assert_eq!(shape_of::<()>(), Shape::Nothing);
        assert_eq!(shape_of::<Unit>(), Shape::Nothing);
        assert_eq!(shape_of::<Empty>(), fields(&[], &[], false));
        assert_eq!(shape_of::<Rest>(), fields(&["first"], &["integer"], true));
        let pair = Tuple { least: 2, kinds: words(&["integer", "string"]), nullable: false };
        assert_eq!(shape_of::<(i64, String)>(), Shape::Tuple(pair));
        let tail = Tuple { least: 2, kinds: words(&["integer", "string", "integer", "integer"]), nullable: false };
        assert_eq!(shape_of::<(Option<i64>, String, Option<i64>, Option<i64>)>(), Shape::Tuple(tail));
        assert_eq!(shape_of::<String>(), one("string"));
        assert_eq!(shape_of::<Vec<u8>>(), one("[integer]"));
        assert_eq!(shape_of::<HashMap<String, i64>>(), one("object"));
        assert_eq!(shape_of::<serde_json::Value>(), one("any"));
        assert_eq!(shape_of::<Either>(), one("string|number"));
        assert_eq!(shape_of::<Option<String>>(), Shape::One(One { nullable: true, kind: "string".into() }));
    }

    #[test]
    fn a_foreign_schema_is_never_trusted() {
        let mut deep = json!({"type": "integer"});
        for _ in 0..100 {
            deep = json!({"type": "array", "items": deep});
        }
        assert_eq!(parameters(&deep)[0].kind, "[[[[any]]]]");
        let wide: Vec<Json> = (0..1_000).map(|i| json!({"const": i})).collect();
        assert_eq!(parameters(&json!({"oneOf": wide}))[0].kind, "any");
        for odd in [json!(null), json!([]), json!({"properties": 1}), json!({"prefixItems": {}}), json!({"type": 7})] {
            assert_eq!(parameters(&odd)[0].kind, "any", "{odd}");
        }
    }
}
