//! Whether a text is YAML at all: libyaml's verdict, in our words.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::diagnostic::{Diagnostic, Place};

use super::{
    super::{Source, mask},
    cause,
};

/// More brackets left open than this are refused unread: libyaml looks at each of them again for
/// every token.
const MOST_OPEN: usize = 1000;

pub(super) fn verdict(source: &Arc<Source>) -> Result<(), Box<Diagnostic>> {
    let text = source.text();
    if left_open(text) > MOST_OPEN {
        return Err(too_deep(mask::broken(source, 1, 1, 1)));
    }
    let Err(error) = serde_yaml::from_str::<IgnoredAny>(text) else { return Ok(()) };
    let line_column = error.location().map(|at| (number(at.line()), number(at.column())));
    // libyaml's texts are constants with positions in them; nothing of the file is in this one.
    let problem = error.to_string();
    if problem.starts_with("recursion limit") {
        let (line, column) = line_column.unwrap_or((1, 1));
        return Err(too_deep(mask::broken(source, line, column, 1)));
    }
    Err(Box::new(cause::explain(source, &problem, line_column)))
}

pub(super) fn too_deep(place: Place) -> Box<Diagnostic> {
    let diagnostic = Diagnostic::error("yaml-too-deep", "collections nest too deep")
        .at(place)
        .label(format!("more than {} levels of lists and mappings", super::DEEPEST));
    Box::new(diagnostic)
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The most brackets that stand open at once, without regard to quotes.
fn left_open(text: &str) -> usize {
    let mut open = 0usize;
    let mut most = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}
