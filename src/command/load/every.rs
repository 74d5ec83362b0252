//! Judging every host of an inventory, for whoever checks it before the nodes see it.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    diagnostic::{Diagnostic, Report},
    inventory::{self, Host, Inventory},
    settings::{self, Settings, Summary},
};

use super::{Ground, Loaded};

/// How many hosts a message names.
const MOST_NAMED: usize = 3;

/// Reads the settings of every host: of those in the role's group, or of all where that has none.
/// What all of them have is said once, what only some have with their names.
pub(super) fn host(request: &inventory::Request, mut report: Report) -> Loaded {
    let ground = Ground::of(request, &mut report);
    let mut found: Vec<(Diagnostic, Vec<Arc<str>>)> = Vec::new();
    let (mut variables, mut last): (usize, Option<Settings>) = (0, None);
    let hosts = hosts(&ground.inventory, &mut report);
    for host in &hosts {
        let mut of_host = Report::new();
        // Its files are read once; what they say is told to each host that needs them.
        let known = ground.inventory.host(&host.name, &mut of_host);
        let (settings, summary) =
            settings::read(&ground.given(known.as_ref().unwrap_or(host)), &mut of_host);
        (variables, last) = (variables.max(summary.variables), settings);
        for diagnostic in of_host.sorted() {
            match found.iter_mut().find(|(known, _)| known == diagnostic) {
                Some((_, names)) => names.push(host.name.clone()),
                None => found.push((diagnostic.clone(), vec![host.name.clone()])),
            }
        }
    }
    for (mut diagnostic, names) in found {
        if names.len() < hosts.len() {
            diagnostic.message.push_str(&format!(", for {}", listed(&names)));
        }
        report.push(diagnostic);
    }
    let refused = report.has_errors();
    let summary = Summary { hosts: hosts.len(), variables, ..Summary::default() };
    Loaded { settings: last.filter(|_| !refused), report, summary }
}

fn hosts(inventory: &Inventory, report: &mut Report) -> Vec<Host> {
    let mut scratch = Report::new();
    let all: Vec<Host> =
        inventory.hosts().filter_map(|name| inventory.host(name, &mut scratch)).collect();
    if all.is_empty() {
        return inventory.this_host(report).into_iter().collect();
    }
    let is_ours = |host: &&Host| host.groups.iter().any(|group| group == inventory::ROLE);
    let ours: BTreeSet<Arc<str>> = all.iter().filter(is_ours).map(|h| h.name.clone()).collect();
    all.into_iter().filter(|host| ours.is_empty() || ours.contains(&host.name)).collect()
}

fn listed(names: &[Arc<str>]) -> String {
    let shown: Vec<String> =
        names.iter().take(MOST_NAMED).map(|name| format!("`{name}`")).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
