//! The schema of what a user may write: both file shapes, and for each variable every spelling
//! that is understood.

use serde_json::{Map, Value, json};

use super::{super::kind::Kind, DRAFT, described, list, rendered, table};

/// The contents of `schema/registry-mirror.schema.json`. One rule serves both shapes: a name of the
/// table is checked as a variable, and a mapping that holds nothing but `vars`, `hosts` and
/// `children` as a group.
pub fn inventory() -> Value {
    let known: Vec<&str> = table::all().map(|variable| variable.name).collect();
    let unknown = format!("^{}(?!({})$)", table::PREFIX, known.join("|"));
    let mut variables = Map::new();
    for variable in table::all() {
        variables.insert(variable.full_name(), described(variable, written(variable.kind)));
    }
    let mut top = variables.clone();
    top.insert("all".into(), json!({ "$ref": "#/definitions/group" }));
    let or_null = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    json!({
        "$schema": DRAFT,
        "title": "Inventory of registry-mirror",
        "description": "An inventory file (`all: vars: …`) or a file of variables (group_vars, host_vars, --extra-vars @file).",
        "definitions": {
            "template": { "type": "string", "pattern": "\\{\\{|<< " },
            "vault": {
                "anyOf": [
                    { "type": "string", "pattern": "^\\s*\\$ANSIBLE_VAULT;" },
                    { "type": "object", "required": ["__ansible_vault"], "additionalProperties": false,
                      "properties": { "__ansible_vault": { "type": "string" } } },
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
    spellings.push(json!({ "$ref": "#/definitions/template" }));
    spellings.push(json!({ "$ref": "#/definitions/vault" }));
    spellings.push(json!({ "type": "null" }));
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
        Kind::Text | Kind::Name => vec![json!({ "type": ["number", "boolean"] })],
        Kind::Bucket => vec![json!({ "type": "integer" }), json!({ "const": "" })],
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
