//! What was written, with where it was written.

use std::sync::Arc;

use super::Origin;

/// A value with its origin. Its own `Debug` shows no value, so that a node may stand in a log.
#[derive(Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written; of a rendered node: where its template was.
    pub origin: Origin,
    /// Whether strings in it may hold templates: not under `!unsafe`, not from the environment,
    /// not once rendered.
    pub template: bool,
    /// Whether a scalar was written in quotes or as a block (`|`, `>`), that is, meant as text.
    pub quoted: bool,
    /// Whether it came out of a template or through an alias. It may then hold any other variable's
    /// value, so that a message must not quote it, whatever its own variable is.
    pub rendered: bool,
}

/// A value as YAML 1.1 types it (PyYAML's safe loader, which is Ansible's).
#[derive(Clone)]
pub enum Value {
    /// `~`, `null`, or nothing.
    Null,
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// An integer in any of the notations of YAML 1.1.
    Int(i64),
    /// Always finite.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// A date or a time, as it was written.
    Timestamp(Arc<str>),
    /// A `!vault` value, still sealed.
    Sealed(Arc<str>),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order it was written, merge keys resolved, each key once.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Text that is exactly what it says, never a template: what the environment holds.
    pub fn plain(text: impl Into<Arc<str>>, origin: Origin) -> Self {
        Self {
            value: Value::String(text.into()),
            origin,
            template: false,
            quoted: true,
            rendered: false,
        }
    }

    /// The text of a string or a timestamp.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) | Value::Timestamp(text) => Some(text),
            _ => None,
        }
    }

    /// What the mapping holds under the string `key`; nothing if it is no mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Moves what was copied from elsewhere to where it is used. A message about it must not show
    /// the line it came from, which may be a secret's.
    pub(super) fn adopt(&mut self, origin: &Origin, template: bool) {
        self.origin = origin.clone();
        self.rendered = true;
        self.template &= template;
        match &mut self.value {
            Value::List(items) => {
                items.iter_mut().for_each(|item| item.adopt(origin, template));
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    key.adopt(origin, template);
                    value.adopt(origin, template);
                }
            }
            _ => {}
        }
    }

    /// Everything but the value.
    pub(super) fn clone_outside(&self) -> Self {
        Self { value: Value::Null, origin: self.origin.clone(), ..*self }
    }

    /// The same with its article: `a list`, `an integer`, `null`.
    pub fn a_kind(&self) -> String {
        match self.value {
            Value::Null => self.kind().to_owned(),
            Value::Int(_) => format!("an {}", self.kind()),
            _ => format!("a {}", self.kind()),
        }
    }

    /// What kind of value it is, for messages: `string`, `list`, …
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "float",
            Value::String(_) => "string",
            Value::Timestamp(_) => "timestamp",
            Value::Sealed(_) => "vault value",
            Value::List(_) => "list",
            Value::Map(_) => "mapping",
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.kind(), self.origin)
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value(…)")
    }
}

/// Whether two values are the same, wherever they were written. Text and timestamp differ.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::String(a), Self::String(b))
            | (Self::Timestamp(a), Self::Timestamp(b))
            | (Self::Sealed(a), Self::Sealed(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.value == b.value)
            }
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|(a, b)| a.0.value == b.0.value && a.1.value == b.1.value)
            }
            _ => false,
        }
    }
}
