//! Names that look like ours and are not.

use crate::{
    diagnostic::{self, Diagnostic, Report},
    inventory::Layer,
};

use super::table::{self, PREFIX};

/// Reports every name of the family that the table does not know, at every place that sets it.
pub(super) fn check(layers: &[Layer], report: &mut Report) {
    for entry in layers.iter().flat_map(|layer| &layer.entries) {
        if !entry.name.starts_with(PREFIX) || table::find(&entry.name).is_some() {
            continue;
        }
        let mut unknown =
            Diagnostic::error("unknown-variable", format!("unknown variable `{}`", entry.name))
                .at(entry.node.origin.place(false))
                .variable(&*entry.name);
        if let Some(near) = nearest(&entry.name) {
            unknown = unknown.hint(format!("did you mean `{near}`?"));
        }
        report.push(unknown);
    }
}

/// The name of the table that `name` is most likely a slip of.
pub(super) fn nearest(name: &str) -> Option<String> {
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    diagnostic::nearest(short, table::all().map(|variable| variable.name))
        .map(|near| format!("{PREFIX}{near}"))
}
