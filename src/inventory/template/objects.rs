//! Variables as expressions see them: each is rendered when an expression looks at it, each
//! element of a list or mapping by itself.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value as Evaluated};

use super::{
    super::{Node, Value},
    convert,
    engine::{Engine, Item},
};

/// Every variable, by name.
pub(super) struct Variables(pub(super) Arc<Engine>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

impl Object for Variables {
    fn get_value(self: &Arc<Self>, key: &Evaluated) -> Option<Evaluated> {
        self.0.look_up(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// A list or mapping whose elements are still templates.
pub(super) struct Shelf {
    pub(super) engine: Arc<Engine>,
    pub(super) item: Item,
    pub(super) node: Arc<Node>,
    /// Where each key of a mapping stands, made when a second one is looked up.
    places: OnceLock<BTreeMap<Evaluated, usize>>,
}

impl Shelf {
    pub(super) fn new(engine: &Arc<Engine>, item: Item, node: Arc<Node>) -> Self {
        Self { engine: engine.clone(), item, node, places: OnceLock::new() }
    }

    fn place(&self, entries: &[(Node, Node)], key: &Evaluated) -> Option<usize> {
        let places = self.places.get_or_init(|| {
            let keys = entries.iter().enumerate();
            keys.filter_map(|(at, (key, _))| Some((convert::scalar(&key.value)?, at))).collect()
        });
        places.get(key).copied()
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

impl Object for Shelf {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.node.value {
            Value::List(_) => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Evaluated) -> Option<Evaluated> {
        let (item, node) = match &self.node.value {
            Value::List(items) => {
                let at = key.as_usize()?;
                (self.item.element(at), items.get(at)?)
            }
            Value::Map(entries) => {
                let (key, node) = entries.get(self.place(entries, key)?)?;
                (self.item.member(key), node)
            }
            _ => return None,
        };
        self.engine.fetch(item, &Arc::new(node.clone()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.node.value {
            Value::List(items) => Enumerator::Seq(items.len()),
            Value::Map(entries) => Enumerator::Values(
                entries.iter().filter_map(|(key, _)| convert::scalar(&key.value)).collect(),
            ),
            _ => Enumerator::NonEnumerable,
        }
    }
}

/// A mapping in the order in which it was made.
struct Ordered {
    entries: Vec<(Evaluated, Evaluated)>,
    places: BTreeMap<Evaluated, usize>,
}

/// A mapping of these entries; of a key that comes again the last value counts.
pub(super) fn mapping(entries: Vec<(Evaluated, Evaluated)>) -> Evaluated {
    let mut made = Ordered { entries: Vec::new(), places: BTreeMap::new() };
    for (key, value) in entries {
        match made.places.get(&key).and_then(|at| made.entries.get_mut(*at)) {
            Some(entry) => entry.1 = value,
            None => {
                made.places.insert(key.clone(), made.entries.len());
                made.entries.push((key, value));
            }
        }
    }
    Evaluated::from_object(made)
}

impl fmt::Debug for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ordered")
    }
}

impl Object for Ordered {
    fn get_value(self: &Arc<Self>, key: &Evaluated) -> Option<Evaluated> {
        self.entries.get(*self.places.get(key)?).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.entries.iter().map(|(key, _)| key.clone()).collect())
    }
}

/// `omit`: what it stands for is left out.
#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

pub(super) fn omit() -> Evaluated {
    Evaluated::from_object(Omit)
}

pub(super) fn is_omitted(value: &Evaluated) -> bool {
    value.downcast_object_ref::<Omit>().is_some()
}
