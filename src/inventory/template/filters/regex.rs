//! Regular expressions, as Python's `re` has them.

use fancy_regex::{Captures, Regex, RegexBuilder};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::{
    super::{evaluate::LONGEST, python},
    arguments::{Arguments, add},
    text::said,
};

/// How often a pattern may go back before it is given up.
const PATIENCE: usize = 100_000;

pub(super) fn install(environment: &mut Environment<'static>) {
    add(environment, "regex_replace", regex_replace);
    add(environment, "regex_search", regex_search);
    add(environment, "regex_findall", regex_findall);
    add(environment, "regex_escape", |value, given| {
        if given.text(0, "re_type")?.is_some_and(|kind| kind != "python") {
            return Err(said("of the kinds of regular expressions only Python's is known here"));
        }
        Ok(escaped(&python::text(value)?).into())
    });
}

/// The pattern that is the first argument. `flags` says where `ignorecase` stands among the
/// positional ones; those of a search are groups instead.
fn pattern(given: &Arguments, name: &str, flags: [Option<usize>; 2]) -> Result<Regex, Error> {
    let written = given.needed(0, name)?.replace("\\Z", "\\z");
    let mut prefix = String::new();
    for ((at, name), sign) in flags.into_iter().zip(["ignorecase", "multiline"]).zip(["i", "m"]) {
        let flag = match at {
            Some(at) => given.flag(at, name)?,
            None => given.named(name)?.is_some_and(|value| value.is_true()),
        };
        if flag {
            prefix.push_str(&format!("(?{sign})"));
        }
    }
    RegexBuilder::new(&format!("{prefix}{written}"))
        .backtrack_limit(PATIENCE)
        .build()
        .map_err(|_| said("this is no regular expression that is understood here"))
}

fn gave_up<T>(result: Result<T, fancy_regex::Error>) -> Result<T, Error> {
    result.map_err(|_| said("the regular expression takes too long on this text"))
}

/// Every match, from left to right. An empty one may follow right behind one that is not empty, but
/// not behind an empty one, as Python has it since 3.7.
fn all<'t>(expression: &Regex, text: &'t str) -> Result<Vec<Captures<'t, str>>, Error> {
    let mut found = Vec::new();
    let mut from = 0;
    let mut empty_at = None;
    while from <= text.len() {
        let Some(captures) = gave_up(expression.captures_from_pos(text, from))? else { break };
        let Some(whole) = captures.get(0) else { break };
        let (start, end) = (whole.start(), whole.end());
        if start == end && empty_at == Some(start) {
            // The same again: on with the next letter.
            let next = text.get(start..).and_then(|rest| rest.chars().next());
            let Some(next) = next else { break };
            from = start + next.len_utf8();
            empty_at = None;
            continue;
        }
        empty_at = (start == end).then_some(end);
        from = end;
        found.push(captures);
        if found.len() > LONGEST / 16 {
            return Err(ErrorKind::OutOfFuel.into());
        }
    }
    Ok(found)
}

fn regex_replace(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let expression = pattern(given, "pattern", [Some(2), Some(3)])?;
    let replacement = given.text(1, "replacement")?.unwrap_or_default();
    let most = given.get(4, "count")?.and_then(|count| count.as_usize()).unwrap_or(0);
    let needed = given.get(5, "mandatory_count")?.and_then(|count| count.as_usize()).unwrap_or(0);
    let mut found = all(&expression, &text)?;
    if most > 0 {
        found.truncate(most);
    }
    if needed > 0 && found.len() != needed {
        return Err(said("the pattern does not match as often as `mandatory_count` says"));
    }
    let mut replaced = String::new();
    let mut end = 0;
    for found in found {
        let Some(whole) = found.get(0) else { continue };
        replaced.push_str(text.get(end..whole.start()).unwrap_or_default());
        expand(&replacement, &found, &mut replaced)?;
        end = whole.end();
        if replaced.len() > LONGEST {
            return Err(ErrorKind::OutOfFuel.into());
        }
    }
    replaced.push_str(text.get(end..).unwrap_or_default());
    Ok(replaced.into())
}

/// Python's replacement text: `\1`, `\g<1>`, `\g<name>`.
fn expand(replacement: &str, found: &Captures<'_, str>, out: &mut String) -> Result<(), Error> {
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let (group, next) = if let Some((name, next)) =
            after.strip_prefix("g<").and_then(|after| after.split_once('>'))
        {
            (name, next)
        } else {
            let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
            after.split_at(digits)
        };
        rest = next;
        if group.is_empty() {
            let c = rest.chars().next().unwrap_or('\\');
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            out.push_str(match c {
                'n' => "\n",
                't' => "\t",
                'r' => "\r",
                '\\' => "\\",
                _ => return Err(said("the replacement has an escape that Python does not know")),
            });
            continue;
        }
        let matched = match group.parse::<usize>() {
            Ok(number) if number < found.len() => found.get(number),
            Ok(_) => return Err(said("the replacement names a group that the pattern has not")),
            Err(_) => found.name(group),
        };
        out.push_str(matched.map_or("", |matched| matched.as_str()));
    }
    out.push_str(rest);
    Ok(())
}

fn regex_search(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let expression = pattern(given, "regex", [None, None])?;
    let groups = given.positional().get(1..).unwrap_or_default();
    let groups = groups.iter().map(group).collect::<Result<Vec<_>, _>>()?;
    let Some(found) = gave_up(expression.captures(text.as_str()))? else { return Ok(().into()) };
    if groups.is_empty() {
        return Ok(found.get(0).map_or("", |whole| whole.as_str()).into());
    }
    let mut values = Vec::new();
    for name in &groups {
        let matched = match name.parse::<usize>() {
            Ok(number) if number < found.len() => found.get(number),
            Err(_) if expression.capture_names().flatten().any(|known| known == name) => {
                found.name(name)
            }
            _ => return Err(said("the pattern has no such group")),
        };
        values.push(matched.map_or_else(|| Value::from(()), |matched| matched.as_str().into()));
    }
    Ok(values.into())
}

/// The number or name of a group that a search is asked for.
fn group(written: &Value) -> Result<String, Error> {
    let written = python::text(written)?;
    let named = written.strip_prefix("\\g<").and_then(|name| name.strip_suffix('>'));
    named
        .or_else(|| written.strip_prefix('\\').filter(|number| number.parse::<usize>().is_ok()))
        .map(str::to_owned)
        .ok_or_else(|| said("a group is `\\1` or `\\g<name>`"))
}

fn regex_findall(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let expression = pattern(given, "regex", [Some(2), Some(1)])?;
    let mut every: Vec<Value> = Vec::new();
    for found in all(&expression, &text)? {
        let group = |at: usize| Value::from(found.get(at).map_or("", |group| group.as_str()));
        every.push(match found.len() {
            1 => group(0),
            2 => group(1),
            groups => (1..groups).map(group).collect::<Vec<_>>().into(),
        });
    }
    Ok(every.into())
}

/// Python's `re.escape`.
fn escaped(text: &str) -> String {
    let special = "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}";
    let escape = |c: char| if special.contains(c) { vec!['\\', c] } else { vec![c] };
    text.chars().flat_map(escape).collect()
}

/// Where a match must begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    None,
    Both,
}

/// The tests `match` and `search`.
pub(super) fn matches(value: &Value, given: &Arguments, anchor: Anchor) -> Result<bool, Error> {
    let text = python::text(value)?;
    let expression = pattern(given, "pattern", [Some(1), Some(2)])?;
    let found = gave_up(expression.find(text.as_str()))?;
    Ok(found.is_some_and(|found| match anchor {
        Anchor::None => true,
        Anchor::Start => found.start() == 0,
        Anchor::Both => found.start() == 0 && found.end() == text.len(),
    }))
}

/// The test `regex`, which can be told how.
pub(super) fn is_regex(value: &Value, given: &Arguments) -> Result<bool, Error> {
    let anchor = match given.text(3, "match_type")?.as_deref() {
        None | Some("search") => Anchor::None,
        Some("match") => Anchor::Start,
        Some("fullmatch") => Anchor::Both,
        Some(_) => return Err(said("the type of a match is `search`, `match` or `fullmatch`")),
    };
    matches(value, given, anchor)
}
