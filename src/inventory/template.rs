//! Templates: `{{ … }}` and `<< … >>` in the values of variables, rendered when they are needed.

use std::{collections::BTreeMap, sync::Arc};

use crate::diagnostic::Diagnostic;

use super::{Node, Shown};

/// Variables that refer to each other. Each is rendered when it is first asked for, once.
#[derive(Debug)]
pub struct Scope {
    variables: BTreeMap<Arc<str>, Arc<Node>>,
}

/// Why a variable cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub cause: Cause,
    /// Who needs it: the variable that was asked for first, the one whose template failed last.
    pub chain: Vec<Arc<str>>,
    /// The same for people; its place is in the template that failed.
    pub diagnostic: Diagnostic,
}

/// What happened to a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It needs this variable, which nothing sets.
    Missing(Arc<str>),
    /// It needs itself; the variables of the circle in order.
    Cycle(Vec<Arc<str>>),
    /// It needs a vault value, which cannot be opened.
    Sealed,
    /// Anything else.
    Broken,
}

impl Scope {
    /// The winners of all layers under their names, and what the host's own variables are:
    /// `inventory_hostname` and `group_names`.
    pub fn new(
        variables: BTreeMap<Arc<str>, Arc<Node>>,
        _host: &str,
        _groups: &[String],
        _shown: Shown,
    ) -> Self {
        Self { variables }
    }

    /// The variable with every template in it filled in: the same shape and origins, no
    /// templates left. A variable that is not there is a [`Cause::Missing`] with an empty chain.
    ///
    /// # Errors
    /// Everything that stands in the way, not only the first.
    pub fn render(&self, name: &str) -> Result<Arc<Node>, Vec<Failure>> {
        match self.variables.get(name) {
            Some(node) => Ok(node.clone()),
            None => Err(vec![Failure {
                cause: Cause::Missing(name.into()),
                chain: Vec::new(),
                diagnostic: Diagnostic::error("undefined-variable", format!("`{name}` is not set")),
            }]),
        }
    }
}
