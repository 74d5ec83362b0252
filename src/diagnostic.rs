//! A message with a place in a file, a cause and a hint, and how it is printed.

use std::{path::Path, sync::Arc};

mod human;
mod machine;
mod nearest;
#[cfg(test)]
mod tests;

pub use nearest::nearest;

/// How many diagnostics of a severity are printed.
const MOST_SHOWN: usize = 100;

/// How bad it is. Orders from the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// Accepted, but probably not what was meant.
    Warning,
    /// Worth knowing.
    Info,
}

/// One place in a file, with the one line that is quoted. Never holds a neighbouring line, and in
/// `text` never a value that may not be shown (promise 14): whoever makes a place masks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file; with `line` 0 what stands for one (`environment NAME`, `-e`).
    pub file: Arc<Path>,
    /// From 1; 0 if there are no lines.
    pub line: u32,
    /// In characters as they stand in the file, from 1.
    pub column: u32,
    /// The line, masked, ready to print.
    pub text: Option<Arc<str>>,
    /// Where the caret stands: characters of `text` before it. Not `column - 1` where something
    /// before it was masked.
    pub caret: u32,
    /// How many characters of `text` the caret underlines, at least 1.
    pub width: u32,
}

/// Something to say about the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What found it: kebab-case, stable, so that machines may rely on it.
    pub check: &'static str,
    /// What is wrong, in lower case, without a full stop and without a value that may not be
    /// shown.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// The cause, printed at the caret.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The variable it is about.
    pub variable: Option<String>,
}

impl Diagnostic {
    /// A message of this severity, found by `check`.
    pub fn new(severity: Severity, check: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            check,
            message: message.into(),
            place: None,
            label: None,
            hint: None,
            variable: None,
        }
    }

    /// A reason to refuse the configuration.
    pub fn error(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, check, message)
    }

    /// Something that is accepted, though probably not meant.
    pub fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, check, message)
    }

    /// Something worth knowing.
    pub fn info(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, check, message)
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<Place>>) -> Self {
        self.place = place.into();
        self
    }

    /// Says why, at the caret.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    /// Says about which variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>) -> Self {
        self.variable = Some(name.into());
        self
    }
}

/// How many of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub errors: usize,
    pub warnings: usize,
    pub infos: usize,
}

impl Counts {
    fn of(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Info => &mut self.infos,
        }
    }
}

/// Everything there is to say after a run; problems are collected, not thrown.
#[derive(Clone, Debug, Default)]
pub struct Report {
    found: Vec<Diagnostic>,
}

impl Report {
    /// Nothing to say yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Adds several.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.found.extend(diagnostics);
    }

    /// Adds everything of another report.
    pub fn append(&mut self, mut other: Self) {
        self.found.append(&mut other.found);
    }

    /// Whether anything in it refuses the configuration.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many of each severity, each diagnostic counted once.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for diagnostic in self.sorted() {
            *counts.of(diagnostic.severity) += 1;
        }
        counts
    }

    /// By file, line, column and check; what has no place comes last; each once.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.found.iter().collect();
        sorted.sort_by_cached_key(|d| {
            let place = d.place.as_ref().map(|p| (p.file.clone(), p.line, p.column));
            (place.is_none(), place, d.check, d.message.clone())
        });
        sorted.dedup();
        sorted
    }

    /// For people: each diagnostic with its line and caret, its hint on a line of its own, paths
    /// relative to `cwd` where they lie below it. Of each severity the first hundred, and how many
    /// more there are. Ends with a line feed unless there is nothing to say.
    pub fn human(&self, color: bool, cwd: &Path) -> String {
        let mut sorted = self.sorted();
        let (mut kept, mut left) = (Counts::default(), Counts::default());
        sorted.retain(|diagnostic| {
            let keeps = *kept.of(diagnostic.severity) < MOST_SHOWN;
            *if keeps { &mut kept } else { &mut left }.of(diagnostic.severity) += 1;
            keeps
        });
        let mut text = human::render(&sorted, color, cwd);
        for (count, what) in [(left.errors, "error"), (left.warnings, "warning")] {
            match count {
                0 => {}
                1 => text.push_str(&format!("and 1 more {what}\n")),
                count => text.push_str(&format!("and {count} more {what}s\n")),
            }
        }
        text
    }
}
