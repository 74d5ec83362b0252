//! Templates: `{{ … }}` and `<< … >>` in the values of variables, rendered when they are needed.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Host, Inventory, Node};

mod convert;
mod deep;
mod engine;
mod evaluate;
mod failure;
mod filters;
mod lookup;
mod magic;
mod objects;
mod python;
mod references;
mod segments;
mod shared;
#[cfg(test)]
mod tests;
mod words;
mod world;

pub use failure::{Cause, Failure};

use engine::{Engine, Item};
use world::World;

/// Which of a host's layers wins, for `hostvars`: the variables of the whole stack that this host
/// would have.
pub type Join = Arc<dyn Fn(&Host) -> BTreeMap<Arc<str>, Arc<Node>> + Send + Sync>;

/// What a template sees besides its own host's variables.
#[derive(Clone)]
pub struct Surroundings {
    /// The hosts and groups, the vault, the environment, and whose values messages may quote.
    pub inventory: Arc<Inventory>,
    /// The host whose variables they are.
    pub host: Arc<str>,
    /// The groups it is in, without `all`, sorted.
    pub groups: Vec<String>,
    /// Makes the variables of another host.
    pub join: Join,
}

impl Surroundings {
    /// Those of `host` in `inventory`.
    pub fn new(inventory: &Arc<Inventory>, host: &Host, join: Join) -> Self {
        let (groups, name) = (host.groups.clone(), host.name.clone());
        Self { inventory: inventory.clone(), host: name, groups, join }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Variables that refer to each other. Each is rendered when it is first needed, once, and each
/// element of a list or mapping by itself, as ansible-core 2.19 does.
pub struct Scope {
    engine: Arc<Engine>,
    /// Holds the engines of the hosts that templates look at.
    _world: Arc<World>,
}

impl Scope {
    /// The winners of all layers under their names, and what a template sees besides them.
    pub fn new(variables: BTreeMap<Arc<str>, Arc<Node>>, around: Surroundings) -> Self {
        let world = World::new(around.clone());
        let engine = Engine::new(variables, &around, String::new(), &world);
        world.add(&around.host, &engine);
        Self { engine, _world: world }
    }

    /// The variables that the templates of a variable refer to directly, sorted, each once: what
    /// stands in them, whether filling them in would look at it or not. None for a variable that is
    /// not there.
    pub fn references(&self, name: &str) -> Vec<Arc<str>> {
        self.engine.variables.get(name).map_or_else(Vec::new, |node| references::of(node))
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
