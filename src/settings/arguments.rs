//! The role's `meta/argument_specs.yml`, which Ansible checks before the role's first task
//! (ansible-core 2.11 and later).

use serde_json::Value as Json;

use super::{
    defaults,
    kind::Kind,
    table::{self, Reader, Variable},
};

/// The contents of `packaging/ansible/roles/registry_mirror/meta/argument_specs.yml`. Ansible checks
/// types and choices; the rest is said by `validate`.
pub fn specs() -> String {
    let mut text = String::from(
        "---\n# Made from the table of variables: `UPDATE=1 cargo test --test it settings::` writes it.\n\
         argument_specs:\n  main:\n    short_description: A pull-through mirror of Docker Hub\n    options:\n",
    );
    for variable in table::all().filter(|variable| !variable.readers.contains(&Reader::Terraform)) {
        option(variable, &mut text);
    }
    text
}

fn option(variable: &Variable, text: &mut String) {
    let (kind, elements) = type_of(variable.kind);
    let about = Json::from(variable.about);
    let mut lines = vec![("description", about), ("type", kind.into())];
    if let Some(elements) = elements {
        lines.push(("elements", elements.into()));
    }
    if let Kind::Choice(words) = variable.kind {
        lines.push(("choices", words.iter().copied().collect()));
    }
    if let Some(default) = defaults::of(variable) {
        lines.push(("default", default));
    }
    if variable.secret {
        lines.push(("no_log", true.into()));
    }
    let name = variable.full_name();
    text.push_str(&format!("      {name}:\n"));
    for (name, value) in lines {
        text.push_str(&format!("        {name}: {value}\n"));
    }
}

/// Ansible's type, and that of the elements of a list.
fn type_of(kind: Kind) -> (&'static str, Option<&'static str>) {
    match kind {
        Kind::Flag => ("bool", None),
        Kind::Port | Kind::Count => ("int", None),
        Kind::Hosts | Kind::Peers | Kind::Texts => ("list", Some("str")),
        Kind::TagRules => ("list", Some("dict")),
        _ => ("str", None),
    }
}
