//! The small grammar of one line.

/// A word of a line: what it says, and the slice of the line that it was written as.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: String,
    pub(super) written: &'a str,
}

/// The group and the type of a section's header; none if the line is no header.
pub(super) fn header(line: &str) -> Option<(&str, Option<&str>)> {
    let (inside, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return None;
    }
    let (group, kind) = match inside.split_once(':') {
        Some((group, kind)) => (group, Some(kind)),
        None => (inside, None),
    };
    let is_word =
        |kind: &str| !kind.is_empty() && kind.chars().all(|c| c.is_alphanumeric() || c == '_');
    let is_right =
        !group.is_empty() && !group.contains(char::is_whitespace) && kind.is_none_or(is_word);
    is_right.then_some((group, kind))
}

/// The name of a group alone on its line, or before a comment.
pub(super) fn group_name(line: &str) -> Option<&str> {
    let end =
        line.find(|c: char| c.is_whitespace() || matches!(c, ':' | ']')).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    (!name.is_empty() && (rest.is_empty() || rest.starts_with('#'))).then_some(name)
}

/// Words apart by blanks as a shell reads them (Python's `shlex.split` with comments): quotes are
/// taken off, a backslash keeps what follows, and `#` outside of quotes ends the line. None if a
/// quote stays open, or nothing follows a backslash.
pub(super) fn split(line: &str) -> Option<Vec<Word<'_>>> {
    let mut words = Vec::new();
    let mut text = String::new();
    let mut start: Option<usize> = None;
    let mut end = line.len();
    let mut letters = line.char_indices();
    while let Some((at, c)) = letters.next() {
        match c {
            '#' => {
                end = at;
                break;
            }
            c if c.is_ascii_whitespace() => {
                if let Some(start) = start.take() {
                    words.push(Word {
                        text: std::mem::take(&mut text),
                        written: line.get(start..at)?,
                    });
                }
                continue;
            }
            '\\' => text.push(letters.next()?.1),
            '\'' | '"' => loop {
                match (letters.next()?.1, c) {
                    (inner, quote) if inner == quote => break,
                    ('\\', '"') => {
                        let (_, escaped) = letters.next()?;
                        if !matches!(escaped, '"' | '\\') {
                            text.push('\\');
                        }
                        text.push(escaped);
                    }
                    (inner, _) => text.push(inner),
                }
            },
            c => text.push(c),
        }
        start.get_or_insert(at);
    }
    if let Some(start) = start {
        words.push(Word { text, written: line.get(start..end)? });
    }
    Some(words)
}
