//! Filters on text: Jinja's and Ansible's, with Python's results.

use aws_lc_rs::digest;
use fancy_regex::{Captures, Regex, RegexBuilder};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::{
    super::{evaluate::LONGEST, python, words},
    arguments::{Arguments, add},
};

/// How often a pattern may go back before it is given up.
const PATIENCE: usize = 100_000;

pub(super) fn install(environment: &mut Environment<'static>) {
    add(environment, "string", |value, _| Ok(python::text(value)?.into()));
    add(environment, "join", join);
    add(environment, "split", split);
    add(environment, "capitalize", |value, _| Ok(capitalized(&python::text(value)?).into()));
    add(environment, "regex_replace", regex_replace);
    add(environment, "regex_search", regex_search);
    add(environment, "regex_findall", regex_findall);
    add(environment, "regex_escape", |value, _| Ok(escaped(&python::text(value)?).into()));
    add(environment, "quote", |value, _| Ok(quoted(&python::text(value)?).into()));
    add(environment, "basename", |value, _| {
        Ok(python::text(value)?.rsplit('/').next().unwrap_or_default().into())
    });
    add(environment, "dirname", dirname);
    add(environment, "splitext", splitext);
    add(environment, "hash", |value, given| {
        hash(value, &given.text(0, "hashtype")?.unwrap_or_else(|| "sha1".into()))
    });
    add(environment, "checksum", |value, _| hash(value, "sha1"));
    add(environment, "sha1", |value, _| hash(value, "sha1"));
    add(environment, "b64encode", |value, _| Ok(encode(python::text(value)?.as_bytes()).into()));
    add(environment, "b64decode", decode);
}

/// An error that is told with these words.
pub(in super::super) fn said(label: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{}{label}", words::SAID))
}

fn join(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let between = given.text(0, "d")?.unwrap_or_default();
    let attribute = given.text(1, "attribute")?;
    let mut joined = String::new();
    for (at, item) in value.try_iter()?.enumerate() {
        let item = match &attribute {
            Some(attribute) => item.get_attr(attribute)?,
            None => item,
        };
        if at > 0 {
            joined.push_str(&between);
        }
        joined.push_str(&python::text(&item)?);
        if joined.len() > LONGEST {
            return Err(ErrorKind::OutOfFuel.into());
        }
    }
    Ok(joined.into())
}

/// Python's `str.split`.
fn split(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let most = given.get(1, "maxsplit")?.and_then(|most| most.as_usize()).unwrap_or(usize::MAX - 1);
    let parts: Vec<String> = match given.text(0, "sep")? {
        Some(separator) if separator.is_empty() => return Err(said("an empty separator")),
        Some(separator) => text.splitn(most + 1, &separator).map(str::to_owned).collect(),
        None => text.split_whitespace().map(str::to_owned).collect(),
    };
    Ok(parts.into())
}

pub(super) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    first + &letters.as_str().to_lowercase()
}

fn pattern(given: &Arguments, at: usize, name: &str, flags: usize) -> Result<Regex, Error> {
    let written = given.needed(at, name)?.replace("(?P=", "\\k<").replace("\\Z", "\\z");
    let mut prefix = String::new();
    // Of a search the further arguments are groups.
    let flag = |at: usize, name: &str| match flags {
        0 => Ok(given.named(name)?.is_some_and(|value| value.is_true())),
        first => given.flag(first + at, name),
    };
    if flag(0, "ignorecase")? {
        prefix.push_str("(?i)");
    }
    if flag(1, "multiline")? {
        prefix.push_str("(?m)");
    }
    RegexBuilder::new(&format!("{prefix}{written}"))
        .backtrack_limit(PATIENCE)
        .build()
        .map_err(|_| said("this is no regular expression that is understood here"))
}

fn gave_up<T>(result: Result<T, fancy_regex::Error>) -> Result<T, Error> {
    result.map_err(|_| said("the regular expression takes too long on this text"))
}

fn regex_replace(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let expression = pattern(given, 0, "pattern", 2)?;
    let replacement = given.text(1, "replacement")?.unwrap_or_default();
    let count = given.get(4, "count")?.and_then(|count| count.as_usize()).unwrap_or(0);
    let mut replaced = String::new();
    let mut end = 0;
    for (number, found) in expression.captures_iter(text.as_str()).enumerate() {
        if count > 0 && number >= count {
            break;
        }
        let found = gave_up(found)?;
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
    let expression = pattern(given, 0, "regex", 0)?;
    let Some(found) = gave_up(expression.captures(text.as_str()))? else { return Ok(().into()) };
    let groups = given.positional().get(1..).unwrap_or_default();
    if groups.is_empty() {
        return Ok(found.get(0).map_or("", |whole| whole.as_str()).into());
    }
    let mut values = Vec::new();
    for group in groups {
        let group = python::text(group)?;
        let name = group.strip_prefix("\\g<").and_then(|name| name.strip_suffix('>'));
        let name = name
            .or_else(|| group.strip_prefix('\\'))
            .ok_or_else(|| said("a group is `\\\\1` or `\\\\g<name>`"))?;
        let matched = match name.parse::<usize>() {
            Ok(number) => found.get(number),
            Err(_) => found.name(name),
        };
        values.push(matched.map_or_else(|| Value::from(()), |matched| matched.as_str().into()));
    }
    Ok(values.into())
}

fn regex_findall(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let expression = pattern(given, 0, "regex", 0)?;
    let mut all: Vec<Value> = Vec::new();
    for found in expression.captures_iter(text.as_str()) {
        let found = gave_up(found)?;
        let group = |at: usize| Value::from(found.get(at).map_or("", |group| group.as_str()));
        all.push(match found.len() {
            1 => group(0),
            2 => group(1),
            groups => (1..groups).map(group).collect::<Vec<_>>().into(),
        });
    }
    Ok(all.into())
}

/// Python's `re.escape`.
fn escaped(text: &str) -> String {
    let special = "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}";
    let escape = |c: char| if special.contains(c) { vec!['\\', c] } else { vec![c] };
    text.chars().flat_map(escape).collect()
}

/// Python's `shlex.quote`.
fn quoted(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

fn dirname(value: &Value, _: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let head = text.rfind('/').and_then(|at| text.get(..=at)).unwrap_or_default();
    let bare = head.trim_end_matches('/');
    Ok(if bare.is_empty() { head.into() } else { bare.into() })
}

fn splitext(value: &Value, _: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let name = text.rfind('/').map_or(0, |at| at + 1);
    let lead = text.get(name..).unwrap_or_default();
    let first = name + (lead.len() - lead.trim_start_matches('.').len());
    let dot = text.get(first..).and_then(|rest| rest.rfind('.')).map(|at| first + at);
    let (root, ending) = text.split_at(dot.unwrap_or(text.len()));
    Ok(vec![root.to_owned(), ending.to_owned()].into())
}

fn hash(value: &Value, kind: &str) -> Result<Value, Error> {
    let algorithm = match kind {
        "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "sha224" => &digest::SHA224,
        "sha256" => &digest::SHA256,
        "sha384" => &digest::SHA384,
        "sha512" => &digest::SHA512,
        _ => return Err(said("of the hashes only those of the SHA family are known here")),
    };
    let digest = digest::digest(algorithm, python::text(value)?.as_bytes());
    Ok(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        let number = number << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let index = usize::try_from(number >> (18 - 6 * at) & 63).unwrap_or(0);
            let letter = LETTERS.get(index).map_or('=', |letter| char::from(*letter));
            text.push(if at > chunk.len() { '=' } else { letter });
        }
    }
    text
}

fn decode(value: &Value, _: &Arguments) -> Result<Value, Error> {
    let wrong = || said("this is no Base64 of UTF-8 text");
    let text = python::text(value)?;
    let (mut number, mut bits, mut bytes) = (0u32, 0, Vec::new());
    // Python passes over what is no letter of Base64.
    for byte in text.bytes() {
        let Some(at) = LETTERS.iter().position(|letter| *letter == byte) else { continue };
        number = number << 6 | u32::try_from(at).map_err(|_| wrong())?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(number >> bits & 0xff).map_err(|_| wrong())?);
            number &= (1 << bits) - 1;
        }
    }
    let padding = text.bytes().filter(|byte| *byte == b'=').count();
    if (text.bytes().filter(|byte| LETTERS.contains(byte)).count() + padding) % 4 != 0 {
        return Err(wrong());
    }
    String::from_utf8(bytes).map(Value::from).map_err(|_| wrong())
}

/// Where a match must begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    None,
}

/// The tests `match` and `search`.
pub(super) fn matches(value: &Value, given: &Arguments, anchor: Anchor) -> Result<bool, Error> {
    let text = python::text(value)?;
    let expression = pattern(given, 0, "pattern", 1)?;
    let found = gave_up(expression.find(text.as_str()))?;
    Ok(found.is_some_and(|found| anchor == Anchor::None || found.start() == 0))
}
