//! `lookup` and `query`: what they find is never a template.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use minijinja::{
    Environment, Error, ErrorKind, State, Value,
    value::{Rest, ValueOrKwargs},
};

use super::{
    super::Inventory,
    evaluate::LONGEST,
    filters::{self, Arguments, Caught, NAMESPACES, said},
    objects::mapping,
    python,
};
use crate::diagnostic::Report;

/// The directory of the file whose template is being filled in.
pub(super) type Here = Arc<Mutex<Option<PathBuf>>>;

/// How many things one lookup may find.
const MOST: usize = 100;

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
                let list = list || given.named("wantlist")?.is_some_and(|flag| flag.is_true());
                if given.positional().len() > MOST {
                    return Err(said("a lookup finds at most 100 things at once"));
                }
                let found = find(state, &plugin, &given, (&inventory, &here, &caught), list)?;
                Ok::<Value, Error>(answer(found, list))
            },
        );
    }
}

/// One value as it is, several texts as one; or always a list.
fn answer(found: Vec<Value>, list: bool) -> Value {
    match found.as_slice() {
        _ if list => found.into(),
        [] => found.into(),
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
    list: bool,
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
            let cuts = given.named("lstrip")?.is_some_and(|flag| flag.is_true());
            let forgives = match given.text(usize::MAX, "errors")?.as_deref() {
                None | Some("strict") => false,
                Some("ignore" | "warn") => true,
                Some(_) => return Err(said("`errors` is `strict`, `warn` or `ignore`")),
            };
            // Beside the file, then beside each inventory.
            let bases = std::iter::once(from.unwrap_or_default()).chain(inventory.directories());
            let bases: Vec<PathBuf> = bases.collect();
            let mut found = Vec::new();
            let mut length = 0;
            for term in terms {
                let name = python::text(term)?;
                let mut paths = bases.iter().map(|base| base.join(&name));
                let path = paths.find(|path| inventory.has_file(path));
                let source = path.and_then(|path| inventory.text(&path, &mut Report::new()));
                match source {
                    Some(source) => {
                        let text = source.text();
                        length += text.len();
                        if length > LONGEST {
                            return Err(said("the files that are looked up are too long"));
                        }
                        let text = if keeps { text } else { text.trim_end() };
                        found.push(Value::from(if cuts { text.trim_start() } else { text }));
                    }
                    None if forgives && list => {}
                    None if forgives => found.push(Value::from(())),
                    None => return Err(said("the file that is looked up cannot be read")),
                }
            }
            Ok(found)
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
        _ => Err(Error::new(ErrorKind::UnknownFunction, format!("lookup {plugin} is unknown"))),
    }
}
