//! Where a value was written, and what of that line may be shown.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use zeroize::Zeroizing;

use crate::diagnostic::Place;

use super::mask;

/// A line longer than this, in bytes, is never quoted, nor walked through for a message: it could
/// only be a value, and a file of one line has as many messages as it is long.
const LONGEST: usize = 2000;

/// A text that was read, under the name that messages use for it.
pub struct Source {
    kind: SourceKind,
    name: Arc<Path>,
    text: Zeroizing<String>,
    /// Whether it was sealed: nothing of it is ever quoted.
    vaulted: bool,
    /// Where each line starts, made when the first is asked for.
    lines: OnceLock<Vec<usize>>,
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A file of the inventory.
    File,
    /// `defaults.yml`, compiled in.
    BuiltIn,
    /// An environment variable.
    Environment,
    /// An `-e` argument.
    Extra,
}

impl Source {
    /// A file that was read.
    pub fn file(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Self::new(SourceKind::File, path.into(), text.into())
    }

    /// A file that was sealed, opened. Nothing of it is ever quoted.
    pub(super) fn vaulted(path: &Path, text: Zeroizing<String>) -> Arc<Self> {
        Arc::new(Self {
            kind: SourceKind::File,
            name: path.into(),
            text,
            vaulted: true,
            lines: OnceLock::new(),
        })
    }

    /// A file that is compiled in, under its name.
    pub fn built_in(name: &str, text: &'static str) -> Arc<Self> {
        Self::new(SourceKind::BuiltIn, PathBuf::from(name), text.into())
    }

    /// The environment variable `name`.
    pub fn environment(name: &str) -> Arc<Self> {
        Self::new(SourceKind::Environment, PathBuf::from(format!("environment {name}")), "".into())
    }

    /// An `-e` argument.
    pub fn extra(text: impl Into<String>) -> Arc<Self> {
        Self::new(SourceKind::Extra, PathBuf::from("-e"), text.into())
    }

    /// The place of a file as a whole, read or not.
    pub fn whole_place(path: &Path) -> Place {
        Place { file: path.into(), line: 0, column: 0, text: None, caret: 0, width: 1 }
    }

    fn new(kind: SourceKind, name: PathBuf, text: String) -> Arc<Self> {
        let (text, lines) = (Zeroizing::new(text), OnceLock::new());
        Arc::new(Self { kind, name: name.into(), text, vaulted: false, lines })
    }

    /// What it is.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// The path as it was reached, or the name that stands for one.
    pub fn name(&self) -> &Arc<Path> {
        &self.name
    }

    /// The whole text. Holds secrets.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A line (from 1) without its end. Lines end where YAML says they do, at a lone carriage
    /// return too.
    pub(super) fn line(&self, line: u32) -> Option<&str> {
        let starts = self.lines.get_or_init(|| {
            let bytes = self.text.as_bytes();
            let ends = |at: usize| match bytes.get(at) {
                Some(b'\n') => true,
                Some(b'\r') => bytes.get(at + 1) != Some(&b'\n'),
                _ => false,
            };
            let after_breaks = (0..bytes.len()).filter(|at| ends(*at)).map(|at| at + 1);
            std::iter::once(0).chain(after_breaks).collect()
        });
        let at = usize::try_from(line).ok()?.checked_sub(1)?;
        let start = *starts.get(at)?;
        let end = starts.get(at + 1).copied().unwrap_or(self.text.len());
        Some(self.text.get(start..end)?.trim_end_matches(['\n', '\r']))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a value was written: a source and the first line of the value in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Origin {
    source: Arc<Source>,
    line: u32,
    column: u32,
    width: u32,
    /// Whether the value goes on below its first line.
    goes_on: bool,
}

impl Origin {
    /// The environment variable `name`.
    pub fn environment(name: &str) -> Self {
        Self::whole(&Source::environment(name))
    }

    /// A source as a whole.
    pub fn whole(source: &Arc<Source>) -> Self {
        Self::at(source, 0, 0, 0)
    }

    /// `width` characters from `line` and `column`, all from 1.
    pub fn at(source: &Arc<Source>, line: u32, column: u32, width: u32) -> Self {
        Self { source: source.clone(), line, column, width, goes_on: false }
    }

    /// The text it was written in.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// From 1; 0 if the source as a whole is meant.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// In characters, from 1; 0 if the source as a whole is meant.
    pub fn column(&self) -> u32 {
        self.column
    }

    /// The directory that relative paths in this value start from: the file's own.
    pub fn directory(&self) -> Option<&Path> {
        match self.source.kind {
            SourceKind::File => self.source.name.parent(),
            _ => None,
        }
    }

    /// The place for a diagnostic. Everything on the line that is a value is masked, except,
    /// with `shown`, the value that was written here.
    pub fn place(&self, shown: bool) -> Place {
        mask::place(self, shown, (self.column, self.width))
    }

    /// The same with the caret under a part of the scalar that was written here: `part` begins
    /// `before` characters into it. If it stands elsewhere, on a later line or behind an escape,
    /// the caret is under the whole.
    pub(super) fn place_within(&self, shown: bool, before: usize, part: &str) -> Place {
        let line = self.short_line().unwrap_or("");
        let scalar = usize::try_from(self.column).unwrap_or(0).saturating_sub(1);
        let width = part.chars().count();
        // A quote in front shifts the text by one.
        let found = [scalar + before, scalar + 1 + before].into_iter().find(|skip| {
            let inside = line.char_indices().nth(*skip).and_then(|(at, _)| line.get(at..));
            width > 0 && inside.is_some_and(|rest| rest.starts_with(part))
        });
        let part = match found.map(|skip| (u32::try_from(skip + 1), u32::try_from(width))) {
            Some((Ok(column), Ok(width))) => (column, width),
            _ => (self.column, self.width),
        };
        mask::place(self, shown, part)
    }

    /// Says where the value ends: the column after its last character, both from 1. Of a value
    /// that goes on below, the rest of its first line counts.
    pub(super) fn close(&mut self, line: u32, column: u32) {
        if line == self.line {
            self.width = column.saturating_sub(self.column).max(1);
            return;
        }
        self.goes_on = true;
        if let Some(text) = self.source.line(self.line) {
            let length = u32::try_from(text.trim_end().chars().count()).unwrap_or(u32::MAX);
            self.width = length.saturating_add(1).saturating_sub(self.column).max(1);
        }
    }

    /// Of a block scalar: where its `|` or `>` stands. Its first line of text, where the parser
    /// has it begin, would look like structure when quoted.
    pub(super) fn header(self) -> Self {
        for line in (1..self.line).rev() {
            let Some(text) = self.source.line(line).filter(|text| !text.trim().is_empty()) else {
                continue;
            };
            let bare = text.split_once(" #").map_or(text, |(bare, _)| bare);
            let Some(at) = bare.rfind(['|', '>']) else { break };
            let column = bare.get(..at).map_or(0, |before| before.chars().count()) + 1;
            let column = u32::try_from(column).unwrap_or(1);
            return Self { line, column, width: 1, ..self };
        }
        self
    }

    /// The line that it was written on, unless that is too long to be looked at, or was sealed.
    pub(super) fn short_line(&self) -> Option<&str> {
        let open = !self.source.vaulted;
        self.source.line(self.line).filter(|line| open && line.len() <= LONGEST)
    }

    /// What was written, as it stands on its first line. Holds secrets.
    pub fn written(&self) -> Option<&str> {
        let skip = usize::try_from(self.column).ok()?.checked_sub(1)?;
        let line = self.short_line()?;
        let mut offsets = line.char_indices().map(|(at, _)| at).chain([line.len()]).skip(skip);
        let start = offsets.next()?;
        let end = offsets.take(usize::try_from(self.width).ok()?).last()?;
        line.get(start..end)
    }

    /// Whether the value goes on below its first line, which then does not tell what is in it.
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    pub(super) fn width(&self) -> u32 {
        self.width
    }
}

/// `FILE:LINE:COLUMN`, or what stands for a file.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source.name.display())?;
        if self.source.kind == SourceKind::BuiltIn {
            return f.write_str(" (built in)");
        }
        if self.line > 0 && self.source.kind != SourceKind::Extra {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}
