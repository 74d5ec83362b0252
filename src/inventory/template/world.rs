//! The hosts whose variables templates look at, each with an engine of its own.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use minijinja::value::{Enumerator, Object, Value as Evaluated};

use super::{Surroundings, engine::Engine, objects::Variables, shared::Shared};
use crate::diagnostic::Report;

/// The hosts of a scope.
pub(super) struct World {
    around: Surroundings,
    pub(super) shared: Arc<Shared>,
    /// Made when a template first asks for the host.
    engines: Mutex<BTreeMap<Arc<str>, Arc<Engine>>>,
}

impl World {
    pub(super) fn new(around: Surroundings) -> Arc<Self> {
        let shared = Shared::new(&around.inventory);
        Arc::new(Self { around, shared, engines: Mutex::default() })
    }

    /// Puts a host's engine among the others.
    pub(super) fn add(&self, host: &Arc<str>, engine: &Arc<Engine>) {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.insert(host.clone(), engine.clone());
    }

    fn engine(self: &Arc<Self>, name: &str) -> Option<Arc<Engine>> {
        let known = self.engines.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if known.is_some() {
            return known;
        }
        // What is wrong with its files is said by whoever reads that host.
        let inventory = &self.around.inventory;
        let host = inventory.host(name, &mut Report::new())?;
        let variables = (self.around.join)(&host);
        let around = Surroundings::new(inventory, &host, self.around.join.clone());
        let prefix = format!("hostvars['{name}'].");
        let engine = Engine::new(variables, &around, prefix, self);
        self.add(&host.name, &engine);
        Some(engine)
    }
}

/// `hostvars`: each host's variables, filled in among themselves.
pub(super) struct HostVars(pub(super) Weak<World>);

impl fmt::Debug for HostVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostVars")
    }
}

impl Object for HostVars {
    fn get_value(self: &Arc<Self>, key: &Evaluated) -> Option<Evaluated> {
        let engine = self.0.upgrade()?.engine(key.as_str()?)?;
        Some(Evaluated::from_object(Variables(engine)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let Some(world) = self.0.upgrade() else { return Enumerator::Empty };
        Enumerator::Values(world.around.inventory.hosts().map(Evaluated::from).collect())
    }
}
