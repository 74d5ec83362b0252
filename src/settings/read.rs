//! From what was written to [`Settings`].

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::Path,
    sync::Arc,
};

use serde_json::{Map, Value as Json};

use crate::{
    diagnostic::{Diagnostic, Report},
    inventory::{self, Inventory, Layer, LayerKind, Node, Scope, Source, SourceKind, Value},
};

use super::{
    Settings,
    check::{self, Nodes},
    coerce, environment, layers,
    layers::Winners,
    missing::Missing,
    names,
    rules::{self, Settled},
    table::{self, PREFIX, Variable},
};

const DEFAULTS: &str = include_str!("defaults.yml");

/// Variables of the neighbours that our defaults are made of. Empty means unset for them, as it
/// does for the bucket: nothing useful could be made of it.
const INGREDIENTS: [&str; 5] = [
    "prefix",
    "aws_region",
    "gitlab_object_storage_prefix",
    "registry_mirror_bucket_name",
    "registry_mirror_bucket_location",
];

const STORE: &str = "registry_mirror_store";

/// What settings are read from.
#[derive(Debug)]
pub struct Given<'a> {
    /// What the inventory says about this host.
    pub inventory: &'a Inventory,
    /// The whole environment; what is not ours is ignored.
    pub environment: &'a [(OsString, OsString)],
    /// Where relative paths start that no file sets: the working directory, absolute.
    pub directory: &'a Path,
    /// Where a variable that is missing is best set, for hints: "in `inventory/vars.yml`".
    pub advice: &'a str,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many variables the inventory, the environment and `-e` set for this host, those of other
    /// roles included, each once.
    pub variables: usize,
}

/// Reads the settings. None if the report has got an error.
pub fn read(given: &Given<'_>, report: &mut Report) -> (Option<Settings>, Summary) {
    let mut problems = Report::new();
    let layers = stack(given, &mut problems);
    names::check(&layers, &mut problems);
    let written = layers.iter().filter(|layer| layer.kind != LayerKind::Defaults);
    let set: BTreeSet<&str> =
        written.flat_map(|layer| &layer.entries).map(|entry| &*entry.name).collect();
    let summary = Summary { variables: set.len() };

    let settings = settle(given, layers::join(&layers), &mut problems);
    let refused = problems.has_errors();
    report.extend(problems.sorted().into_iter().cloned());
    (settings.filter(|_| !refused), summary)
}

/// All layers, lowest first.
fn stack(given: &Given<'_>, report: &mut Report) -> Vec<Layer> {
    let written = &given.inventory.layers;
    let (extra, inventory): (Vec<&Layer>, Vec<&Layer>) =
        written.iter().partition(|layer| layer.kind == LayerKind::Extra);
    let mut layers = vec![Layer { kind: LayerKind::Defaults, entries: defaults(report) }];
    layers.extend(inventory.into_iter().cloned());
    layers.push(environment::layer(given.environment, report));
    layers.extend(extra.into_iter().cloned());
    layers
}

/// The shipped defaults.
fn defaults(report: &mut Report) -> Vec<inventory::Entry> {
    let source = Source::built_in("defaults.yml", DEFAULTS);
    match inventory::parse(&source, report) {
        Some(node) => inventory::variables(node, report),
        None => Vec::new(),
    }
}

/// The shipped default of `variable` as it is written, in JSON.
pub(super) fn default_of(variable: &Variable) -> Option<Json> {
    if let Some(default) = variable.default {
        return serde_json::from_str(default).ok();
    }
    let name = variable.full_name();
    let entry = defaults(&mut Report::new()).into_iter().find(|entry| *entry.name == *name)?;
    Some(match &entry.node.value {
        Value::Bool(flag) => Json::from(*flag),
        Value::Int(number) => Json::from(*number),
        Value::List(_) => Json::Array(Vec::new()),
        _ => Json::from(entry.node.as_str().unwrap_or_default()),
    })
}

fn settle(given: &Given<'_>, mut winners: Winners, report: &mut Report) -> Option<Settings> {
    unset(&mut winners);
    let inventory = given.inventory;
    let scope = Scope::new(winners.clone(), &inventory.host, &inventory.groups, table::shown);
    let mut values = Map::new();
    let mut nodes = Nodes::new();
    let mut failures = Vec::new();
    for variable in table::settings() {
        let name = variable.full_name();
        match scope.render(&name) {
            Ok(node) => {
                let value = coerce::coerce(variable.kind, &node, given.directory);
                values.insert(name.clone(), value);
                nodes.insert(name, node);
            }
            Err(found) => failures.push((name, found)),
        }
    }
    let shipped = |name: &str| {
        winners.get(name).is_some_and(|node| node.origin.source().kind() == SourceKind::BuiltIn)
    };
    let store = values.get(STORE).and_then(Json::as_str);
    let needless = |name: &str| shipped(name) && !is_needed(name, store);

    let mut wrong = BTreeSet::new();
    let mut missing = Missing::default();
    let mut spared = Vec::new();
    for (name, found) in failures {
        if needless(&name) {
            spared.push(name);
            continue;
        }
        wrong.insert(name);
        for failure in found {
            missing.take(failure, &winners, report);
        }
    }
    missing.report(given.advice, report);
    for (name, diagnostic) in check::check(&values, &nodes) {
        if needless(&name) {
            spared.push(name);
        } else {
            wrong.insert(name);
            report.push(diagnostic);
        }
    }
    values.extend(spared.into_iter().map(|name| (name, Json::from(""))));
    rules::check(&Settled { values: &values, nodes: &nodes, wrong: &wrong }, report);
    if report.has_errors() {
        return None;
    }
    // Serde's text quotes values; whatever the schema let through and serde does not is a fault of
    // ours.
    match serde_json::from_value(check::for_serde(&values)) {
        Ok(settings) => Some(settings),
        Err(_) => {
            report.push(Diagnostic::error("internal", "the schema and the settings disagree"));
            None
        }
    }
}

/// Whether something is lost without the default of this variable: no name of ours is needed to
/// serve, and no bucket by a store that is none.
fn is_needed(name: &str, store: Option<&str>) -> bool {
    match name.strip_prefix(PREFIX) {
        Some("domain" | "url") => false,
        Some("bucket_name" | "bucket_location") => store == Some("s3"),
        _ => true,
    }
}

/// Null leaves the default, and so does `""` where nothing can be made of it.
fn unset(winners: &mut Winners) {
    let mut shipped: BTreeMap<Arc<str>, Arc<Node>> =
        defaults(&mut Report::new()).into_iter().map(|entry| (entry.name, entry.node)).collect();
    let names = table::settings().map(Variable::full_name);
    for name in names.chain(INGREDIENTS.map(str::to_owned)) {
        let Some(node) = winners.get(&*name) else { continue };
        let empty = node.as_str() == Some("") && INGREDIENTS.contains(&&*name);
        if !empty && !matches!(node.value, Value::Null) {
            continue;
        }
        match shipped.remove(&*name) {
            Some(default) => winners.insert(name.into(), default),
            None => winners.remove(&*name),
        };
    }
}
