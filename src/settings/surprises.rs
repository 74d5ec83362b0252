//! Layers that win where nobody expects it.

use std::sync::Arc;

use crate::{
    diagnostic::{Diagnostic, Report},
    inventory::{Entry, Layer, LayerKind, SourceKind},
};

use super::{layers::Winners, table};

/// Variables of the neighbours that matter here.
const INGREDIENTS: [&str; 3] = ["prefix", "aws_region", "gitlab_object_storage_prefix"];

/// What a file is called that people take for the last word.
const CLOSE_TO_THE_CHEST: [&str; 3] = ["sensitive", "secret", "vault"];

/// Warns of values that lose to another file against what one would think, and tells what the
/// environment changed. Ansible reads the files of a directory by name, so that `vars.yml` beats
/// `sensitive_vars.yml`, and `group_vars/all` beats both, whatever group they speak of.
pub(super) fn check(layers: &[Layer], winners: &Winners, report: &mut Report) {
    for (name, _) in winners.iter().filter(|(name, _)| matters(name)) {
        let said: Vec<(&Layer, &Entry)> = layers
            .iter()
            .flat_map(|layer| layer.entries.iter().map(move |entry| (layer, entry)))
            .filter(|(_, entry)| entry.name == *name)
            .collect();
        one(name, &said, winners, report);
    }
}

fn matters(name: &str) -> bool {
    INGREDIENTS.contains(&name) || table::find(name).is_some_and(table::Variable::is_setting)
}

fn one(name: &Arc<str>, said: &[(&Layer, &Entry)], winners: &Winners, report: &mut Report) {
    let counts = |entry: &Entry| winners.get(name).is_some_and(|w| Arc::ptr_eq(w, &entry.node));
    let Some((winner, winning)) = said.iter().find(|(_, entry)| counts(entry)) else { return };
    let differs = |entry: &Entry| entry.node.value != winning.node.value;
    let from_file = |entry: &Entry| entry.node.origin.source().kind() == SourceKind::File;
    let losers = said.iter().filter(|(_, entry)| !counts(entry) && from_file(entry));
    for (loser, losing) in losers.filter(|(_, entry)| differs(entry)) {
        let (place, lost) = (winning.node.origin.place(false), losing.node.origin.to_string());
        if winner.kind == LayerKind::Environment {
            report.push(
                Diagnostic::info("environment", format!("the environment changes `{name}`"))
                    .label(format!("`{lost}` sets it to something else"))
                    .at(place)
                    .variable(&**name),
            );
            continue;
        }
        let Some(why) = surprise(winner, winning, loser, losing) else { continue };
        report.push(
            Diagnostic::warning(
                "surprising-layer",
                format!("`{name}` has another value than `{lost}` says"),
            )
            .at(place)
            .label("this is the one that counts")
            .hint(format!("{why}; set it in one place, `registry-mirror explain {name}` shows all"))
            .variable(&**name),
        );
    }
}

/// Why the winner wins, if that is worth a warning.
fn surprise(
    winner: &Layer,
    winning: &Entry,
    loser: &Layer,
    losing: &Entry,
) -> Option<&'static str> {
    let name = |entry: &Entry| {
        let file = entry.node.origin.source().name().file_name();
        file.map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default()
    };
    let secretive =
        |entry: &Entry| CLOSE_TO_THE_CHEST.iter().any(|word| name(entry).contains(word));
    let in_file = |layer: &Layer| {
        matches!(layer.kind, LayerKind::InventoryAll | LayerKind::InventoryGroup(_))
    };
    if winner.kind == LayerKind::GroupVarsAll && in_file(loser) {
        return Some(
            "`group_vars/all` beats `vars:` of an inventory file, whichever group it is of",
        );
    }
    (winner.kind == loser.kind && in_file(winner) && secretive(losing) && !secretive(winning))
        .then_some("of the files of a directory the last one by name wins")
}
