//! Why a variable cannot be rendered, as data and in words.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place};

/// Why a variable cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub cause: Cause,
    /// Who needs it: the variable that was asked for first, the one whose template failed last.
    /// An element of a list or mapping is called `variable.key` or `variable[0]`.
    pub chain: Vec<Arc<str>>,
    /// The same for people; its place is in the template that failed.
    pub diagnostic: Diagnostic,
}

/// What happened to a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It needs this variable, which nothing sets.
    Missing(Arc<str>),
    /// It needs itself; the variables of the circle in order, the first one again at the end.
    Cycle(Vec<Arc<str>>),
    /// It needs a vault value, which cannot be opened.
    Sealed,
    /// Anything else.
    Broken,
}

impl Failure {
    /// A failure of the template of `name`.
    pub(super) fn new(cause: Cause, name: &Arc<str>, diagnostic: Diagnostic) -> Self {
        Self { cause, chain: vec![name.clone()], diagnostic }
    }

    /// `name` needs a variable that nothing sets. `near` is one that is there and may be meant.
    pub(super) fn missing(
        variable: &str,
        name: &Arc<str>,
        place: Place,
        near: Option<&str>,
    ) -> Self {
        let hint = match near {
            _ if variable.starts_with("ansible_") => {
                "what Ansible finds out about a host (facts) is not known here".to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("set `{variable}` in the inventory, for example in vars.yml"),
        };
        let diagnostic = Diagnostic::error("undefined-variable", "")
            .at(place)
            .label("needed here")
            .hint(hint)
            .variable(&**name);
        let mut failure = Self::new(Cause::Missing(variable.into()), name, diagnostic);
        failure.word();
        failure
    }

    /// A variable that was asked for is not there.
    pub(super) fn absent(name: &str) -> Self {
        let diagnostic = Diagnostic::error("undefined-variable", format!("`{name}` is not set"))
            .hint(format!("set `{name}` in the inventory, for example in vars.yml"))
            .variable(name);
        Self { cause: Cause::Missing(name.into()), chain: Vec::new(), diagnostic }
    }

    /// The same failure, seen from `name`, which needs the variable that failed.
    pub(super) fn needed_by(mut self, name: &Arc<str>) -> Self {
        self.chain.insert(0, name.clone());
        self.word();
        self
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self.cause, Cause::Missing(_))
    }

    fn word(&mut self) {
        if let (Cause::Cycle(circle), Some(first)) = (&self.cause, self.chain.first())
            && !circle.contains(first)
        {
            self.diagnostic.label = Some(format!("needed by `{first}`"));
        }
        let Cause::Missing(missing) = &self.cause else { return };
        let mut message = format!("`{missing}` is not set");
        for name in self.chain.iter().rev() {
            message.push_str(&format!(", needed by `{name}`"));
        }
        self.diagnostic.message = message;
    }
}
