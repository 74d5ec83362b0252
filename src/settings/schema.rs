//! Both schemas, made from the table (draft 07, which editors read).

use serde_json::{Map, Value, json};

use super::{
    kind::Kind,
    table::{self, Variable},
    units::{PERIOD_PATTERN, SIZE_PATTERN},
};

mod inventory;

pub use inventory::inventory;

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// What [`super::Settings`] accepts once everything is rendered and has its type: the contents of
/// `schema/settings.schema.json`.
pub fn settings() -> Value {
    let mut schema = wordless(table::settings());
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for variable in table::settings() {
            let own = properties.entry(variable.full_name()).or_insert(Value::Null);
            *own = described(variable, None, own.take());
        }
    }
    let words = json!({
        "$schema": DRAFT,
        "title": "Settings of registry-mirror",
        "description": "What the program accepts once templates are rendered and values have their types.",
    });
    let (Value::Object(mut words), Value::Object(schema)) = (words, schema) else {
        return Value::Null;
    };
    words.extend(schema);
    words.into()
}

/// The same of any variables for the program itself, which reads no descriptions.
pub(super) fn wordless(variables: impl Iterator<Item = &'static Variable>) -> Value {
    let properties = variables
        .map(|variable| (variable.full_name(), rendered(variable.kind)))
        .collect::<Map<_, _>>();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// `schema` with what the table says of the variable.
fn described(variable: &Variable, default: Option<Value>, schema: Value) -> Value {
    let mut described = Map::new();
    described.insert("description".into(), variable.about.into());
    if let Some(default) = default {
        described.insert("default".into(), default);
    }
    if let Value::Object(schema) = schema {
        described.extend(schema);
    }
    Value::Object(described)
}

/// What a value of this kind looks like in the end.
fn rendered(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Quoted | Kind::PathOrPem => json!({ "type": "string" }),
        Kind::Name | Kind::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Port => json!({ "type": "integer", "minimum": 1, "maximum": 65535 }),
        Kind::Count => json!({ "type": "integer", "minimum": 0 }),
        Kind::Size => form("size", Some(SIZE_PATTERN)),
        Kind::OptionalSize => or_empty(form("size", Some(SIZE_PATTERN))),
        Kind::Period => form("period", Some(PERIOD_PATTERN)),
        Kind::Interval => form("interval", Some(PERIOD_PATTERN)),
        Kind::Wait => form("wait", Some(PERIOD_PATTERN)),
        Kind::Address => form("ip-address", None),
        Kind::Socket => form("socket-address", None),
        Kind::Upstream => form("registry-url", None),
        Kind::Service => or_empty(form("service-url", None)),
        Kind::Proxy => or_empty(form("proxy-url", None)),
        Kind::Domain => {
            json!({ "type": "string", "maxLength": 253, "format": "domain", "pattern": DOMAIN })
        }
        Kind::Bucket => json!({ "type": "string", "maxLength": 63, "pattern": BUCKET }),
        Kind::KeyPrefix => json!({ "type": "string", "maxLength": 512, "pattern": KEY_PREFIX }),
        Kind::Account => json!({ "type": "string", "pattern": "^([0-9]{12})?$" }),
        Kind::Hosts => list(form("host-pattern", None)),
        Kind::Peers => list(form("peer", None)),
        Kind::Texts => list(json!({ "type": "string" })),
        Kind::TagRules => list(json!({
            "type": "object",
            "properties": {
                "match": form("tag-pattern", None),
                "ttl": form("period", Some(PERIOD_PATTERN)),
            },
            "required": ["match", "ttl"],
            "additionalProperties": false,
        })),
    }
}

/// RFC 1123 section 2.1, or empty.
const DOMAIN: &str = "^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*)?$";

/// "Bucket naming rules" of the S3 User Guide, as far as a pattern can say them, or empty.
const BUCKET: &str = "^([a-z0-9][a-z0-9.-]+[a-z0-9])?$";

/// "Safe characters" of the S3 User Guide, "Naming Amazon S3 objects"; no component begins with a dot.
const KEY_PREFIX: &str =
    "^(/?[A-Za-z0-9!_*'()-][A-Za-z0-9!_.*'()-]*(/[A-Za-z0-9!_*'()-][A-Za-z0-9!_.*'()-]*)*/?)?$";

fn form(format: &str, pattern: Option<&str>) -> Value {
    match pattern {
        Some(pattern) => json!({ "type": "string", "format": format, "pattern": pattern }),
        None => json!({ "type": "string", "format": format }),
    }
}

fn or_empty(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "const": "" }] })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}
