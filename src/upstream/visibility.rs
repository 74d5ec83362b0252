//! Whether anyone may pull from a repository.

use reqwest::StatusCode;
use url::Url;

use super::{
    UpstreamError, Visibility,
    claims::Grants,
    pace::Who,
    registry::{ACCEPT_MANIFESTS, Registry, Wanted},
    wire::Ask,
};
use crate::{
    oci::{Name, Reference},
    telemetry::Kind,
};

/// The most that is read of an error's body, in bytes.
const MAX_ERROR_BODY: usize = 64 << 10;

impl Registry {
    pub(super) async fn visibility(
        &self,
        name: &Name,
        hint: Option<&Reference>,
    ) -> Result<Visibility, UpstreamError> {
        let _turn = self.wire.pace.turn().await?;
        let pass = match self.tokens.pass(name, Who::Anonymous).await {
            Ok(pass) => pass,
            Err(UpstreamError::Denied) => return Ok(Visibility::NotPublic),
            Err(error) => return Err(error),
        };
        match pass.grants {
            Some(Grants::Pull) => return Ok(Visibility::Public),
            Some(Grants::Nothing) => return Ok(Visibility::NotPublic),
            Some(Grants::Opaque) | None => {}
        }
        let reference = hint.map_or_else(|| "latest".to_owned(), Reference::to_string);
        let url = self.url(name, &format!("manifests/{reference}"), "");
        let wanted = Wanted { kind: Kind::Head, name, accept: Some(ACCEPT_MANIFESTS), from: 0 };
        match self.ask_as(wanted, url.clone(), Who::Anonymous).await {
            // Also 405 and the like: it was let in.
            Ok(_) => Ok(Visibility::Public),
            Err(UpstreamError::Denied) => Ok(Visibility::NotPublic),
            Err(UpstreamError::Unknown) => self.is_there(name, url).await,
            Err(error) => Err(error),
        }
    }

    /// Whether a 404 is about the manifest and not about the repository, which some registries
    /// deny this way: a HEAD has no body to tell, so that the GET's is read. What is not there
    /// costs no pull.
    async fn is_there(&self, name: &Name, url: Url) -> Result<Visibility, UpstreamError> {
        let pass = self.tokens.pass(name, Who::Anonymous).await?;
        self.wire.pace.pulls(Who::Anonymous)?;
        let ask = Ask {
            kind: Kind::Manifest,
            head: false,
            url,
            accept: Some(ACCEPT_MANIFESTS),
            from: 0,
            authorization: pass.header,
            who: Who::Anonymous,
        };
        let response = self.wire.ask(&ask).await?;
        match response.status() {
            status if status.is_success() => Ok(Visibility::Public),
            StatusCode::NOT_FOUND => {
                let body = self.wire.body(response, MAX_ERROR_BODY).await?;
                let code = serde_json::from_slice::<serde_json::Value>(&body)
                    .ok()
                    .and_then(|json| Some(json.pointer("/errors/0/code")?.as_str()?.to_owned()));
                let there = code.as_deref() == Some("MANIFEST_UNKNOWN");
                Ok(if there { Visibility::Public } else { Visibility::NotPublic })
            }
            _ => Ok(Visibility::NotPublic),
        }
    }
}
