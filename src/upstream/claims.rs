//! What a token says of itself. Its signature is not checked: it is what the token service says
//! over the connection that the token came by, and nobody else is asked to believe it.

use serde::Deserialize;

use super::base64;
use crate::oci::Name;

/// Whether a token opens a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grants {
    /// Its `access` claim names the repository with `pull`.
    Pull,
    /// Its `access` claim does not.
    Nothing,
    /// It says nothing that is understood.
    Opaque,
}

#[derive(Deserialize)]
struct Claims {
    access: Option<Vec<Access>>,
}

#[derive(Deserialize)]
struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    actions: Vec<String>,
}

/// What the token grants for a repository, by the `access` claim of a JWT (the Distribution
/// project's token specification, "Token authentication implementation").
pub(super) fn grants(token: &str, name: &Name) -> Grants {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Grants::Opaque;
    };
    let claims =
        base64::decode_url(payload).and_then(|json| serde_json::from_slice::<Claims>(&json).ok());
    // A token without the claim may be of another kind: it is the registry that knows.
    let Some(access) = claims.and_then(|claims| claims.access) else { return Grants::Opaque };
    let opens = |access: &Access| {
        access.kind == "repository"
            && access.name == name.as_str()
            && access.actions.iter().any(|action| action == "pull" || action == "*")
    };
    if access.iter().any(opens) { Grants::Pull } else { Grants::Nothing }
}

#[cfg(test)]
mod tests;
