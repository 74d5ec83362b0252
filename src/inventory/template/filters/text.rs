//! Filters on text: Jinja's and Ansible's, with Python's results.

use aws_lc_rs::digest;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::{
    super::{evaluate::LONGEST, python, words},
    arguments::{Arguments, add},
};

pub(super) fn install(environment: &mut Environment<'static>) {
    add(environment, "string", |value, _| Ok(python::text(value)?.into()));
    add(environment, "join", join);
    add(environment, "split", split);
    add(environment, "capitalize", |value, _| Ok(capitalized(&python::text(value)?).into()));
    add(environment, "indent", indent);
    for name in ["escape", "e"] {
        add(environment, name, |value, _| Ok(for_html(&python::text(value)?).into()));
    }
    add(environment, "quote", |value, _| {
        Ok(quoted(&if value.is_none() { String::new() } else { python::text(value)? }).into())
    });
    add(environment, "hash", |value, given| {
        hash(value, &given.text(0, "hashtype")?.unwrap_or_else(|| "sha1".into()))
    });
    add(environment, "checksum", |value, _| hash(value, "sha1"));
    add(environment, "sha1", |value, _| hash(value, "sha1"));
    add(environment, "b64encode", |value, given| {
        only_utf8(given)?;
        Ok(encode(python::text(value)?.as_bytes()).into())
    });
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

fn split(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let separator = given.get(0, "sep")?.filter(|separator| !separator.is_none());
    let separator = separator.map(|separator| python::text(&separator)).transpose()?;
    let most = given.get(1, "maxsplit")?.and_then(|most| most.as_usize());
    let parts = python::split(&python::text(value)?, separator.as_deref(), most);
    Ok(parts.ok_or_else(|| said("an empty separator"))?.into())
}

/// Jinja's `indent`: by a number of blanks or by a text.
fn indent(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let lead = match given.get(0, "width")? {
        Some(width) => match (width.as_str(), width.as_usize()) {
            (Some(lead), _) => lead.to_owned(),
            (None, Some(width)) if width <= LONGEST => " ".repeat(width),
            (None, _) => return Err(said("the width is a number of blanks, or a text")),
        },
        None => " ".repeat(4),
    };
    let (first, blank) = (given.flag(1, "first")?, given.flag(2, "blank")?);
    // A line break at the end opens one more line, which is empty.
    let text = text + "\n";
    let lines = python::lines(&text);
    if lines.len().saturating_mul(lead.len()).saturating_add(text.len()) > LONGEST {
        return Err(ErrorKind::OutOfFuel.into());
    }
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { "\n" });
        if (at == 0 && first) || (at > 0 && (blank || !line.is_empty())) {
            out.push_str(&lead);
        }
        out.push_str(line);
    }
    Ok(out.into())
}

fn for_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn only_utf8(given: &Arguments) -> Result<(), Error> {
    match given.text(0, "encoding")? {
        Some(name) if !matches!(&*name.to_lowercase(), "utf-8" | "utf8") => {
            Err(said("of the encodings only UTF-8 is known here"))
        }
        _ => Ok(()),
    }
}

pub(super) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    first + &letters.as_str().to_lowercase()
}

/// Python's `shlex.quote`.
fn quoted(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
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

fn decode(value: &Value, given: &Arguments) -> Result<Value, Error> {
    only_utf8(given)?;
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
