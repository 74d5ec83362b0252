//! Names that look like ours and are not.

use crate::{
    diagnostic::{Diagnostic, Report},
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
    let limit = (short.chars().count() / 3).max(2);
    closest(short, table::all().map(|variable| variable.name), limit)
        .map(|near| format!("{PREFIX}{near}"))
}

/// The word that is the fewest slips away from `written`, at most `limit`.
pub(super) fn closest<'a>(
    written: &str,
    words: impl Iterator<Item = &'a str>,
    limit: usize,
) -> Option<&'a str> {
    words
        .map(|word| (distance(written, word), word))
        .filter(|(slips, _)| *slips <= limit)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// How many letters were inserted, dropped or changed between the two (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for ((to, pair), &left_above) in b.iter().zip(row.windows(2)).zip(&row) {
            let above = pair.last().copied().unwrap_or(left_above);
            let left = next.last().copied().unwrap_or(i);
            let changed = left_above + usize::from(from != *to);
            next.push(changed.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
