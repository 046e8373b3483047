//! The JSON Schema of the configuration, for editors and generators.

use serde_json::{Map, Value, json};

use super::shape::{KIND, Key, ROOT, Shape};

/// The schema as it is committed in `docs/`, with a line feed at its end.
pub(crate) fn schema() -> String {
    let mut root = of_table(ROOT, None);
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!("The configuration of Handover"));
    format!("{:#}\n", Value::Object(root))
}

fn of(shape: &Shape) -> Map<String, Value> {
    let schema = match shape {
        Shape::Text(example) => json!({ "type": "string", "examples": [example] }),
        Shape::Name(example) => {
            json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$", "examples": [example] })
        }
        Shape::Address(example) => json!({ "type": "string", "examples": [example] }),
        Shape::Duration(example) => {
            json!({ "type": "string", "pattern": "^(0|([0-9]+(ms|s|m|h|d))+)$", "examples": [example] })
        }
        Shape::Number(u64::MAX, example) => json!({ "type": "integer", "minimum": 0, "examples": [example] }),
        Shape::Number(most, example) => {
            json!({ "type": "integer", "minimum": 0, "maximum": most, "examples": [example] })
        }
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::List(item) => json!({ "type": "array", "items": of(item) }),
        Shape::Pair(item) => json!({ "type": "array", "items": of(item), "minItems": 2, "maxItems": 2 }),
        Shape::Table(keys) => Value::Object(of_table(keys, None)),
        Shape::Kinds(kinds) => {
            json!({ "oneOf": kinds.iter().map(|(kind, keys)| of_table(keys, Some(kind))).collect::<Vec<_>>() })
        }
    };
    match schema {
        Value::Object(schema) => schema,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn of_table(keys: &[Key], kind: Option<&str>) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required: Vec<&str> = keys.iter().filter(|key| key.needed).map(|key| key.name).collect();
    if let Some(kind) = kind {
        properties.insert(KIND.to_owned(), json!({ "const": kind }));
        required.insert(0, KIND);
    }
    for key in keys {
        let mut schema = of(&key.shape);
        schema.insert("description".to_owned(), json!(key.about));
        properties.insert(key.name.to_owned(), Value::Object(schema));
    }
    let mut table = Map::new();
    table.insert("type".to_owned(), json!("object"));
    table.insert("additionalProperties".to_owned(), json!(false));
    table.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        table.insert("required".to_owned(), json!(required));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_this_one() {
        let committed = include_str!("../../../../docs/handover.schema.json");
        let anew = "cargo run -p handover -- check --print-schema > docs/handover.schema.json";
        assert!(
            committed == schema(),
            "docs/handover.schema.json is not what the code describes; write it anew: {anew}"
        );
    }
}
