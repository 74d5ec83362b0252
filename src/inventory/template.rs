//! Templates: `{{ … }}` and `<< … >>` in the values of variables, rendered when they are needed.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Node, Shown};

mod convert;
mod engine;
mod evaluate;
mod failure;
mod filters;
mod objects;
mod segments;
#[cfg(test)]
mod tests;
mod words;

pub use failure::{Cause, Failure};

use engine::{Engine, Item};

/// Variables that refer to each other. Each is rendered when it is first needed, once, and each
/// element of a list or mapping by itself, as ansible-core 2.19 does.
pub struct Scope {
    engine: Arc<Engine>,
}

impl Scope {
    /// The winners of all layers under their names, and what the host's own variables are:
    /// `inventory_hostname` and `group_names`.
    pub fn new(
        variables: BTreeMap<Arc<str>, Arc<Node>>,
        host: &str,
        groups: &[String],
        shown: Shown,
    ) -> Self {
        Self { engine: Engine::new(variables, host, groups, shown) }
    }

    /// The variable with every template in it filled in: the same shape and origins, no
    /// templates left. A variable that is not there is a [`Cause::Missing`] with an empty chain.
    ///
    /// # Errors
    /// Everything that stands in the way, not only the first.
    pub fn render(&self, name: &str) -> Result<Arc<Node>, Vec<Failure>> {
        let Some(node) = self.engine.variables.get(name) else {
            return Err(vec![Failure::absent(name)]);
        };
        self.engine.tree(&Item::variable(name), node).map(Arc::new)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("variables", &self.engine.variables.len()).finish()
    }
}
