//! `inventory`: what `ansible-inventory` would print, secrets masked.

use std::{process::ExitCode, sync::Arc};

use serde_json::{Map, Value as Json, json};

use crate::{
    cli::{self, Options},
    diagnostic::{Diagnostic, Report, nearest},
    inventory::{self, Host, Inventory, Join, Scope, Surroundings},
    settings::{self, Concealed},
};

use super::{Loaded, NO_VERDICT, load, stdout};

/// Prints the whole inventory, or one host of it.
pub(super) fn run(options: &Options, asked: &cli::Inventory) -> ExitCode {
    let mut report = Report::new();
    let inventory = Arc::new(load::inventory(options, &mut report));
    let json = match &options.host {
        Some(name) => one(&inventory, name, asked.render, &mut report),
        None => Some(all(&inventory, asked.render, &mut report)),
    };
    let loaded = Loaded { settings: json.clone(), report, summary: settings::Summary::default() };
    loaded.print_report();
    if let Some(json) = json
        && stdout::write(&printed(json)).is_err()
    {
        return ExitCode::from(NO_VERDICT);
    }
    if loaded.report.has_errors() { loaded.refusal() } else { ExitCode::SUCCESS }
}

fn one(inventory: &Arc<Inventory>, name: &str, render: bool, report: &mut Report) -> Option<Json> {
    let host = inventory.host(name, report).or_else(|| inventory.implicit_host(name, report));
    let Some(host) = host else {
        let hint = match nearest(name, inventory.hosts()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`registry-mirror inventory --list` shows all".into(),
        };
        report.push(
            Diagnostic::error("unknown-host", format!("the inventory has no host `{name}`"))
                .hint(hint),
        );
        return None;
    };
    Some(variables(inventory, &host, render).into())
}

fn all(inventory: &Arc<Inventory>, render: bool, report: &mut Report) -> Json {
    let mut listed = inventory.groups();
    let mut hosts = Map::new();
    for name in inventory.hosts() {
        let Some(host) = inventory.host(name, report) else { continue };
        let variables = variables(inventory, &host, render);
        if !variables.is_empty() {
            hosts.insert(name.to_owned(), variables.into());
        }
    }
    listed.insert("_meta".into(), json!({ "hostvars": hosts, "profile": "inventory_legacy" }));
    listed.into()
}

/// The variables of a host, as they were written or with their templates filled in. One that
/// cannot be filled in is `{"__error__": "<check>"}`.
fn variables(inventory: &Arc<Inventory>, host: &Host, render: bool) -> Map<String, Json> {
    let winners = settings::join(&host.layers);
    let concealed = Concealed::of(&winners);
    let hides = |name: &str, text: Option<&str>| {
        if render { concealed.hides_rendered(name, text) } else { concealed.hides(name, text) }
    };
    let of_host: Join = Arc::new(|host| settings::join(&host.layers));
    let scope =
        render.then(|| Scope::new(winners.clone(), Surroundings::new(inventory, host, of_host)));
    let shown = winners.iter().map(|(name, written)| {
        let value = match scope.as_ref().map(|scope| scope.render(name)) {
            None => inventory::to_json(name, written, false, &hides),
            Some(Ok(node)) => inventory::to_json(name, &node, true, &hides),
            Some(Err(failures)) => {
                json!({ "__error__": failures.first().map(|failure| failure.diagnostic.check) })
            }
        };
        (name.to_string(), value)
    });
    shown.collect()
}

/// With sorted keys and four blanks, as Ansible prints it.
fn printed(mut json: Json) -> String {
    json.sort_all_objects();
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    // Writing to memory fails for nothing that is JSON already.
    let _ = serde::Serialize::serialize(&json, &mut serializer);
    String::from_utf8(text).unwrap_or_default() + "\n"
}
