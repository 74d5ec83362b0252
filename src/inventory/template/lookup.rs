//! `lookup` and `query`: what they find is never a template.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use minijinja::{
    Environment, Error, State, Value,
    value::{Rest, ValueOrKwargs},
};

use super::{
    super::Inventory,
    filters::{self, Arguments, Caught, NAMESPACES, said},
    objects::mapping,
    python,
};
use crate::diagnostic::Report;

/// The directory of the file whose template is being filled in.
pub(super) type Here = Arc<Mutex<Option<PathBuf>>>;

/// Adds the functions.
pub(super) fn install(
    environment: &mut Environment<'static>,
    inventory: &Arc<Inventory>,
    here: &Here,
    caught: &Caught,
) {
    for (name, list) in [("lookup", false), ("query", true), ("q", true)] {
        let (inventory, here, caught) = (inventory.clone(), here.clone(), caught.clone());
        environment.add_function(
            name,
            move |state: &mut State, plugin: String, given: Rest<ValueOrKwargs>| {
                let given = Arguments::new(given)?;
                let found = find(state, &plugin, &given, (&inventory, &here, &caught))?;
                let list = list || given.named("wantlist")?.is_some_and(|flag| flag.is_true());
                Ok::<Value, Error>(answer(found, list))
            },
        );
    }
}

/// One value as it is, several texts as one; or always a list.
fn answer(found: Vec<Value>, list: bool) -> Value {
    match found.as_slice() {
        _ if list => found.into(),
        [] => Value::from(""),
        [only] => only.clone(),
        several if several.iter().all(|value| value.as_str().is_some()) => {
            let texts: Vec<&str> = several.iter().filter_map(Value::as_str).collect();
            texts.join(",").into()
        }
        _ => found.into(),
    }
}

fn find(
    state: &mut State,
    plugin: &str,
    given: &Arguments,
    (inventory, here, caught): (&Inventory, &Here, &Caught),
) -> Result<Vec<Value>, Error> {
    let bare = NAMESPACES.iter().rev().find_map(|namespace| plugin.strip_prefix(namespace));
    let other = given.named("default")?;
    let terms = given.positional().iter();
    match bare.unwrap_or(plugin) {
        "env" => terms
            .map(|term| {
                let found = inventory.environment(&python::text(term)?).map(Value::from);
                let other = || other.clone().unwrap_or_else(|| Value::from(""));
                Ok(found.unwrap_or_else(other))
            })
            .collect(),
        "vars" => terms
            .map(|term| {
                let found = state.lookup(&python::text(term)?);
                let found = found.filter(|value| !value.is_undefined()).or_else(|| {
                    // That it is missing is what the default is for.
                    other.clone().inspect(|_| filters::count(caught))
                });
                found.ok_or_else(|| said("no variable has the name that is looked up"))
            })
            .collect(),
        "file" => {
            let from = here.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let keeps = given.named("rstrip")?.is_some_and(|flag| !flag.is_true());
            let read = |term: &Value| {
                let path = from.clone().unwrap_or_default().join(python::text(term)?);
                let source = inventory.text(&path, &mut Report::new());
                let source =
                    source.ok_or_else(|| said("the file that is looked up cannot be read"))?;
                let text = source.text();
                Ok(Value::from(if keeps { text } else { text.trim_end() }))
            };
            terms.map(read).collect()
        }
        "dict" => {
            let mut found: Vec<Value> = Vec::new();
            for term in terms {
                for key in term.try_iter()? {
                    let value = term.get_item(&key)?;
                    found.push(mapping(vec![("key".into(), key), ("value".into(), value)]));
                }
            }
            Ok(found)
        }
        "pipe" | "lines" | "url" | "template" | "password" => Err(said(
            "this lookup is not made here; use `lookup('env', …)`, a vault value, or a file",
        )),
        name if name.starts_with("aws_") || name.starts_with("amazon.aws.") => {
            Err(said("AWS is not asked here; use a vault value, or `lookup('env', …)`"))
        }
        _ => Err(said("of the lookups `env`, `file`, `vars` and `dict` are known")),
    }
}
