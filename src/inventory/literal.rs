//! Values of INI inventories: Python literals as `ast.literal_eval` reads them (Python 3.11, which
//! ansible-core 2.19 runs on). What is none is text.

use super::{Node, Origin, Value};

#[cfg(test)]
mod tests;
mod text;

/// How deep brackets may nest, as Python has it.
const DEEPEST: usize = 200;

/// What no value of ours can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// An integer beyond 64 bits.
    #[error("the integer needs more than 64 bits")]
    HugeInteger,
    /// A float that is infinite.
    #[error("the number is not finite")]
    NotFinite,
}

/// Not a literal.
enum No {
    /// Then it is text.
    Literal,
    Unfit(Unfit),
}

type Parsed<T> = Result<T, No>;

/// What `text` means.
///
/// # Errors
/// It is a number that no value of ours can hold.
pub(super) fn value(text: &str, origin: &Origin) -> Result<Node, Unfit> {
    let mut parser = Parser { rest: text.trim_start_matches([' ', '\t']), origin, depth: 0 };
    match parser.whole() {
        Ok(node) => Ok(node),
        Err(No::Literal) => Ok(node(Value::String(text.into()), origin)),
        Err(No::Unfit(unfit)) => Err(unfit),
    }
}

fn node(value: Value, origin: &Origin) -> Node {
    // An INI inventory is a place that Ansible trusts with templates.
    Node { value, template: true, ..Node::plain("", origin.clone()) }
}

struct Parser<'a> {
    rest: &'a str,
    origin: &'a Origin,
    depth: usize,
}

impl Parser<'_> {
    fn whole(&mut self) -> Parsed<Node> {
        let first = self.expression()?;
        self.blank();
        let value = if self.takes(',') {
            // A tuple without its brackets.
            let mut items = vec![first];
            self.blank();
            while !self.is_over() {
                items.push(self.expression()?);
                self.blank();
                if !self.takes(',') {
                    break;
                }
                self.blank();
            }
            node(Value::List(items), self.origin)
        } else {
            first
        };
        if self.is_over() { Ok(value) } else { Err(No::Literal) }
    }

    /// Nothing is left, or nothing but a comment.
    fn is_over(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
    }

    fn takes(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word) else { return false };
        if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return false;
        }
        self.rest = rest;
        true
    }

    fn expression(&mut self) -> Parsed<Node> {
        self.blank();
        let value = match self.rest.chars().next().ok_or(No::Literal)? {
            '(' => self.nested(Self::tuple)?,
            '[' => self.nested(|parser| parser.items(']').map(|(items, _)| Value::List(items)))?,
            '{' => self.nested(Self::braces)?,
            '+' | '-' => self.signed()?,
            c if c.is_ascii_digit() || c == '.' => self.number()?,
            _ => self.word()?,
        };
        Ok(node(value, self.origin))
    }

    fn nested(&mut self, inside: impl FnOnce(&mut Self) -> Parsed<Value>) -> Parsed<Value> {
        if self.depth >= DEEPEST {
            return Err(No::Literal);
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.depth += 1;
        let value = inside(self);
        self.depth -= 1;
        value
    }

    /// Elements up to the bracket, and whether a comma stands behind the last one.
    fn items(&mut self, close: char) -> Parsed<(Vec<Node>, bool)> {
        let (mut items, mut comma) = (Vec::new(), false);
        loop {
            self.blank();
            if self.takes(close) {
                return Ok((items, comma));
            }
            if !items.is_empty() && !comma {
                return Err(No::Literal);
            }
            items.push(self.expression()?);
            self.blank();
            comma = self.takes(',');
        }
    }

    /// One value in brackets without a comma is the value itself.
    fn tuple(&mut self) -> Parsed<Value> {
        let (mut items, comma) = self.items(')')?;
        match items.pop() {
            Some(only) if items.is_empty() && !comma => Ok(only.value),
            last => {
                items.extend(last);
                Ok(Value::List(items))
            }
        }
    }

    /// A dictionary, or a set, which becomes a list.
    fn braces(&mut self) -> Parsed<Value> {
        self.blank();
        if self.takes('}') {
            return Ok(Value::Map(Vec::new()));
        }
        let first = self.expression()?;
        self.blank();
        if !self.takes(':') {
            let mut items = vec![first];
            if self.takes(',') {
                items.extend(self.items('}')?.0);
            } else if !self.takes('}') {
                return Err(No::Literal);
            }
            let mut unique: Vec<Node> = Vec::new();
            for item in items {
                Self::hashable(&item)?;
                if unique.iter().all(|known| known.value != item.value) {
                    unique.push(item);
                }
            }
            return Ok(Value::List(unique));
        }
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut key = first;
        loop {
            Self::hashable(&key)?;
            let value = self.expression()?;
            match entries.iter_mut().find(|(known, _)| known.value == key.value) {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
            self.blank();
            let comma = self.takes(',');
            self.blank();
            if self.takes('}') {
                return Ok(Value::Map(entries));
            }
            if !comma {
                return Err(No::Literal);
            }
            key = self.expression()?;
            self.blank();
            if !self.takes(':') {
                return Err(No::Literal);
            }
        }
    }

    /// Python refuses lists and dictionaries as keys.
    fn hashable(key: &Node) -> Parsed<()> {
        let collection = matches!(key.value, Value::List(_) | Value::Map(_));
        if collection { Err(No::Literal) } else { Ok(()) }
    }

    fn signed(&mut self) -> Parsed<Value> {
        let negative = self.rest.starts_with('-');
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.blank();
        if !self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Err(No::Literal);
        }
        Ok(match self.number()? {
            Value::Int(number) if negative => Value::Int(-number),
            Value::Float(number) if negative => Value::Float(-number),
            value => value,
        })
    }

    fn number(&mut self) -> Parsed<Value> {
        if let Some(rest) = self.rest.strip_prefix("...") {
            self.rest = rest;
            return Ok(Value::String("...".into()));
        }
        let is_part = |(at, c): (usize, char)| {
            let exponent = self.rest.get(..at).is_some_and(|before| {
                before.ends_with(['e', 'E']) && !before.to_ascii_lowercase().starts_with("0x")
            });
            c.is_ascii_alphanumeric()
                || matches!(c, '.' | '_')
                || (exponent && matches!(c, '+' | '-'))
        };
        let end = self.rest.char_indices().find(|part| !is_part(*part));
        let end = end.map_or(self.rest.len(), |(at, _)| at);
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text::number(text)
    }

    fn word(&mut self) -> Parsed<Value> {
        for (word, value) in
            [("True", Value::Bool(true)), ("False", Value::Bool(false)), ("None", Value::Null)]
        {
            if self.takes_word(word) {
                return Ok(value);
            }
        }
        let mut joined = String::new();
        let mut found = false;
        // Texts one behind the other are one.
        while let Some((text, rest)) = text::quoted(self.rest)? {
            joined.push_str(&text);
            found = true;
            self.rest = rest;
            self.blank();
        }
        if found { Ok(Value::String(joined.into())) } else { Err(No::Literal) }
    }
}
