//! The schema of what a user may write: both file shapes, and for each variable every spelling
//! that is understood.

use serde_json::{Map, Value, json};

use super::{
    super::{defaults, kind::Kind},
    DRAFT, described, list, rendered, table,
};

/// The contents of `schema/registry-mirror.schema.json`. One rule serves both shapes: a name of the
/// table is checked as a variable, and a mapping that holds nothing but `vars`, `hosts` and
/// `children` as a group.
pub fn inventory() -> Value {
    let known: Vec<&str> = table::all().map(|variable| variable.name).collect();
    let unknown = format!("^{}(?!({})$)", table::PREFIX, known.join("|"));
    let mut variables = Map::new();
    let mut top = Map::new();
    top.insert("all".into(), json!({ "$ref": "#/definitions/group" }));
    for variable in table::all() {
        let name = variable.full_name();
        let reference = format!("#/definitions/variables/properties/{name}");
        top.insert(name.clone(), json!({ "$ref": reference }));
        let schema = described(variable, defaults::of(variable), written(variable.kind));
        variables.insert(name, schema);
    }
    let or_null = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    json!({
        "$schema": DRAFT,
        "title": "Inventory of registry-mirror",
        "description": "An inventory file (`all: vars: …`) or a file of variables (group_vars, host_vars, --extra-vars @file).",
        "definitions": {
            "standIn": {
                "description": "A template, a vault value, or nothing at all, which leaves the default.",
                "anyOf": [
                    { "type": "string", "pattern": "\\{\\{|<< " },
                    { "type": "string", "pattern": "^\\s*\\$ANSIBLE_VAULT;" },
                    { "type": "object", "required": ["__ansible_vault"], "additionalProperties": false,
                      "properties": { "__ansible_vault": { "type": "string" } } },
                    { "type": "null" },
                ]
            },
            "variables": {
                "type": "object",
                "properties": variables,
                "patternProperties": { unknown.clone(): false },
            },
            "group": or_null(json!({
                "type": "object",
                "properties": {
                    "vars": or_null(json!({ "$ref": "#/definitions/variables" })),
                    "hosts": {
                        "anyOf": [
                            { "type": ["string", "null"] },
                            { "type": "object",
                              "additionalProperties": or_null(json!({ "$ref": "#/definitions/variables" })) },
                        ]
                    },
                    "children": or_null(json!({
                        "type": "object",
                        "additionalProperties": { "$ref": "#/definitions/group" },
                    })),
                },
                "additionalProperties": false,
            })),
            "looksLikeGroup": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": { "enum": ["vars", "hosts", "children"] },
                "additionalProperties": { "type": ["object", "null"] },
            },
        },
        "type": ["object", "null"],
        "properties": top,
        "patternProperties": { unknown: { "$ref": "#/definitions/looksLikeGroup" } },
        "additionalProperties": {
            "if": { "$ref": "#/definitions/looksLikeGroup" },
            "then": { "$ref": "#/definitions/group" },
        },
    })
}

/// Every spelling of a value of this kind: its own form, what is coerced to it, a template, a vault
/// value, and nothing at all, which leaves the default.
fn written(kind: Kind) -> Value {
    let mut spellings = vec![rendered(kind)];
    spellings.extend(coercible(kind));
    spellings.push(json!({ "$ref": "#/definitions/standIn" }));
    json!({ "anyOf": spellings })
}

/// What is coerced to this kind, as Ansible's argument_specs coerce.
fn coercible(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Flag => vec![
            json!({ "type": "string", "pattern": "^([Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff]|[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[YyNnTtFf01])$" }),
            json!({ "enum": [0, 1] }),
        ],
        // Editors that type by YAML 1.1 read `off` as false.
        Kind::Choice(words) if words.contains(&"off") => vec![json!({ "const": false })],
        Kind::Port => vec![json!({ "type": "string", "pattern": "^[0-9]{1,5}$" })],
        Kind::Count => vec![json!({ "type": "string", "pattern": "^[0-9]+$" })],
        Kind::Size
        | Kind::OptionalSize
        | Kind::Period
        | Kind::Interval
        | Kind::Wait
        | Kind::Account => vec![json!({ "type": "integer", "minimum": 0 })],
        Kind::Text | Kind::Name => vec![json!({ "type": "boolean" })],
        Kind::Bucket | Kind::KeyPrefix => vec![json!({ "type": "integer" })],
        Kind::Hosts | Kind::Peers | Kind::Texts => vec![json!({ "type": "string" })],
        Kind::TagRules => {
            let ttl = json!({ "type": ["string", "integer"] });
            let rule = json!({
                "type": "object",
                "properties": { "match": { "type": "string" }, "ttl": ttl },
                "required": ["match", "ttl"],
                "additionalProperties": false,
            });
            vec![list(rule)]
        }
        _ => Vec::new(),
    }
}
