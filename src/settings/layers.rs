//! Which layer wins. The `config` crate decides it and nothing else: what it merges are the
//! addresses of nodes, since it would merge and convert values by rules that are not Ansible's.

use std::{collections::BTreeMap, sync::Arc};

use config::{Config, ConfigError, Map, Source, Value, ValueKind};

use crate::inventory::{Layer, Node};

/// The variables of all layers under their names.
pub type Winners = BTreeMap<Arc<str>, Arc<Node>>;

/// A layer as `config` sees it: names, and for each the address `layer:entry` of its node.
#[derive(Clone, Debug)]
struct Addresses(Map<String, Value>);

impl Addresses {
    fn of(index: usize, layer: &Layer) -> Self {
        let addresses = layer.entries.iter().enumerate().filter(|(_, e)| is_variable(&e.name));
        Self(
            addresses
                .map(|(entry, e)| {
                    let origin = e.node.origin.to_string();
                    let address = Value::new(Some(&origin), format!("{index}:{entry}"));
                    (e.name.to_string(), address)
                })
                .collect(),
        )
    }
}

impl Source for Addresses {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// The winner of every name; the last layer is the strongest.
pub fn join(layers: &[Layer]) -> Winners {
    let mut builder = Config::builder();
    for (index, layer) in layers.iter().enumerate() {
        builder = builder.add_source(Addresses::of(index, layer));
    }
    let Ok(joined) = builder.build() else {
        return Winners::new();
    };
    let ValueKind::Table(table) = joined.cache.kind else {
        return Winners::new();
    };
    table
        .into_iter()
        .filter_map(|(name, address)| match address.kind {
            ValueKind::String(address) => Some((name.into(), find(layers, &address)?)),
            _ => None,
        })
        .collect()
}

fn find(layers: &[Layer], address: &str) -> Option<Arc<Node>> {
    let (layer, entry) = address.split_once(':')?;
    let layer = layers.get(layer.parse::<usize>().ok()?)?;
    layer.entries.get(entry.parse::<usize>().ok()?).map(|entry| entry.node.clone())
}

/// Whether Ansible calls it a variable name. Others cannot be referred to, and `config` would read
/// a dot or a bracket as a path.
fn is_variable(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
