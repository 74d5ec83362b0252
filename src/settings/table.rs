//! The one list of variables. Settings, both schemas and the documentation's table come from it.

use super::kind::Kind;

mod service;
mod terraform;

/// What every name of the family starts with.
pub const PREFIX: &str = "registry_mirror_";

/// Who acts on a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// This program.
    Service,
    /// The Ansible role that installs it.
    Role,
    /// The Terraform module that makes its nodes. In an inventory such a name is known, its value is
    /// checked, and nothing is made of it.
    Terraform,
}

impl Reader {
    /// Its name in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Role => "role",
            Self::Terraform => "terraform",
        }
    }
}

/// A variable that the family knows.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Without [`PREFIX`].
    pub name: &'static str,
    /// What it may be set to.
    pub kind: Kind,
    /// Who reads it.
    pub readers: &'static [Reader],
    /// Whether its value must never be shown.
    pub secret: bool,
    /// Whether the service takes a change only at its next start.
    pub restart: bool,
    /// Its default as JSON where that is not in `defaults.yml`, which holds what the service reads.
    pub default: Option<&'static str>,
    /// What it means, in a sentence or two, as Markdown.
    pub about: &'static str,
}

impl Variable {
    const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        let readers = &[Reader::Service];
        Self { name, kind, readers, secret: false, restart: false, default: None, about }
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn restart(mut self) -> Self {
        self.restart = true;
        self
    }

    const fn read_by(mut self, readers: &'static [Reader]) -> Self {
        self.readers = readers;
        self
    }

    /// The name as an inventory has it.
    pub fn full_name(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// Whether the service reads it.
    pub fn is_setting(&self) -> bool {
        self.readers.contains(&Reader::Service)
    }
}

/// Every variable, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Variable> {
    service::VARIABLES.iter().chain(terraform::VARIABLES)
}

/// The variables that the service reads.
pub fn settings() -> impl Iterator<Item = &'static Variable> {
    all().filter(|variable| variable.is_setting())
}

/// The variable that an inventory calls `name`.
pub fn find(name: &str) -> Option<&'static Variable> {
    let short = name.strip_prefix(PREFIX)?;
    all().find(|variable| variable.name == short)
}

/// Whether a message may show the value of the variable that an inventory calls `name`: it is
/// known, and no secret.
pub fn shown(name: &str) -> bool {
    find(name).is_some_and(|variable| !variable.secret)
}
