//! YAML as Ansible reads it: libyaml's grammar and PyYAML's types, every value with its place.
//!
//! Two parsers read each text. libyaml (through serde_yaml) decides whether it is YAML at all, so
//! that the verdict is Ansible's own; the events of a second parser, which knows where each scalar
//! stands, are composed into nodes.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Report};

use super::{Node, Source, SourceKind, Value, mask};

mod cause;
mod compose;
mod merge;
mod number;
mod resolver;
mod tag;
#[cfg(test)]
mod tests;
mod verdict;

/// Files above this size are refused, in bytes.
pub(super) const LARGEST: usize = 1 << 20;

/// How deep collections may nest.
const DEEPEST: usize = 128;

/// Reads one YAML document; an empty one is null. None if it does not parse or holds what cannot
/// be read, with every reason in the report.
pub fn parse(source: &Arc<Source>, report: &mut Report) -> Option<Node> {
    let text = source.text();
    if text.len() > LARGEST {
        report.push(
            Diagnostic::error("file-too-large", "the file is larger than 1 MiB")
                .at(mask::broken(source, 0, 0, 1)),
        );
        return None;
    }
    if is_empty(text) {
        return Some(Node {
            value: Value::Null,
            origin: super::Origin::at(source, 1, 1, 1),
            template: false,
            quoted: false,
            rendered: false,
        });
    }
    let composed = compose::compose(source);
    // The limit on nesting goes first: libyaml's time grows with the square of the depth.
    if let Err(stopped) = &composed
        && stopped.check == "yaml-too-deep"
    {
        report.push(stopped.as_ref().clone());
        return None;
    }
    // What is compiled in was judged when it was tested.
    let is_ours = source.kind() == SourceKind::BuiltIn;
    if let Some(refused) = (!is_ours).then(|| verdict::verdict(source)).and_then(Result::err) {
        report.push(*refused);
        return None;
    }
    match composed {
        Ok((node, found)) => {
            let refused = found.iter().any(|d| d.severity == crate::diagnostic::Severity::Error);
            report.extend(found);
            (!refused).then_some(node)
        }
        Err(stopped) => {
            report.push(*stopped);
            None
        }
    }
}

/// Nothing but blank lines and comments.
fn is_empty(text: &str) -> bool {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#'))
}
