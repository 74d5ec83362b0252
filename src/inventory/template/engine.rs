//! Rendering: which variable needs which, each once, circles found.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use minijinja::{Error, ErrorKind, value::Value as Evaluated};

use crate::diagnostic::Diagnostic;

use super::{
    super::{Node, Value},
    Cause, Failure, Surroundings, convert,
    evaluate::{FATAL, Frame, Lack},
    magic,
    objects::{self, Shelf},
    shared::Shared,
    world::{HostVars, World},
};

/// How many templates may need each other in a row; each takes stack.
const LONGEST: usize = 40;

/// How many failures are told of one variable.
const MOST_FAILURES: usize = 64;

/// A variable, or an element of one.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// `name`, `name.key`, `name['a key']`, `name[0]`; of another host `hostvars['host'].name`.
    /// No two items have the same.
    pub(super) label: Arc<str>,
    /// The name alone.
    pub(super) root: Arc<str>,
}

impl Item {
    pub(super) fn variable(name: &str) -> Self {
        Self::of_host("", name)
    }

    /// `prefix` is empty, or names the host.
    fn of_host(prefix: &str, name: &str) -> Self {
        let label = match is_name(name) {
            true => format!("{prefix}{name}"),
            false => format!("{prefix}vars[{name:?}]"),
        };
        Self { label: label.into(), root: name.into() }
    }

    pub(super) fn member(&self, key: &Node) -> Self {
        let label = &self.label;
        let label = match &key.value {
            Value::String(name) | Value::Timestamp(name) if is_name(name) => {
                format!("{label}.{name}")
            }
            Value::String(name) | Value::Timestamp(name) => format!("{label}[{name:?}]"),
            key => {
                let key = convert::scalar(key).map(|key| key.to_string());
                format!("{label}[{}]", key.unwrap_or_default())
            }
        };
        Self { label: label.into(), root: self.root.clone() }
    }

    pub(super) fn element(&self, at: usize) -> Self {
        Self { label: format!("{}[{at}]", self.label).into(), root: self.root.clone() }
    }
}

/// Whether a dot and this can only mean one thing.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

/// The variables of one host.
pub(super) struct Engine {
    pub(super) variables: BTreeMap<Arc<str>, Arc<Node>>,
    /// What the host says of itself; Ansible lets nothing override it.
    magic: BTreeMap<&'static str, Evaluated>,
    /// What stands before the names of its variables in messages: nothing at the host that the
    /// scope is of.
    prefix: String,
    pub(super) shared: Arc<Shared>,
    world: Weak<World>,
}

impl Engine {
    /// An engine for the variables of one host, beside those of others in its world.
    pub(super) fn new(
        variables: BTreeMap<Arc<str>, Arc<Node>>,
        around: &Surroundings,
        prefix: String,
        world: &Arc<World>,
    ) -> Arc<Self> {
        let shared = world.shared.clone();
        let magic = magic::of(around, &shared);
        Arc::new(Self { variables, magic, prefix, shared, world: Arc::downgrade(world) })
    }

    /// A node with every template below it rendered; every failure, not only the first.
    pub(super) fn tree(self: &Arc<Self>, item: &Item, node: &Node) -> Result<Node, Vec<Failure>> {
        let value = match &node.value {
            Value::List(items) => {
                let items = items.iter().enumerate();
                let rendered = items.map(|(at, node)| self.unless_omitted(&item.element(at), node));
                Value::List(gather(rendered)?.into_iter().flatten().collect())
            }
            Value::Map(entries) => {
                let rendered = entries.iter().map(|(key, node)| {
                    let member = self.unless_omitted(&item.member(key), node)?;
                    Ok(member.map(|node| (key.clone(), node)))
                });
                Value::Map(gather(rendered)?.into_iter().flatten().collect())
            }
            _ => return self.scalar(item, node),
        };
        Ok(Node { value, template: false, ..node.clone_outside() })
    }

    fn unless_omitted(
        self: &Arc<Self>,
        item: &Item,
        node: &Node,
    ) -> Result<Option<Node>, Vec<Failure>> {
        let node = self.tree(item, node)?;
        Ok((!self.shared.work().omitted.contains(&item.label)).then_some(node))
    }

    /// A scalar, rendered if it is a template.
    fn scalar(self: &Arc<Self>, item: &Item, node: &Node) -> Result<Node, Vec<Failure>> {
        let refuse = |check, message: String, cause| {
            let diagnostic = Diagnostic::error(check, message)
                .at(node.origin.place((self.shared.shown)(&item.root)))
                .variable(&*item.root);
            Err(vec![Failure::new(cause, &item.label, diagnostic)])
        };
        let text = match &node.value {
            Value::String(text) if node.template => text,
            Value::Sealed(sealed) => return self.opened(item, node, sealed),
            _ => return Ok(Node { template: false, ..node.clone() }),
        };
        {
            let mut work = self.shared.work();
            if let Some(done) = work.done.get(&item.label) {
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
            if work.open.len() >= LONGEST {
                drop(work);
                let message = format!("more than {LONGEST} templates need each other in a row");
                return refuse("template-chain", message, Cause::Broken);
            }
            work.open.push(item.label.clone());
        }
        let result = self.fill_in(item, node, text);
        let mut work = self.shared.work();
        work.open.pop();
        work.done.insert(item.label.clone(), result.clone());
        result
    }

    /// A vault value, opened. It is text and never a template, whatever is in it.
    fn opened(&self, item: &Item, node: &Node, sealed: &str) -> Result<Node, Vec<Failure>> {
        match self.shared.inventory.vault().open(sealed) {
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
        let item = Item::of_host(&self.prefix, name);
        let is_assumed = |frame: &Frame| frame.assumed.contains(&item.label);
        if self.shared.work().frames.last().is_some_and(is_assumed) {
            return Some(Evaluated::from(""));
        }
        if let Some(value) = self.magic.get(name) {
            return Some(value.clone());
        }
        if name == "hostvars" {
            return Some(Evaluated::from_object(HostVars(self.world.clone())));
        }
        if let Some(node) = self.variables.get(name) {
            return self.fetch(item, node);
        }
        if !self.shared.strict.globals().any(|(global, _)| global == name) {
            self.lack(Lack { label: item.label, failures: Vec::new() });
        }
        None
    }

    /// The same for a variable or an element that is there.
    pub(super) fn fetch(self: &Arc<Self>, item: Item, node: &Arc<Node>) -> Option<Evaluated> {
        let shelf = |node: Arc<Node>, item| Evaluated::from_object(Shelf::new(self, item, node));
        if matches!(node.value, Value::List(_) | Value::Map(_)) {
            return Some(shelf(node.clone(), item));
        }
        match self.scalar(&item, node) {
            Ok(_) if self.shared.work().omitted.contains(&item.label) => Some(objects::omit()),
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
                if let Some(frame) = self.shared.work().frames.last_mut()
                    && frame.fatal.is_empty()
                {
                    frame.fatal = failures;
                }
                Some(Evaluated::from(Error::new(ErrorKind::InvalidOperation, FATAL)))
            }
        }
    }

    fn lack(&self, lack: Lack) {
        if let Some(frame) = self.shared.work().frames.last_mut() {
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
