//! The form for people: rustc's.

use std::path::Path;

use super::Diagnostic;

pub(super) fn render(_diagnostics: &[&Diagnostic], _color: bool, _cwd: &Path) -> String {
    String::new()
}
