//! The one setting that clients are configured with.

use crate::{
    diagnostic::{Diagnostic, Report},
    inventory::Cause,
};

use super::{
    check, coerce,
    layers::join,
    read::{self, Given},
    table,
};

const URL: &str = "registry_mirror_url";

/// What clients are told. Nothing else needs to be right, and nothing that it is not made of is
/// looked at.
pub fn url(given: &Given<'_>, report: &mut Report) -> Option<String> {
    let variable = table::find(URL)?;
    let mut winners = join(&read::layers(given, &mut Report::new()));
    read::unset(&mut winners);
    let node = match read::scope(given, &winners).render(URL) {
        Ok(node) => node,
        Err(failures) => {
            for failure in failures {
                let missing = matches!(failure.cause, Cause::Missing(_));
                let advised =
                    failure.diagnostic.clone().hint(format!("set `{URL}` {}", given.advice));
                report.push(if missing { advised } else { failure.diagnostic });
            }
            return None;
        }
    };
    let value = coerce::coerce(variable.kind, &node, given.directory);
    let url = value.as_str().unwrap_or_default().to_owned();
    if url.is_empty() {
        report.push(
            Diagnostic::error("missing-variable", format!("`{URL}` is empty"))
                .at(node.origin.place(false))
                .hint("set it to what clients reach this mirror by, such as `https://host:5000`")
                .variable(URL),
        );
        return None;
    }
    let values = [(URL.to_owned(), value)].into_iter().collect();
    let nodes = [(URL.to_owned(), node)].into_iter().collect();
    let wrong = check::check(&values, &nodes);
    let is_right = wrong.is_empty();
    report.extend(wrong.into_iter().map(|(_, diagnostic)| diagnostic));
    is_right.then_some(url)
}
