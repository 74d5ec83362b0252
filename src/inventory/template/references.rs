//! Which variables a template names, found without filling it in.

use std::{collections::BTreeSet, sync::Arc};

use minijinja::Environment;

use super::{
    super::{Node, Value},
    segments::{self, Cut, Segment},
};

/// The variables that the templates in a value refer to, sorted, each once: their names, and what
/// `lookup('vars', …)` names literally. What does not parse refers to nothing.
pub(super) fn of(node: &Node) -> Vec<Arc<str>> {
    let mut names = BTreeSet::new();
    collect(node, &mut names);
    names.into_iter().map(Arc::from).collect()
}

fn collect(node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Map(entries) => entries.iter().for_each(|(_, item)| collect(item, names)),
        Value::String(text) if node.template => in_text(text, names),
        _ => {}
    }
}

fn in_text(text: &str, names: &mut BTreeSet<String>) {
    let Ok(cut) = segments::cut(text) else { return };
    let expression = |range: std::ops::Range<usize>| {
        format!("{{{{ {} }}}}", segments::literal(text.get(range).unwrap_or_default()))
    };
    let jinja = match cut {
        Cut::Text => return,
        Cut::Lone(range) => expression(range),
        Cut::Mixed(pieces) => {
            let expressions = pieces.into_iter().filter_map(|piece| match piece {
                Segment::Expression(range) => Some(expression(range)),
                Segment::Text(_) => None,
            });
            expressions.collect()
        }
        Cut::Statements(jinja) => jinja,
    };
    // What the engine has beside variables is no reference.
    let tools = Environment::new();
    let known = |name: &String| {
        matches!(name.as_str(), "lookup" | "query" | "q" | "undef")
            || tools.globals().any(|(global, _)| global == name)
    };
    let environment = Environment::empty();
    if let Ok(template) = environment.template_from_str(&jinja) {
        names.extend(template.undeclared_variables(false).into_iter().filter(|name| !known(name)));
        names.extend(looked_up(&jinja));
    }
}

/// The names in `lookup('vars', 'a', 'b')`.
fn looked_up(jinja: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = jinja;
    while let Some((_, call)) = rest.split_once('(') {
        rest = call;
        let mut arguments = call.split([',', ')']).map(str::trim).map(quoted);
        if !matches!(arguments.next().flatten(), Some("vars" | "ansible.builtin.vars")) {
            continue;
        }
        found.extend(arguments.map_while(|name| name).map(str::to_owned));
    }
    found
}

fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inside = text.get(1..)?.strip_suffix(quote)?;
    (!inside.contains(['\'', '"', '\\'])).then_some(inside)
}
