//! Rendering: which variable needs which, each once, circles found.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, value::Value as Evaluated};

use crate::diagnostic::Diagnostic;

use super::{
    super::{Inventory, Node, Shown, Value},
    Cause, Failure, Surroundings, convert,
    evaluate::{FATAL, Frame, Lack},
    filters::{self, Caught},
    lookup::{self, Here},
    magic,
    objects::Shelf,
    world::{HostVars, World},
};

/// How many templates may need each other in a row; each takes stack.
const LONGEST: usize = 40;

/// What all templates of a scope may yield together: bytes of text and values.
const MOST: usize = 16 << 20;

/// How many failures are told of one variable.
const MOST_FAILURES: usize = 64;

/// A variable, or an element of one.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// `name`, `name.key`, `name[0]`.
    pub(super) label: Arc<str>,
    /// The name alone.
    pub(super) root: Arc<str>,
}

impl Item {
    pub(super) fn variable(name: &str) -> Self {
        let name: Arc<str> = name.into();
        Self { label: name.clone(), root: name }
    }

    pub(super) fn member(&self, key: &str) -> Self {
        Self { label: format!("{}.{key}", self.label).into(), root: self.root.clone() }
    }

    pub(super) fn element(&self, at: usize) -> Self {
        Self { label: format!("{}[{at}]", self.label).into(), root: self.root.clone() }
    }

    /// Whether the label can only mean this one.
    fn is_plain(&self) -> bool {
        self.root.chars().all(|c| c.is_alphanumeric() || c == '_')
    }
}

pub(super) struct Engine {
    pub(super) variables: BTreeMap<Arc<str>, Arc<Node>>,
    /// What the host says of itself; Ansible lets nothing override it.
    magic: BTreeMap<&'static str, Evaluated>,
    pub(super) shown: Shown,
    pub(super) inventory: Arc<Inventory>,
    /// Undefined values are errors as soon as anything is done with them.
    pub(super) strict: Environment<'static>,
    /// Undefined values have undefined attributes, for `a.b.c | default(…)`.
    pub(super) lenient: Environment<'static>,
    pub(super) caught: Caught,
    /// Where the template that is being filled in stands, for files named relative to it.
    here: Here,
    world: Weak<World>,
    work: Mutex<Work>,
}

/// What has been done and what is going on. Never locked while an expression runs.
#[derive(Default)]
pub(super) struct Work {
    done: BTreeMap<Arc<str>, Result<Node, Vec<Failure>>>,
    open: Vec<Arc<str>>,
    pub(super) frames: Vec<Frame>,
    spent: usize,
}

impl Engine {
    /// An engine for the variables of one host, beside those of others in its world.
    pub(super) fn new(
        variables: BTreeMap<Arc<str>, Arc<Node>>,
        around: &Surroundings,
        world: &Arc<World>,
    ) -> Arc<Self> {
        let inventory = around.inventory.clone();
        let (caught, here) = (Caught::default(), Here::default());
        let environment = |undefined| {
            let mut environment = filters::environment(undefined, &caught);
            lookup::install(&mut environment, &inventory, &here, &caught);
            environment
        };
        Arc::new(Self {
            variables,
            magic: magic::of(around),
            shown: inventory.shown(),
            strict: environment(UndefinedBehavior::Strict),
            lenient: environment(UndefinedBehavior::Chainable),
            caught,
            here,
            world: Arc::downgrade(world),
            work: Mutex::default(),
            inventory,
        })
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

    /// A node with every template below it rendered; every failure, not only the first.
    pub(super) fn tree(self: &Arc<Self>, item: &Item, node: &Node) -> Result<Node, Vec<Failure>> {
        let value = match &node.value {
            Value::List(items) => {
                let items = items.iter().enumerate();
                Value::List(gather(items.map(|(at, node)| self.tree(&item.element(at), node)))?)
            }
            Value::Map(entries) => Value::Map(gather(entries.iter().map(|(key, node)| {
                let member = item.member(key.as_str().unwrap_or("?"));
                self.tree(&member, node).map(|node| (key.clone(), node))
            }))?),
            _ => return self.scalar(item, node),
        };
        Ok(Node { value, template: false, ..node.clone_outside() })
    }

    /// A scalar, rendered if it is a template.
    fn scalar(self: &Arc<Self>, item: &Item, node: &Node) -> Result<Node, Vec<Failure>> {
        let refuse = |check, message: String, cause| {
            let diagnostic = Diagnostic::error(check, message)
                .at(node.origin.place((self.shown)(&item.root)))
                .variable(&*item.root);
            Err(vec![Failure::new(cause, &item.label, diagnostic)])
        };
        let text = match &node.value {
            Value::String(text) if node.template => text,
            Value::Sealed(sealed) => return self.opened(item, node, sealed),
            _ => return Ok(Node { template: false, ..node.clone() }),
        };
        {
            let mut work = self.work();
            if let Some(done) = work.done.get(&item.label).filter(|_| item.is_plain()) {
                return done.clone();
            }
            if let Some(at) = work.open.iter().position(|open| *open == item.label) {
                let mut circle: Vec<Arc<str>> = work.open.iter().skip(at).cloned().collect();
                circle.push(item.label.clone());
                drop(work);
                let shown = circle.join(" -> ");
                let message = format!("`{}` needs itself: {shown}", item.label);
                return refuse("template-cycle", message, Cause::Cycle(circle));
            }
            // Other hosts' templates stand on the same stack.
            let world = self.world.upgrade();
            if world.is_none_or(|world| !world.enter(LONGEST)) {
                drop(work);
                let message = format!("more than {LONGEST} templates need each other in a row");
                return refuse("template-chain", message, Cause::Broken);
            }
            work.open.push(item.label.clone());
        }
        let result = self.fill_in(item, node, text);
        if let Some(world) = self.world.upgrade() {
            world.leave();
        }
        let mut work = self.work();
        work.open.pop();
        if item.is_plain() {
            work.done.insert(item.label.clone(), result.clone());
        }
        result
    }

    /// A vault value, opened. It is text and never a template, whatever is in it.
    fn opened(&self, item: &Item, node: &Node, sealed: &str) -> Result<Node, Vec<Failure>> {
        match self.inventory.vault().open(sealed) {
            Ok(text) => Ok(Node {
                value: Value::String(text.as_str().into()),
                template: false,
                quoted: true,
                rendered: true,
                origin: node.origin.clone(),
            }),
            Err(why) => {
                let about = format!("the vault value of `{}`", item.label);
                let diagnostic =
                    why.about(&about).at(node.origin.place(false)).variable(&*item.root);
                Err(vec![Failure::new(Cause::Sealed, &item.label, diagnostic)])
            }
        }
    }

    /// A variable for an expression. None if it is undefined, be it itself or what it needs.
    pub(super) fn look_up(self: &Arc<Self>, name: &str) -> Option<Evaluated> {
        if self.work().frames.last().is_some_and(|frame| frame.assumed.contains(name)) {
            return Some(Evaluated::from(""));
        }
        if let Some(value) = self.magic.get(name) {
            return Some(value.clone());
        }
        if name == "hostvars" {
            return Some(Evaluated::from_object(HostVars(self.world.clone())));
        }
        if let Some(node) = self.variables.get(name) {
            return self.fetch(Item::variable(name), node);
        }
        if !self.strict.globals().any(|(global, _)| global == name) {
            self.lack(Lack { label: name.into(), failures: Vec::new() });
        }
        None
    }

    /// The same for a variable or an element that is there.
    pub(super) fn fetch(self: &Arc<Self>, item: Item, node: &Arc<Node>) -> Option<Evaluated> {
        let shelf = |node: Arc<Node>, item| {
            Evaluated::from_object(Shelf { engine: self.clone(), item, node })
        };
        if matches!(node.value, Value::List(_) | Value::Map(_)) {
            return Some(shelf(node.clone(), item));
        }
        match self.scalar(&item, node) {
            Ok(node) => {
                let value = convert::scalar(&node.value);
                Some(value.unwrap_or_else(|| shelf(Arc::new(node), item)))
            }
            Err(failures) if failures.iter().all(Failure::is_missing) => {
                self.lack(Lack { label: item.label, failures });
                None
            }
            Err(failures) => {
                // The first one ends the expression. minijinja looks everything up once more for
                // its debug information, which must not count twice at every level.
                if let Some(frame) = self.work().frames.last_mut()
                    && frame.fatal.is_empty()
                {
                    frame.fatal = failures;
                }
                Some(Evaluated::from(Error::new(ErrorKind::InvalidOperation, FATAL)))
            }
        }
    }

    fn lack(&self, lack: Lack) {
        if let Some(frame) = self.work().frames.last_mut() {
            frame.missing.push(lack);
        }
    }
}

/// Adds failures, each once. Variables that need each other by several ways have a failure for each
/// way, which doubles with every level.
pub(super) fn add(failures: &mut Vec<Failure>, more: impl IntoIterator<Item = Failure>) {
    for failure in more {
        if failures.len() >= MOST_FAILURES {
            return;
        }
        if !failures.contains(&failure) {
            failures.push(failure);
        }
    }
}

/// All values, or all failures.
pub(super) fn gather<T>(
    results: impl Iterator<Item = Result<T, Vec<Failure>>>,
) -> Result<Vec<T>, Vec<Failure>> {
    let mut values = Vec::new();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(more) => add(&mut failures, more),
        }
    }
    if failures.is_empty() { Ok(values) } else { Err(failures) }
}
