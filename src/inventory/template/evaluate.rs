//! Filling in one scalar: its expressions evaluated, what is undefined found out.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use minijinja::{Environment, Error, ErrorKind, value::Value as Evaluated};

use crate::diagnostic::nearest;

use super::{
    super::{Node, Value},
    Cause, Failure,
    convert::{self, Unfit},
    deep,
    engine::{Engine, Item, add, gather},
    objects::{Shelf, Variables, is_omitted},
    python,
    segments::{self, Cut, Segment},
    words,
};

/// The text of the error that stands for a failure which the frame holds.
pub(super) const FATAL: &str = "a variable failed";

/// The longest text that one scalar may become, in bytes.
pub(super) const LONGEST: usize = 1 << 20;

/// How many missing variables of one expression are looked for.
const ROUNDS: usize = 8;

/// What an expression that runs has met.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) missing: Vec<Lack>,
    pub(super) fatal: Vec<Failure>,
    /// Missing variables that are taken for empty, to find the next one.
    pub(super) assumed: BTreeSet<Arc<str>>,
}

/// A variable that is undefined: nothing sets it, or its own template lacks something.
pub(super) struct Lack {
    pub(super) label: Arc<str>,
    pub(super) failures: Vec<Failure>,
}

/// What is evaluated.
#[derive(Clone, Copy)]
pub(super) enum Job<'a> {
    Expression(&'a str),
    Statements(&'a str),
}

/// A scalar and where in it the job begins, for messages.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) item: &'a Item,
    pub(super) node: &'a Node,
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

/// Either the result is none, or a part of it failed.
enum Problem {
    Unfit(Unfit),
    Failed(Vec<Failure>),
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl Engine {
    /// The text of a scalar with its templates filled in. A lone expression keeps the type of its
    /// value; anything else is text.
    pub(super) fn fill_in(
        self: &Arc<Self>,
        item: &Item,
        node: &Node,
        text: &str,
    ) -> Result<Node, Vec<Failure>> {
        let site = Site { item, node, text, offset: 0 };
        let cut = segments::cut(text).map_err(|why| vec![words::uncut(self, site, &why)])?;
        match cut {
            Cut::Text => Ok(Node { template: false, ..node.clone() }),
            Cut::Lone(range) => {
                let site = Site { offset: range.start, ..site };
                let expression = text.get(range).unwrap_or("");
                let value = self.evaluate(site, Job::Expression(expression))?;
                self.keep(site, &value)
            }
            Cut::Mixed(pieces) => {
                let values = gather(pieces.into_iter().map(|piece| match piece {
                    Segment::Text(range) => Ok(Evaluated::from(text.get(range).unwrap_or(""))),
                    Segment::Expression(range) => {
                        let site = Site { offset: range.start, ..site };
                        let expression = text.get(range).unwrap_or("");
                        self.evaluate(site, Job::Expression(expression))
                    }
                }))?;
                let value = python::joined(values).map_err(|error| {
                    vec![words::broken(self, site, Job::Statements(text), &error)]
                })?;
                self.keep(site, &value)
            }
            Cut::Statements(jinja) => {
                let value = self.evaluate(site, Job::Statements(&jinja))?;
                self.keep(site, &value)
            }
        }
    }

    /// A result as the node that takes the scalar's place.
    fn keep(self: &Arc<Self>, site: Site<'_>, value: &Evaluated) -> Result<Node, Vec<Failure>> {
        let origin = &site.node.origin;
        if is_omitted(value) {
            self.shared.work().omitted.insert(site.item.label.clone());
        }
        let unfit = |unfit| vec![words::unfit(self, site, unfit)];
        if value.as_str().is_some_and(|text| text.len() > LONGEST) {
            return Err(unfit(Unfit::TooLarge));
        }
        let mut stored = |value: &Evaluated| {
            let shelf = value.downcast_object::<Shelf>()?;
            let node = self.tree(&shelf.item, &shelf.node).map_err(|failures| {
                let mine = failures.into_iter().map(|f| f.needed_by(&site.item.label));
                Problem::Failed(mine.collect())
            });
            Some(node.and_then(|mut node| {
                // It stands here now: its own line may hold what must not be shown.
                node.adopt(origin, false);
                if self.shared.spend(node.weight()) {
                    Ok(node)
                } else {
                    Err(Unfit::TooLarge.into())
                }
            }))
        };
        let mut spend = |amount| self.shared.spend(amount);
        convert::node::<Problem>(value, origin, 0, &mut spend, &mut stored).map_err(|problem| {
            match problem {
                Problem::Unfit(problem) => unfit(problem),
                Problem::Failed(failures) => failures,
            }
        })
    }

    /// The value of an expression, or everything that stands in its way.
    fn evaluate(self: &Arc<Self>, site: Site<'_>, job: Job<'_>) -> Result<Evaluated, Vec<Failure>> {
        let here = site.node.origin.directory().map(Path::to_owned);
        let before = std::mem::replace(&mut *self.shared.here(), here);
        let result = self.rounds(site, job);
        *self.shared.here() = before;
        result
    }

    fn rounds(self: &Arc<Self>, site: Site<'_>, job: Job<'_>) -> Result<Evaluated, Vec<Failure>> {
        let mut failures: Vec<Failure> = Vec::new();
        let mut assumed = BTreeSet::new();
        for round in 0..ROUNDS {
            let (result, frame, caught) = self.attempt(&self.shared.strict, job, assumed.clone());
            let undefined = result.as_ref().err().filter(|e| e.kind() == ErrorKind::UndefinedError);
            let fatal = match &result {
                Ok(_) => !frame.fatal.is_empty(),
                Err(error) => error.detail() == Some(FATAL),
            };
            if fatal {
                let mine = frame.fatal.into_iter().map(|f| f.needed_by(&site.item.label));
                add(&mut failures, mine);
                // A variable of another host says why when that host is looked at.
                if let (true, Err(error)) = (failures.is_empty(), &result) {
                    failures.push(words::broken(self, site, job, error));
                }
                break;
            }
            if let Some(error) = undefined {
                if round == 0
                    && let Some(value) = self.chained_default(job)
                {
                    return Ok(value);
                }
                let culprit = words::undefined_expression(error);
                let root = culprit.split(['.', '[']).next().unwrap_or("");
                let lack = frame.missing.into_iter().find(|lack| {
                    *lack.label == *culprit || (!root.is_empty() && *lack.label == *root)
                });
                let Some(lack) = lack else {
                    if failures.is_empty() {
                        failures.push(words::undefined(self, site, job, &culprit));
                    }
                    break;
                };
                assumed.insert(lack.label.clone());
                let another = self.missing(site, job, lack);
                add(&mut failures, another);
                continue;
            }
            match result {
                // An undefined value that nothing caught went by unnoticed, in a comparison say.
                Ok(_) if frame.missing.len() > caught => {
                    for lack in frame.missing {
                        add(&mut failures, self.missing(site, job, lack));
                    }
                }
                Ok(value) if failures.is_empty() && !value.is_undefined() => return Ok(value),
                Ok(_) if failures.is_empty() => failures.push(self.undefined(site, job)),
                Err(error) if failures.is_empty() => {
                    failures.push(words::broken(self, site, job, &error));
                }
                _ => {}
            }
            break;
        }
        Err(failures)
    }

    /// `a.b.c | default(…)`, which Ansible allows with any part of `a.b.c` undefined. Only if
    /// everything undefined in it was caught.
    fn chained_default(self: &Arc<Self>, job: Job<'_>) -> Option<Evaluated> {
        let (Job::Expression(text) | Job::Statements(text)) = job;
        if !["default", "d(", "defined"].iter().any(|word| text.contains(word)) {
            return None;
        }
        let (result, frame, caught) = self.attempt(&self.shared.lenient, job, BTreeSet::new());
        let value = result.ok()?;
        let all_caught = caught > 0 && frame.missing.len() <= caught && frame.fatal.is_empty();
        (all_caught && !value.is_undefined()).then_some(value)
    }

    fn attempt(
        self: &Arc<Self>,
        environment: &Environment<'static>,
        job: Job<'_>,
        assumed: BTreeSet<Arc<str>>,
    ) -> (Result<Evaluated, Error>, Frame, usize) {
        self.shared.work().frames.push(Frame { assumed, ..Frame::default() });
        let before = std::mem::take(&mut *self.caught());
        let outside = std::mem::take(&mut *self.emitted());
        let variables = Evaluated::from_object(Variables(self.clone()));
        let result = match job {
            Job::Expression(text) => environment
                .compile_expression_owned(segments::literal(text))
                .and_then(|expression| expression.eval(variables)),
            Job::Statements(text) if text.contains("namespace") => {
                deep::run(|| self.with_statements(environment, text, variables))
            }
            Job::Statements(text) => self.with_statements(environment, text, variables),
        };
        *self.emitted() = outside;
        let caught = std::mem::replace(&mut *self.caught(), before);
        let frame = self.shared.work().frames.pop().unwrap_or_default();
        (result, frame, caught)
    }

    fn with_statements(
        &self,
        environment: &Environment<'static>,
        text: &str,
        variables: Evaluated,
    ) -> Result<Evaluated, Error> {
        let result = environment.render_named_str("template", text, variables);
        // What was written may nest deep: it is let go here, as are the values in an error.
        let written = std::mem::take(&mut *self.emitted());
        let text = result.map_err(|error| {
            Error::new(error.kind(), error.detail().unwrap_or_default().to_owned())
        })?;
        // Of the only value that makes up the text, the type is kept.
        Ok(match written.as_slice() {
            [] if text.is_empty() => Evaluated::from(()),
            [only] if python::text(only).is_ok_and(|written| written == text) => only.clone(),
            _ => Evaluated::from(text),
        })
    }

    fn emitted(&self) -> std::sync::MutexGuard<'_, Vec<Evaluated>> {
        self.shared.emitted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn caught(&self) -> std::sync::MutexGuard<'_, usize> {
        self.shared.caught.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A result that is undefined without any variable being so. To hear from minijinja what it
    /// is, something has to be done with it.
    fn undefined(self: &Arc<Self>, site: Site<'_>, job: Job<'_>) -> Failure {
        let (Job::Expression(text) | Job::Statements(text)) = job;
        let used = format!("({text}) ~ ''");
        let (result, _, _) =
            self.attempt(&self.shared.strict, Job::Expression(&used), BTreeSet::new());
        let culprit = result.err().map(|error| words::undefined_expression(&error));
        words::undefined(self, site, job, &culprit.unwrap_or_default())
    }

    fn missing(&self, site: Site<'_>, job: Job<'_>, lack: Lack) -> Vec<Failure> {
        let name = &site.item.label;
        if lack.failures.is_empty() {
            // Of another host the template has the name alone.
            let bare = lack.label.rsplit_once("'].").map_or(&*lack.label, |(_, bare)| bare);
            let place = words::place_of_name(self, site, job, bare);
            let known = self.variables.keys().map(|known| &**known);
            let near = nearest(bare, known);
            let mut failure = Failure::missing(&lack.label, name, place, near);
            if let Some(said) = words::wish(job) {
                failure.diagnostic.label = Some(said.to_owned());
            }
            return vec![failure];
        }
        lack.failures.into_iter().map(|failure| failure.needed_by(name)).collect()
    }
}

impl Failure {
    pub(super) fn broken(item: &Item, diagnostic: crate::diagnostic::Diagnostic) -> Self {
        Self::new(Cause::Broken, &item.label, diagnostic.variable(&*item.root))
    }
}

impl Node {
    /// What it costs to hold, in bytes.
    fn weight(&self) -> usize {
        convert::COST
            + match &self.value {
                Value::List(items) => items.iter().map(Self::weight).sum(),
                Value::Map(entries) => entries.iter().map(|(k, v)| k.weight() + v.weight()).sum(),
                Value::String(text) | Value::Timestamp(text) | Value::Sealed(text) => text.len(),
                _ => 0,
            }
    }
}
