//! Variables that a shipped default needs and nothing sets.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    diagnostic::{Diagnostic, Report},
    inventory::{Cause, Failure, SourceKind},
};

use super::layers::Winners;

/// What is missing, and which defaults ask for it, each with the variable in between.
#[derive(Default)]
pub(super) struct Missing(BTreeMap<Arc<str>, Vec<String>>);

impl Missing {
    /// Takes what a template lacks: noted if a default asks for it, reported as it is if it was the
    /// user who wrote the template.
    pub(super) fn take(&mut self, failure: Failure, winners: &Winners, report: &mut Report) {
        let asked_by = failure.chain.last().and_then(|name| winners.get(name));
        let shipped =
            asked_by.is_some_and(|node| node.origin.source().kind() == SourceKind::BuiltIn);
        let (Cause::Missing(name), true) = (&failure.cause, shipped) else {
            report.push(failure.diagnostic);
            return;
        };
        let Some((first, through)) = failure.chain.split_first() else { return };
        let mut needed = format!("`{first}`");
        if let Some(last) = through.last() {
            needed.push_str(&format!(" (through `{last}`)"));
        }
        self.0.entry(name.clone()).or_default().push(needed);
    }

    /// Says it, one message for each variable. `place` says where to set one, such as "in
    /// `inventory/vars.yml`".
    pub(super) fn report(self, place: &str, report: &mut Report) {
        for (name, needed) in self.0 {
            let defaults = if needed.len() == 1 { "default" } else { "defaults" };
            let needs = if needed.len() == 1 { "needs" } else { "need" };
            report.push(
                Diagnostic::error(
                    "missing-variable",
                    format!(
                        "`{name}` is not set, and the {defaults} of {} {needs} it",
                        needed.join(" and ")
                    ),
                )
                .hint(format!("set `{name}` {place}"))
                .variable(&*name),
            );
        }
    }
}
