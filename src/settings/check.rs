//! Values against the settings schema. The validator's own words are never used: they quote the
//! values.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use jsonschema::{
    Draft, ValidationError, Validator,
    error::ValidationErrorKind,
    paths::{Location, LocationSegment},
};
use serde_json::{Map, Value as Json};

use crate::{
    diagnostic::{Diagnostic, nearest},
    inventory::{Node, SourceKind, Value},
};

use super::{
    coerce, formats,
    kind::Kind,
    schema,
    table::{self, Variable},
    units::MASK,
};

/// A rule as it should be written.
const RULE: &str = "`{match: \"acme/*:latest\", ttl: 5m}`";

/// The rendered nodes of settings under their full names.
pub(super) type Nodes = BTreeMap<String, Arc<Node>>;

/// Every value that is wrong, by the name of its variable, with the message, whose place is what
/// was written.
pub(super) fn check(values: &Map<String, Json>, nodes: &Nodes) -> Vec<(String, Diagnostic)> {
    let Some(validator) = &*VALIDATOR else {
        let broken = Diagnostic::error("internal", "the schema of the settings is broken");
        return vec![(String::new(), broken)];
    };
    let mut wrong = Vec::new();
    let mut said = BTreeSet::new();
    for error in validator.iter_errors(&Json::Object(values.clone())) {
        let path = error.instance_path();
        let Some(name) = first(path) else { continue };
        let (Some(variable), Some(node)) = (table::find(&name), nodes.get(&name)) else { continue };
        // A list of which one item is wrong in two ways is one problem.
        if said.insert(path.as_str().to_owned()) {
            wrong.push((name, explain(variable, node, &error)));
        }
    }
    wrong
}

/// Secrets that are what `render` prints in their place: its output was taken for an inventory.
pub(super) fn masked(nodes: &Nodes) -> Vec<(String, Diagnostic)> {
    let is_secret = |name: &str| table::find(name).is_some_and(|variable| variable.secret);
    let masked = nodes.iter().filter(|(name, node)| is_secret(name) && node.as_str() == Some(MASK));
    masked
        .map(|(name, node)| {
            let message = format!("`{name}` must be the secret itself");
            let diagnostic = Diagnostic::error("masked-secret", message)
                .at(node.origin.place(false))
                .label("this is the mask that `render` prints")
                .hint("put the secret itself here")
                .variable(name);
            (name.clone(), diagnostic)
        })
        .collect()
}

/// The validator of all variables of the family, formats included.
static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(validator);

fn validator() -> Option<Validator> {
    let mut options = jsonschema::options()
        .with_draft(Draft::Draft7)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false);
    for (name, check) in formats::ALL {
        options = options.with_format(name, check);
    }
    let mut schema = schema::wordless(table::all());
    drop_patterns(&mut schema);
    options.build(&schema).ok()
}

/// Takes away patterns beside formats. They are for whoever does not know the format; the program
/// does, and to compile them takes longer than to read a small inventory.
fn drop_patterns(schema: &mut Json) {
    match schema {
        Json::Object(entries) => {
            if entries.contains_key("format") {
                entries.remove("pattern");
            }
            entries.values_mut().for_each(drop_patterns);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_patterns),
        _ => {}
    }
}

fn first(path: &Location) -> Option<String> {
    match path.segments().next()? {
        LocationSegment::Property(name) => Some(name.into_owned()),
        LocationSegment::Index(_) => None,
    }
}

/// The message for one error.
fn explain(variable: &Variable, node: &Node, error: &ValidationError<'_>) -> Diagnostic {
    let name = variable.full_name();
    let kind = variable.kind;
    let at = locate(node, error.instance_path());
    let shown =
        !variable.secret && !at.rendered && !at.as_str().is_some_and(formats::holds_account);
    let place = at.origin.place(shown);
    let mut diagnostic =
        Diagnostic::error("wrong-value", format!("`{name}` must be {}", kind.expected()));
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let property = property.as_str().unwrap_or_default();
            diagnostic.message = format!("a rule of `{name}` has no `{property}`");
            diagnostic = diagnostic.hint(format!("write {RULE}"));
        }
        ValidationErrorKind::AdditionalProperties { .. } => {
            diagnostic.message = format!("a rule of `{name}` has a key besides `match` and `ttl`");
            diagnostic = diagnostic.hint(format!("write {RULE}"));
        }
        _ => {
            if let Some(inner) = inner(kind, error.instance_path()) {
                diagnostic.message = format!("{inner} (`{name}`)");
            }
            if let Some(cause) = cause(kind, at) {
                diagnostic = diagnostic.label(cause);
            }
        }
    }
    if let Some(hint) = hint(variable, at) {
        diagnostic = diagnostic.hint(hint);
    }
    if at.origin.source().kind() == SourceKind::BuiltIn {
        diagnostic = diagnostic.hint(format!("its default does not fit here: set `{name}` itself"));
    }
    diagnostic.at(place).variable(name)
}

/// The same for a value inside of a list.
fn inner(kind: Kind, path: &Location) -> Option<String> {
    let last = path.segments().skip(1).last()?;
    Some(match (kind, last) {
        (Kind::TagRules, LocationSegment::Property(key)) if key == "ttl" => {
            format!("the `ttl` of a rule must be {}", Kind::Period.expected())
        }
        (Kind::TagRules, LocationSegment::Property(_)) => {
            "the `match` of a rule must be `repository:tag`, such as `acme/*:latest`".into()
        }
        (Kind::TagRules, _) => format!("a rule must be a mapping, such as {RULE}"),
        (Kind::Hosts, _) => "a host must be a name without scheme and port".into(),
        (Kind::Peers, _) => "a peer must be `host:port`".into(),
        _ => "an item has the wrong type".into(),
    })
}

/// What was written at `path`, as deep as the node has the shape of the value that was checked.
fn locate<'a>(node: &'a Node, path: &Location) -> &'a Node {
    let mut node = node;
    for segment in path.segments().skip(1) {
        let next = match (&node.value, segment) {
            (Value::List(items), LocationSegment::Index(index)) => items.get(index),
            (Value::Map(_), LocationSegment::Property(key)) => node.get(&key),
            _ => None,
        };
        let Some(next) = next else { break };
        node = next;
    }
    node
}

/// What YAML or a template made of it, where that is not what a reader sees.
fn cause(kind: Kind, node: &Node) -> Option<String> {
    match node.value {
        Value::String(_) => None,
        Value::Int(_) if matches!(kind, Kind::Port | Kind::Count) && !coerce::is_odd(node) => None,
        Value::Null => Some("this is empty".into()),
        _ => {
            let kind = node.a_kind();
            Some(if node.rendered {
                format!("the template comes out as {kind}")
            } else {
                format!("YAML reads this as {kind}")
            })
        }
    }
}

fn hint(variable: &Variable, node: &Node) -> Option<String> {
    match (variable.kind, &node.value) {
        (kind, Value::Int(_) | Value::Float(_) | Value::Timestamp(_)) if !node.rendered => {
            match kind {
                Kind::Flag | Kind::Choice(_) | Kind::TagRules => None,
                Kind::Port | Kind::Count | Kind::Size | Kind::OptionalSize => coerce::is_odd(node)
                    .then(|| "write a decimal number without a leading zero".into()),
                Kind::Period | Kind::Interval | Kind::Wait => {
                    coerce::is_odd(node).then(|| "write it with its units, such as `12m30s`".into())
                }
                _ => Some("quote it".into()),
            }
        }
        (Kind::Quoted | Kind::Account, value)
            if !node.rendered && !matches!(value, Value::String(_)) =>
        {
            Some("quote it".into())
        }
        (Kind::Choice(words), Value::String(written)) => {
            nearest(&written.to_ascii_lowercase(), words.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
        }
        (Kind::Upstream | Kind::Service, Value::String(written))
            if formats::holds_account(written) =>
        {
            Some("leave the account out of the address".into())
        }
        (Kind::Upstream, Value::String(written))
            if written.trim_end_matches('/').ends_with("/v2") =>
        {
            Some("leave out `/v2`".into())
        }
        (Kind::Upstream | Kind::Service, Value::String(written)) if !written.contains("://") => {
            Some("put `https://` in front".into())
        }
        _ => None,
    }
}

/// The settings under the names that serde knows.
pub(super) fn for_serde(values: &Map<String, Json>) -> Json {
    let is_setting = |name: &str| table::find(name).is_some_and(Variable::is_setting);
    let short = |name: &String| name.strip_prefix(table::PREFIX).unwrap_or(name).to_owned();
    let settings = values.iter().filter(|(name, _)| is_setting(name));
    Json::Object(settings.map(|(name, value)| (short(name), value.clone())).collect())
}
