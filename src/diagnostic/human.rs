//! The form for people: rustc's.

use std::{borrow::Cow, path::Path};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{Diagnostic, Place, Severity};

pub(super) fn render(diagnostics: &[&Diagnostic], color: bool, cwd: &Path) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        let mut said = renderer.render(&[group(diagnostic, cwd)]);
        // The snippet's header counts columns in what is quoted; where a value was masked, that is
        // not the column in the file.
        if let Some(place) = diagnostic.place.as_ref().filter(|place| place.text.is_some()) {
            let path = path(place, cwd);
            let quoted = format!("{path}:{}:{}", place.line, place.caret + 1);
            said = said.replacen(&quoted, &format!("{path}:{}:{}", place.line, place.column), 1);
        }
        text.push_str(&said);
        text.push('\n');
        if let Some(hint) = &diagnostic.hint {
            let (bold, plain) = if color { ("\u{1b}[1;36m", "\u{1b}[0m") } else { ("", "") };
            text.push_str(&format!("{bold}hint{plain}: {}\n", clean(hint)));
        }
    }
    text
}

fn group<'a>(diagnostic: &'a Diagnostic, cwd: &Path) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(clean(&diagnostic.message));
    let Some(place) = &diagnostic.place else { return Group::with_title(title) };
    let path = path(place, cwd);
    let Some(text) = place.text.as_deref().filter(|_| place.line > 0) else {
        let mut origin = Origin::path(path);
        if place.line > 0 {
            origin = origin.line(index(place.line)).char_column(index(place.column));
        }
        let group = title.element(origin);
        return match &diagnostic.label {
            Some(label) => group.element(Level::NOTE.message(clean(label))),
            None => group,
        };
    };
    let mark = AnnotationKind::Primary.span(bytes(text, place.caret, place.width));
    let mark = match &diagnostic.label {
        Some(label) => mark.label(clean(label).into_owned()),
        None => mark,
    };
    title.element(Snippet::source(text).path(path).line_start(index(place.line)).annotation(mark))
}

fn path(place: &Place, cwd: &Path) -> String {
    let shown = place.file.strip_prefix(cwd).unwrap_or(&place.file);
    clean(&shown.to_string_lossy()).into_owned()
}

/// The caret's characters as bytes of the quoted line.
fn bytes(text: &str, caret: u32, width: u32) -> std::ops::Range<usize> {
    let offset = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let start = index(caret);
    offset(start)..offset(start + index(width.max(1)))
}

fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Without the control characters that would let a file's name or a key drive the terminal.
fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        let visible = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
        return text.chars().map(visible).collect::<String>().into();
    }
    text.into()
}
