//! Variables as expressions see them: each is rendered when an expression looks at it, each
//! element of a list or mapping by itself.

use std::{fmt, sync::Arc};

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
                let same =
                    |k: &Node| convert::scalar(&k.value).is_some_and(|written| &written == key);
                let (_, node) = entries.iter().find(|(k, _)| same(k))?;
                (self.item.member(&key.to_string()), node)
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
pub(super) struct Ordered(Vec<(Evaluated, Evaluated)>);

/// A mapping of these entries, each key once.
pub(super) fn mapping(entries: Vec<(Evaluated, Evaluated)>) -> Evaluated {
    Evaluated::from_object(Ordered(entries))
}

impl fmt::Debug for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ordered")
    }
}

impl Object for Ordered {
    fn get_value(self: &Arc<Self>, key: &Evaluated) -> Option<Evaluated> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(key, _)| key.clone()).collect())
    }
}
