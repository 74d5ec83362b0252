//! Whether anyone may pull from a repository.

use reqwest::StatusCode;
use url::Url;

use super::{
    UpstreamError, Visibility,
    claims::Grants,
    pace::Who,
    registry::{ACCEPT_MANIFESTS, Registry, Wanted},
    wire::{Ask, MAX_ERROR_BODY, error_code},
};
use crate::{
    oci::{Name, Reference},
    telemetry::Kind,
};

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
            Ok(response) => match response.status() {
                status if status.is_success() => Ok(Visibility::Public),
                StatusCode::METHOD_NOT_ALLOWED => self.is_there(name, url).await,
                status => Err(odd(status)),
            },
            Err(UpstreamError::Denied) => Ok(Visibility::NotPublic),
            Err(UpstreamError::Unknown) => self.is_there(name, url).await,
            Err(error) => Err(error),
        }
    }

    /// Asks anonymously by GET, where the registry knows no HEAD, or answered it by 404. A 404 may
    /// be about the manifest, or about the repository, which some registries deny this way: a HEAD
    /// has no body to tell. What is not there costs no pull.
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
                let there = error_code(&body).as_deref() == Some("MANIFEST_UNKNOWN");
                Ok(if there { Visibility::Public } else { Visibility::NotPublic })
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Visibility::NotPublic),
            status => Err(odd(status)),
        }
    }
}

/// An answer that says nothing of who may pull.
fn odd(status: StatusCode) -> UpstreamError {
    UpstreamError::lasting(format!("it answers {}", status.as_u16()))
}
