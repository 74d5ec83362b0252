//! Which variables' values must not be seen, those of other roles included.

use std::{collections::BTreeSet, sync::Arc};

use crate::inventory::{Node, Value};

use super::{layers::Winners, table};

/// What the name of a secret holds, whoever reads it.
const WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "private_key",
    "access_key",
    "api_key",
    "apikey",
    "credential",
    "license_key",
    "_pass",
];

/// The names whose values are masked wherever one is printed.
#[derive(Clone, Debug, Default)]
pub struct Concealed {
    /// What a secret is made of.
    ingredients: BTreeSet<Arc<str>>,
    /// What is made of a secret.
    made_of: BTreeSet<Arc<str>>,
}

impl Concealed {
    /// Goes through the templates both ways: what a secret's template refers to is as secret as the
    /// secret, and so is what a template makes of one.
    pub fn of(winners: &Winners) -> Self {
        let mut concealed = Self::default();
        let mut open: Vec<Arc<str>> =
            winners.keys().filter(|name| is_secret(name)).cloned().collect();
        while let Some(name) = open.pop() {
            if !concealed.ingredients.insert(name.clone()) {
                continue;
            }
            if let Some(node) = winners.get(&name) {
                open.extend(words(node).into_iter().filter(|word| winners.contains_key(word)));
            }
        }
        loop {
            let is_new = |(name, node): &(&Arc<str>, &Arc<Node>)| {
                let secret = |word: &Arc<str>| {
                    concealed.ingredients.contains(word) || concealed.made_of.contains(word)
                };
                !concealed.made_of.contains(*name) && words(node).iter().any(secret)
            };
            let found: Vec<Arc<str>> =
                winners.iter().filter(is_new).map(|(name, _)| name.clone()).collect();
            if found.is_empty() {
                return concealed;
            }
            concealed.made_of.extend(found);
        }
    }

    /// Whether a value is hidden that was written under this name, be it a variable or a key.
    pub fn hides(&self, name: &str, text: Option<&str>) -> bool {
        self.ingredients.contains(name) || is_secret(name) || text.is_some_and(holds_secret)
    }

    /// The same for a value whose templates were filled in.
    pub fn hides_rendered(&self, name: &str, text: Option<&str>) -> bool {
        self.made_of.contains(name) || self.hides(name, text)
    }
}

fn is_secret(name: &str) -> bool {
    if let Some(variable) = table::find(name) {
        return variable.secret;
    }
    let name = name.to_ascii_lowercase().replace(['-', ' '], "_");
    WORDS.iter().any(|word| name.contains(word))
}

/// An address with a password in it, or a key.
fn holds_secret(text: &str) -> bool {
    let account = text.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    account.is_some_and(|account| account.contains('@'))
        || (text.contains("-----BEGIN") && text.contains("PRIVATE KEY"))
}

/// Every word in the templates of a value: more than the variables that they refer to, and never
/// less.
pub(super) fn words(node: &Node) -> BTreeSet<Arc<str>> {
    let mut found = BTreeSet::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match &node.value {
            Value::String(text) if node.template && has_template(text) => {
                let parts = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                found.extend(parts.filter(|part| !part.is_empty()).map(Arc::from));
            }
            Value::List(items) => open.extend(items),
            Value::Map(entries) => open.extend(entries.iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    found
}

fn has_template(text: &str) -> bool {
    ["{{", "{%", "<< "].iter().any(|mark| text.contains(mark))
}
