//! From what was written to [`Settings`].

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::Path,
    sync::Arc,
};

use serde_json::{Map, Value as Json};

use crate::{
    diagnostic::{Diagnostic, Report, Severity},
    inventory::{
        Cause, Failure, Host, Inventory, Join, Layer, LayerKind, Node, Scope, SourceKind,
        Surroundings, Value,
    },
};

use super::{
    Settings,
    check::{self, Nodes},
    coerce, defaults, environment,
    layers::{Winners, join},
    missing::Missing,
    names, reserved,
    rules::{self, Settled},
    surprises,
    table::{self, PREFIX, Variable},
    traps,
    units::MASK,
    write::to_json,
};

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
    /// The whole inventory.
    pub inventory: &'a Arc<Inventory>,
    /// What it says about the host whose settings these are.
    pub host: &'a Host,
    /// The whole environment; what is not ours is ignored.
    pub environment: &'a [(OsString, OsString)],
    /// Where relative paths start that no file sets: the working directory, absolute.
    pub directory: &'a Path,
    /// Where a variable that is missing is best set, for hints: "in `inventory/vars.yml`".
    pub advice: &'a str,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many hosts were judged.
    pub hosts: usize,
    /// How many variables the inventory, the environment and `-e` set for this host, those of other
    /// roles included, each once; of several hosts, of the one that has most.
    pub variables: usize,
    /// Where the value of each setting was written, by its full name; of several hosts, none.
    pub origins: Origins,
}

/// Places by the full names of variables.
pub type Origins = BTreeMap<String, String>;

/// Reads the settings. None if the report holds an error.
///
/// If it holds one on entry, the inventory is not complete: what is there is checked, and nothing
/// is said of what seems to be missing.
pub fn read(given: &Given<'_>, report: &mut Report) -> (Option<Settings>, Summary) {
    let is_complete = !report.has_errors() && given.inventory.is_complete();
    let layers = layers(given, report);
    names::check(&layers, report);
    let mut winners = join(&layers);
    surprises::check(&layers, &winners, report);
    traps::check(&layers, &winners, report);
    reserved::check(&winners, report);
    let written = layers.iter().filter(|layer| layer.kind != LayerKind::Defaults);
    let set: BTreeSet<&str> =
        written.flat_map(|layer| &layer.entries).map(|entry| &*entry.name).collect();
    let (hosts, variables) = (1, set.len());
    unset(&mut winners);
    let origin = |name: String| Some((winners.get(&*name)?.origin.to_string(), name));
    let origins = table::settings().filter_map(|variable| origin(variable.full_name()));
    let origins = origins.map(|(place, name)| (name, place)).collect();
    (settle(given, winners, is_complete, report), Summary { hosts, variables, origins })
}

/// All layers, lowest first. What the environment holds that cannot be used goes to the report.
pub fn layers(given: &Given<'_>, report: &mut Report) -> Vec<Layer> {
    stack(given.host, environment::layer(given.environment, report))
}

/// A host's own layers among those that every host has.
fn stack(host: &Host, environment: Layer) -> Vec<Layer> {
    let (extra, inventory): (Vec<&Layer>, Vec<&Layer>) =
        host.layers.iter().partition(|layer| layer.kind == LayerKind::Extra);
    let mut layers =
        vec![Layer { kind: LayerKind::Defaults, entries: defaults::entries().to_vec() }];
    layers.extend(inventory.into_iter().cloned());
    layers.push(environment);
    layers.extend(extra.into_iter().cloned());
    layers
}

/// The winners as templates see them, those of other hosts included.
pub fn scope(given: &Given<'_>, winners: &Winners) -> Scope {
    let environment = environment::layer(given.environment, &mut Report::new());
    let of_host: Join = Arc::new(move |host| join(&stack(host, environment.clone())));
    Scope::new(winners.clone(), Surroundings::new(given.inventory, given.host, of_host))
}

/// The settings, and what else of the family is set, with templates filled in and types converted.
#[derive(Default)]
struct Rendered {
    values: Map<String, Json>,
    nodes: Nodes,
    failures: Vec<(String, Vec<Failure>)>,
}

fn render(given: &Given<'_>, winners: &Winners) -> Rendered {
    let scope = scope(given, winners);
    let mut rendered = Rendered::default();
    for variable in table::all() {
        let (name, is_setting) = (variable.full_name(), variable.is_setting());
        if !is_setting && !winners.contains_key(&*name) {
            continue;
        }
        match scope.render(&name) {
            // Null is unset to whoever reads it.
            Ok(node) if !is_setting && matches!(node.value, Value::Null) => {}
            // Its reader knows what stands in no inventory.
            Err(failures) if !is_setting && failures.iter().all(lacks) => {}
            Ok(node) => {
                let value = coerce::coerce(variable.kind, &node, given.directory);
                rendered.values.insert(name.clone(), value);
                rendered.nodes.insert(name, node);
            }
            Err(failures) => rendered.failures.push((name, failures)),
        }
    }
    rendered
}

fn lacks(failure: &Failure) -> bool {
    matches!(failure.cause, Cause::Missing(_))
}

fn settle(
    given: &Given<'_>,
    winners: Winners,
    is_complete: bool,
    report: &mut Report,
) -> Option<Settings> {
    let Rendered { mut values, nodes, failures } = render(given, &winners);
    let store = values.get(STORE).and_then(Json::as_str);
    let is_needless = |name: &str| {
        let shipped = |node: &Arc<Node>| node.origin.source().kind() == SourceKind::BuiltIn;
        winners.get(name).is_some_and(shipped) && !is_needed(name, store)
    };
    let (mut spared, mut wrong, mut missing) = (Vec::new(), BTreeSet::new(), Missing::default());
    let mut unknown = Vec::new();
    for (name, found) in failures {
        // Only what is wrong says no: what was not to be opened, and what may stand in it, may be
        // right.
        let is_unknown = |failure: &Failure| match failure.cause {
            Cause::Missing(_) => !is_complete,
            _ => failure.diagnostic.severity != Severity::Error,
        };
        if found.iter().all(is_unknown) {
            unknown.push(name.clone());
        }
        if is_needless(&name) {
            spared.push(name);
            continue;
        }
        for failure in found.into_iter().filter(|failure| is_complete || !lacks(failure)) {
            missing.take(failure, &winners, report);
        }
        wrong.insert(name);
    }
    missing.report(given.advice, report);
    for (name, diagnostic) in check::masked(&nodes) {
        report.push(diagnostic);
        wrong.insert(name);
    }
    for (name, diagnostic) in check::check(&values, &nodes) {
        if wrong.contains(&name) && nodes.get(&name).is_some_and(|n| n.as_str() == Some(MASK)) {
            continue;
        }
        if is_needless(&name) {
            spared.push(name);
        } else {
            report.push(diagnostic);
            wrong.insert(name);
        }
    }
    values.extend(spared.into_iter().map(|name| (name, Json::from(""))));
    if let (false, Json::Object(defaults)) = (unknown.is_empty(), to_json(&Settings::default())) {
        values.extend(defaults.into_iter().filter(|(name, _)| unknown.contains(name)));
    }
    if is_complete {
        rules::check(&Settled { values: &values, nodes: &nodes, wrong: &wrong }, report);
    }
    if report.has_errors() {
        return None;
    }
    // Serde's text quotes values; whatever the schema let through and serde does not is a fault of
    // ours.
    let settings = serde_json::from_value(check::for_serde(&values)).ok();
    if settings.is_none() {
        report.push(Diagnostic::error("internal", "the schema and the settings disagree"));
    }
    settings
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
pub(super) fn unset(winners: &mut Winners) {
    let names = table::settings().map(Variable::full_name);
    for name in names.chain(INGREDIENTS.map(str::to_owned)) {
        let Some(node) = winners.get(&*name) else { continue };
        let empty = node.as_str() == Some("") && INGREDIENTS.contains(&&*name);
        if !empty && !matches!(node.value, Value::Null) {
            continue;
        }
        match defaults::find(&name) {
            Some(default) => winners.insert(name.into(), default.node.clone()),
            None => winners.remove(&*name),
        };
    }
}
