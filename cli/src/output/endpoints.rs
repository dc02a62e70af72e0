//! What a peer offers, with the arguments its schemas tell.

use p2pnode::{EndpointInfo, parameters};
use serde_json::{Value, json};

use super::{
    Out,
    style::Role,
    table::{Column, Table},
};

/// An endpoint for programs.
pub(crate) fn to_json(endpoint: &EndpointInfo) -> Value {
    json!({
        "name": endpoint.name,
        "description": endpoint.description,
        "tags": endpoint.tags,
        "input_schema": schema(endpoint.input_schema.as_deref()),
        "output_schema": schema(endpoint.output_schema.as_deref()),
        "idempotent": endpoint.idempotent,
        "streaming": endpoint.streaming,
    })
}

/// `ENDPOINT  ARGS  DESCRIPTION`.
pub(crate) fn table(endpoints: &[EndpointInfo], out: &Out) -> String {
    let columns = [Column::new("ENDPOINT"), Column::new("ARGS").flexible(), Column::new("DESCRIPTION").flexible()];
    let mut table = Table::new(&columns);
    for endpoint in endpoints {
        let schema = schema(endpoint.input_schema.as_deref());
        let arguments = schema.as_ref().map(parameters).unwrap_or_default();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        table.row([
            (endpoint.name.clone(), Some(Role::Name)),
            (arguments.join(", "), None),
            (description(endpoint), None),
        ]);
    }
    table.render(Some(out.width), out.style, out.glyphs.cut)
}

/// With the option that takes a stream as it comes.
fn description(endpoint: &EndpointInfo) -> String {
    if endpoint.streaming { format!("{} (--stream)", endpoint.description) } else { endpoint.description.clone() }
}

/// The JSON text of a schema.
fn schema(text: Option<&str>) -> Option<Value> {
    serde_json::from_str(text?).ok()
}
