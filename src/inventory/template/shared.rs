//! What the engines of a scope have in common: the tools that evaluate, and what is going on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use minijinja::{Environment, UndefinedBehavior, value::Value as Evaluated};

use super::{
    super::{Inventory, Node, Shown},
    Failure,
    evaluate::Frame,
    filters::{self, Caught},
    lookup::{self, Here},
    magic,
};

/// What all templates of a scope may yield together: bytes of text and values.
const MOST: usize = 16 << 20;

/// The values that a template with statements has written so far.
pub(super) type Emitted = Arc<Mutex<Vec<Evaluated>>>;

pub(super) struct Shared {
    pub(super) inventory: Arc<Inventory>,
    pub(super) shown: Shown,
    /// Undefined values are errors as soon as anything is done with them.
    pub(super) strict: Environment<'static>,
    /// Undefined values have undefined attributes, for `a.b.c | default(…)`.
    pub(super) lenient: Environment<'static>,
    pub(super) caught: Caught,
    pub(super) emitted: Emitted,
    /// Where the template that is being filled in stands, for files named relative to it.
    here: Here,
    groups: OnceLock<Evaluated>,
    work: Mutex<Work>,
}

/// What has been done and what is going on. Never locked while an expression runs.
#[derive(Default)]
pub(super) struct Work {
    /// By label, of every host.
    pub(super) done: BTreeMap<Arc<str>, Result<Node, Vec<Failure>>>,
    pub(super) open: Vec<Arc<str>>,
    pub(super) frames: Vec<Frame>,
    /// What came to `omit`: it is left out of the list or mapping that it is in.
    pub(super) omitted: BTreeSet<Arc<str>>,
    spent: usize,
}

impl Shared {
    pub(super) fn new(inventory: &Arc<Inventory>) -> Arc<Self> {
        let (caught, emitted, here) = (Caught::default(), Emitted::default(), Here::default());
        let environment = |undefined| {
            let mut environment = filters::environment(undefined, &caught, &emitted);
            lookup::install(&mut environment, inventory, &here, &caught);
            environment
        };
        Arc::new(Self {
            strict: environment(UndefinedBehavior::Strict),
            lenient: environment(UndefinedBehavior::Chainable),
            inventory: inventory.clone(),
            shown: inventory.shown(),
            caught,
            emitted,
            here,
            groups: OnceLock::new(),
            work: Mutex::default(),
        })
    }

    /// The hosts of every group.
    pub(super) fn groups(&self) -> Evaluated {
        self.groups.get_or_init(|| magic::groups(&self.inventory)).clone()
    }

    pub(super) fn here(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pays for output; false once the scope has used up what it may.
    pub(super) fn spend(&self, amount: usize) -> bool {
        let mut work = self.work();
        work.spent = work.spent.saturating_add(amount);
        work.spent <= MOST
    }
}
