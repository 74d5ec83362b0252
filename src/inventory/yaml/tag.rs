//! Explicit tags: which exist, and what they make of a scalar.

use granit_parser::Tag as ParsedTag;

use super::{
    super::Value,
    number,
    resolver::{self, Resolved},
};

/// The namespace of `!!`.
const CORE: &str = "tag:yaml.org,2002:";

/// A tag that Ansible knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tag {
    Str,
    Int,
    Float,
    Bool,
    Null,
    Timestamp,
    Seq,
    Map,
    /// Never a template, nor is anything below it.
    Unsafe,
    /// A value that `ansible-vault` sealed.
    Vault,
}

/// A tag that PyYAML or Ansible refuses, or that makes no sense in an inventory. Its text is not
/// kept: it may be a password that starts with `!`.
#[derive(Debug, PartialEq)]
pub(super) struct Unknown;

pub(super) fn known(tag: &ParsedTag) -> Result<Tag, Unknown> {
    if let Some(name) = tag.suffix_in_namespace(CORE) {
        return match name.as_ref() {
            "str" => Ok(Tag::Str),
            "int" => Ok(Tag::Int),
            "float" => Ok(Tag::Float),
            "bool" => Ok(Tag::Bool),
            "null" => Ok(Tag::Null),
            "timestamp" => Ok(Tag::Timestamp),
            "seq" => Ok(Tag::Seq),
            "map" => Ok(Tag::Map),
            _ => Err(Unknown),
        };
    }
    match (tag.handle(), tag.suffix()) {
        ("!", "unsafe") | ("", "!unsafe") => Ok(Tag::Unsafe),
        ("!", "vault" | "vault-encrypted") | ("", "!vault" | "!vault-encrypted") => Ok(Tag::Vault),
        ("!", "") | ("", "!") => Ok(Tag::Str),
        _ => Err(Unknown),
    }
}

/// The scalar `text` under a tag. `plain` if it has no quotes.
pub(super) fn apply(tag: Tag, text: &str, plain: bool) -> Resolved {
    let value = match tag {
        Tag::Str => Value::String(text.into()),
        Tag::Vault => Value::Sealed(text.into()),
        Tag::Null => Value::Null,
        Tag::Unsafe if plain => return resolver::resolve(text),
        Tag::Unsafe => Value::String(text.into()),
        Tag::Int if number::is_int(text) => return resolver::resolve(text),
        Tag::Int => return Resolved::Broken("no integer"),
        Tag::Float if number::is_float(text) || number::is_int(text) => {
            return resolver::float(text);
        }
        Tag::Float => return Resolved::Broken("no number"),
        Tag::Bool => match resolver::simple(&text.to_ascii_lowercase()) {
            Some(value @ Value::Bool(_)) => value,
            _ => return Resolved::Broken("no boolean"),
        },
        Tag::Timestamp => match number::timestamp(text) {
            Some(true) => Value::Timestamp(text.into()),
            _ => return Resolved::Broken("a date or time that does not exist"),
        },
        Tag::Seq | Tag::Map => return Resolved::Broken("a scalar, not what its tag says"),
    };
    Resolved::Value(value)
}
