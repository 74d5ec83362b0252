//! `-e`: `k=v …`, `@file`, or a mapping in YAML or JSON. Stronger than everything else.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Report};

use super::{Entry, Node, Origin, Source, disk::Disk, parse, variables};

/// The variables of one argument.
pub(super) fn read(disk: &Disk, argument: &str, report: &mut Report) -> Vec<Entry> {
    if let Some(path) = argument.strip_prefix('@') {
        let Some(source) = disk.read(Path::new(path), report) else { return Vec::new() };
        return parse(&source, report).map(|node| variables(node, report)).unwrap_or_default();
    }
    let source = Source::extra(argument);
    if argument.trim_start().starts_with(['{', '[']) {
        return parse(&source, report).map(|node| variables(node, report)).unwrap_or_default();
    }
    let origin = Origin::whole(&source);
    let Some(words) = split(argument) else {
        report.push(refusal(&origin, "a quote or template is never closed"));
        return Vec::new();
    };
    let mut entries = Vec::new();
    for word in words {
        let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            report.push(refusal(&origin, "a word without `=`"));
            continue;
        };
        let mut node = Node::plain(value, origin.clone());
        // Unlike the environment, `-e` is a place that Ansible trusts with templates.
        node.template = true;
        entries.push(Entry { name: name.into(), node: node.into() });
    }
    entries
}

fn refusal(origin: &Origin, why: &str) -> Diagnostic {
    Diagnostic::error("extra-vars", "the argument of `-e` cannot be read")
        .at(origin.place(false))
        .label(why)
        .hint(
            "write `-e name=value`, `-e 'name=\"two words\"'`, `-e @file` or `-e '{name: value}'`",
        )
}

/// Words apart by blanks, except inside quotes and templates; quotes around a value are dropped
/// (`parse_kv` of ansible-core). None if something stays open.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut depth = 0usize;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\\', _) if rest.peek().is_some_and(|next| matches!(next, '"' | '\'' | '\\')) => {
                word.extend(rest.next());
            }
            (c, Some(open)) if c == open => {
                quote = None;
                if depth > 0 {
                    word.push(c);
                }
            }
            ('"' | '\'', None) if depth > 0 || word.ends_with('=') => {
                quote = Some(c);
                if depth > 0 {
                    word.push(c);
                }
            }
            (c, None) if c.is_whitespace() && depth == 0 => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, _) => {
                if quote.is_none() {
                    match c {
                        '{' if rest.peek() == Some(&'{') => depth += 1,
                        '<' if rest.peek() == Some(&'<') => depth += 1,
                        '}' | '>' if depth > 0 && word.ends_with(c) => depth -= 1,
                        _ => {}
                    }
                }
                word.push(c);
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    (quote.is_none() && depth == 0).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_ansible_splits_them() {
        for (text, words) in [
            ("a=1 b=2", Some(vec!["a=1", "b=2"])),
            ("a='x y' b=\"z\"", Some(vec!["a=x y", "b=z"])),
            ("a={{ b ~ ' ' }}-c d=<< e >>", Some(vec!["a={{ b ~ ' ' }}-c", "d=<< e >>"])),
            ("a=it\\'s", Some(vec!["a=it's"])),
            ("a=x=y", Some(vec!["a=x=y"])),
            ("a=", Some(vec!["a="])),
            ("a='x", None),
            ("a={{ b", None),
        ] {
            let words = words.map(|w| w.into_iter().map(str::to_owned).collect());
            assert_eq!(split(text), words, "of `{text}`");
        }
    }
}
