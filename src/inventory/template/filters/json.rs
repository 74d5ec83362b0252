//! JSON and YAML as text, written as Python's `json.dumps` writes it.

use std::fmt::Write as _;

use minijinja::{Environment, Error, ErrorKind, Value, value::ValueKind};

use super::{
    super::{
        super::{Source, yaml},
        convert,
        evaluate::LONGEST,
        objects::mapping,
        python,
    },
    arguments::{Arguments, add},
    text::said,
};
use crate::{diagnostic::Report, inventory::Node, inventory::Value as Written};

/// How deep a value may nest.
const DEEPEST: usize = 64;

pub(super) fn install(environment: &mut Environment<'static>) {
    add(environment, "to_json", |value, given| written(value, given, None));
    add(environment, "to_nice_json", |value, given| {
        let indent = given.get(0, "indent")?.and_then(|indent| indent.as_usize()).unwrap_or(4);
        written(value, given, Some(indent))
    });
    add(environment, "from_json", |value, _| {
        let text = value.as_str().ok_or_else(|| said("JSON is read from text"))?;
        let json: serde_json::Value =
            serde_json::from_str(text).map_err(|_| said("this is no JSON"))?;
        if has_huge_integer(text) {
            return Err(said("an integer needs more than 64 bits"));
        }
        from_json(&json)
    });
    add(environment, "from_yaml", |value, _| {
        // What is no text is passed on.
        let Some(text) = value.as_str() else { return Ok(value.clone()) };
        let source = Source::extra(text);
        let node = yaml::parse(&source, &mut Report::new());
        from_node(&node.ok_or_else(|| said("this is no YAML"))?)
    });
}

fn written(value: &Value, given: &Arguments, nice: Option<usize>) -> Result<Value, Error> {
    let indent = match given.named("indent")? {
        Some(indent) => indent.as_usize(),
        None => nice,
    };
    let sorted = given.named("sort_keys")?.map_or(nice.is_some(), |flag| flag.is_true());
    let ascii = given.named("ensure_ascii")?.is_none_or(|flag| flag.is_true());
    let mut writer = Writer { out: String::new(), indent, sorted, ascii };
    writer.value(value, 0)?;
    Ok(writer.out.into())
}

struct Writer {
    out: String,
    indent: Option<usize>,
    sorted: bool,
    ascii: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST || self.out.len() > LONGEST {
            return Err(ErrorKind::OutOfFuel.into());
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&python::text(value)?),
            ValueKind::String => self.text(value.as_str().unwrap_or_default()),
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                self.collection(('{', '}'), keys, depth, |writer, key| {
                    writer.text(&key_text(key)?);
                    writer.out.push_str(": ");
                    writer.value(&value.get_item(key)?, depth + 1)
                })?;
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.collect();
                self.collection(('[', ']'), items, depth, |writer, item| {
                    writer.value(item, depth + 1)
                })?;
            }
            ValueKind::Undefined => return Err(ErrorKind::UndefinedError.into()),
            _ => {
                value.try_iter()?;
            }
        }
        Ok(())
    }

    fn collection(
        &mut self,
        (open, close): (char, char),
        items: Vec<Value>,
        depth: usize,
        write: impl Fn(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.out.push_str(if self.indent.is_some() { "," } else { ", " });
            }
            self.line(depth + 1);
            write(self, item)?;
        }
        if !items.is_empty() {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent.min(16) * depth));
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a string fails for nothing.
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::None => Ok("null".into()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.into()),
        _ => python::text(key),
    }
}

/// Whether an integer in valid JSON does not fit, which would be read as a float.
fn has_huge_integer(json: &str) -> bool {
    let mut letters = json.char_indices().peekable();
    while let Some((start, c)) = letters.next() {
        if c == '"' {
            while let Some((_, c)) = letters.next().filter(|(_, c)| *c != '"') {
                if c == '\\' {
                    letters.next();
                }
            }
        } else if c == '-' || c.is_ascii_digit() {
            let mut end = start + 1;
            let in_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
            while letters.next_if(|(_, c)| in_number(*c)).is_some() {
                end += 1;
            }
            let number = json.get(start..end).unwrap_or_default();
            if !number.contains(['.', 'e', 'E']) && number.parse::<i64>().is_err() {
                return true;
            }
        }
    }
    false
}

fn from_json(json: &serde_json::Value) -> Result<Value, Error> {
    Ok(match json {
        serde_json::Value::Null => ().into(),
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) if number.is_f64() => float.into(),
            _ => return Err(said("an integer needs more than 64 bits")),
        },
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(items) => {
            items.iter().map(from_json).collect::<Result<Vec<_>, _>>()?.into()
        }
        serde_json::Value::Object(entries) => {
            let entry = |(key, item): (&String, _)| Ok((key.as_str().into(), from_json(item)?));
            mapping(entries.iter().map(entry).collect::<Result<Vec<_>, Error>>()?)
        }
    })
}

fn from_node(node: &Node) -> Result<Value, Error> {
    Ok(match &node.value {
        Written::List(items) => items.iter().map(from_node).collect::<Result<Vec<_>, _>>()?.into(),
        Written::Map(entries) => {
            let entry = |(key, item): &(Node, Node)| Ok((from_node(key)?, from_node(item)?));
            mapping(entries.iter().map(entry).collect::<Result<Vec<_>, Error>>()?)
        }
        scalar => convert::scalar(scalar).ok_or_else(|| said("a vault value in YAML text"))?,
    })
}
