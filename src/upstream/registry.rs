//! What is asked of a registry, and what its answers mean (distribution-spec 1.1, "Pull" and
//! "Content Discovery").

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use reqwest::{Response, StatusCode};
use tokio::sync::Mutex;
use url::Url;

use super::{
    Blob, Head, Limits, Listing, Manifest, Scope, Trust, UpstreamError, body,
    claims::Grants,
    headers,
    pace::{Pulls, Who},
    token::{Next, Tokens},
    wire::{Ask, Wire, header},
};
use crate::{
    oci::{Algorithm, Digest, MAX_MANIFEST, MediaType, Name, Outline, Reference},
    telemetry::Kind,
};

/// [`crate::oci::MANIFEST_TYPES`] as one header.
pub(super) const ACCEPT_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const JSON: &str = "application/json";

/// The registry of a [`super::Hub`]. Must be used on the engine.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) wire: Arc<Wire>,
    pub(super) tokens: Tokens,
    /// The root of the API, `…/v2/`.
    root: Url,
    /// Held by whoever looks whether pulls are left.
    probing: Mutex<()>,
}

/// What is asked for, and how.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a Name,
    pub(super) accept: Option<&'static str>,
    pub(super) from: u64,
}

impl Registry {
    pub(super) fn new(wire: Arc<Wire>, tokens: Tokens, root: Url) -> Self {
        Self { wire, tokens, root, probing: Mutex::default() }
    }

    pub(super) fn limits(&self) -> Limits {
        self.wire.pace.limits()
    }

    pub(super) fn cooling(&self) -> Option<(Scope, SystemTime)> {
        self.wire.pace.cooling(self.tokens.who(Trust::Public).unwrap_or(Who::Anonymous))
    }

    pub(super) fn url(&self, name: &Name, what: &str, query: &str) -> Url {
        let mut url = self.root.clone();
        url.set_path(&format!("{}{name}/{what}", self.root.path()));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url
    }

    /// Asks as whoever the trust allows: with our credential, or anonymously for what is public
    /// where the credential is refused, or does not open it.
    async fn ask(&self, wanted: Wanted<'_>, url: Url, trust: Trust) -> Answer {
        let who = self.tokens.who(trust)?;
        if trust == Trust::Private || who == Who::Anonymous {
            return self.ask_as(wanted, url, who).await;
        }
        let refused = match self.tokens.pass(wanted.name, who).await {
            Ok(pass) if pass.grants == Some(Grants::Nothing) => None,
            Ok(_) => match self.ask_as(wanted, url.clone(), who).await {
                Err(error @ UpstreamError::CredentialRefused) => Some(error),
                answer => return answer,
            },
            Err(error @ UpstreamError::CredentialRefused) => Some(error),
            Err(UpstreamError::Denied) => None,
            Err(error) => return Err(error),
        };
        match (self.ask_as(wanted, url, Who::Anonymous).await, refused) {
            // It may be open to the credential that is refused: that is not for sure a denial.
            (Err(UpstreamError::Denied), Some(refused)) => Err(refused),
            (answer, _) => answer,
        }
    }

    /// Asks as `who`, with one fresh token if the first is refused, and follows redirects. The
    /// answer's status is neither 401, 403, 404, 429, a redirect, nor of a server's failure.
    pub(super) async fn ask_as(&self, wanted: Wanted<'_>, url: Url, who: Who) -> Answer {
        if wanted.kind == Kind::Manifest {
            self.check_pulls(wanted, &url, who).await?;
        }
        let mut pass = self.tokens.pass(wanted.name, who).await?;
        loop {
            let ask = Ask {
                kind: wanted.kind,
                head: matches!(wanted.kind, Kind::Head | Kind::BlobHead),
                url: url.clone(),
                accept: wanted.accept,
                from: wanted.from,
                authorization: pass.header.clone(),
                who,
            };
            let response = self.wire.ask(&ask).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                match self.tokens.refused(wanted.name, who, &pass, &response).await? {
                    Next::Again(better) => pass = better,
                    Next::Stop(error) => return Err(error),
                }
                continue;
            }
            let response = self.wire.land(&ask, response).await?;
            return match response.status() {
                // The service grants it, the registry refuses: that is their fault, and no answer.
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                    if pass.grants == Some(Grants::Pull) =>
                {
                    Err(UpstreamError::passing("it refuses the tokens of its own service"))
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(UpstreamError::Denied),
                StatusCode::NOT_FOUND => Err(UpstreamError::Unknown),
                _ => Ok(response),
            };
        }
    }

    /// Lets a pull through if some are left. Where the limit was reached and its wait is over, a
    /// HEAD of the same manifest, which is free, has to show some first.
    async fn check_pulls(
        &self,
        wanted: Wanted<'_>,
        url: &Url,
        who: Who,
    ) -> Result<(), UpstreamError> {
        let pace = &self.wire.pace;
        if pace.pulls(who)? == Pulls::Free {
            return Ok(());
        }
        let _probing = self.probing.lock().await;
        // Another may have looked while this one waited.
        if pace.pulls(who)? == Pulls::Free {
            return Ok(());
        }
        let head = Wanted { kind: Kind::Head, ..wanted };
        let response = Box::pin(self.ask_as(head, url.clone(), who)).await?;
        // Where there is no HEAD, only a pull can tell.
        let blind = response.status() == StatusCode::METHOD_NOT_ALLOWED;
        if !blind && pace.pulls(who)? == Pulls::Due {
            return Err(pace.no_pulls(who, None));
        }
        Ok(())
    }

    pub(super) async fn head(
        &self,
        name: &Name,
        reference: &Reference,
        trust: Trust,
    ) -> Result<Head, UpstreamError> {
        let _turn = self.wire.pace.turn().await?;
        match self.head_only(name, reference, trust).await? {
            Some(head) => Ok(head),
            None => {
                let manifest = self.pull(name, reference, trust).await?;
                Ok(Head {
                    digest: Some(manifest.digest),
                    size: Some(manifest.bytes.len() as u64),
                    media_type: Some(manifest.media_type),
                    checked_at: manifest.checked_at,
                })
            }
        }
    }

    /// HEAD of a manifest; none where the registry knows no HEAD.
    async fn head_only(
        &self,
        name: &Name,
        reference: &Reference,
        trust: Trust,
    ) -> Result<Option<Head>, UpstreamError> {
        let url = self.url(name, &format!("manifests/{reference}"), "");
        let wanted = Wanted { kind: Kind::Head, name, accept: Some(ACCEPT_MANIFESTS), from: 0 };
        let response = self.ask(wanted, url, trust).await?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(None);
        }
        let response = expect_ok(response)?;
        let digest = named_digest(&response);
        if let (Reference::Digest(asked), Some(told)) = (reference, digest)
            && asked.algorithm() == told.algorithm()
            && *asked != told
        {
            return Err(UpstreamError::lasting("it names another digest than was asked for"));
        }
        let length = header(response.headers(), "content-length");
        Ok(Some(Head {
            digest: match reference {
                Reference::Digest(digest) => Some(*digest),
                Reference::Tag(_) => digest,
            },
            media_type: content_type(&response),
            size: length.and_then(|text| text.parse().ok()),
            checked_at: self.wire.clock.now(),
        }))
    }

    pub(super) async fn manifest(
        &self,
        name: &Name,
        reference: &Reference,
        trust: Trust,
    ) -> Result<Manifest, UpstreamError> {
        let _turn = self.wire.pace.turn().await?;
        self.pull(name, reference, trust).await
    }

    /// Fetches a manifest.
    async fn pull(
        &self,
        name: &Name,
        reference: &Reference,
        trust: Trust,
    ) -> Result<Manifest, UpstreamError> {
        let url = self.url(name, &format!("manifests/{reference}"), "");
        let wanted = Wanted { kind: Kind::Manifest, name, accept: Some(ACCEPT_MANIFESTS), from: 0 };
        let response = self.ask(wanted, url, trust).await?;
        let response = expect_ok(response)?;
        let (told, typed) = (named_digest(&response), content_type(&response));
        let bytes = self.wire.body(response, MAX_MANIFEST).await?;
        let digest = match (reference, told) {
            (Reference::Digest(asked), _) => *asked,
            (Reference::Tag(_), Some(told)) => told,
            (Reference::Tag(_), None) => Digest::of(Algorithm::Sha256, &bytes),
        };
        if Digest::of(digest.algorithm(), &bytes) != digest {
            self.wire.metrics.mismatch();
            return Err(UpstreamError::lasting("its manifest does not match the digest"));
        }
        let media_type = typed
            .or_else(|| Outline::read(&bytes).media_type)
            .ok_or_else(|| UpstreamError::lasting("its manifest has no media type"))?;
        Ok(Manifest { digest, media_type, bytes, checked_at: self.wire.clock.now() })
    }

    pub(super) async fn blob_size(
        &self,
        name: &Name,
        digest: &Digest,
        trust: Trust,
    ) -> Result<Option<u64>, UpstreamError> {
        let _turn = self.wire.pace.turn().await?;
        let url = self.url(name, &format!("blobs/{digest}"), "");
        let wanted = Wanted { kind: Kind::BlobHead, name, accept: None, from: 0 };
        let response = self.ask(wanted, url, trust).await?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(None);
        }
        let response = expect_ok(response)?;
        Ok(header(response.headers(), "content-length").and_then(|text| text.parse().ok()))
    }

    pub(super) async fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        from: u64,
        trust: Trust,
    ) -> Result<Blob, UpstreamError> {
        let _turn = self.wire.pace.turn().await?;
        let url = self.url(name, &format!("blobs/{digest}"), "");
        let wanted = Wanted { kind: Kind::Blob, name, accept: None, from };
        let response = self.ask(wanted, url, trust).await?;
        body::blob(self.wire.clone(), response, from)
    }

    pub(super) async fn tags(
        &self,
        name: &Name,
        query: &str,
        trust: Trust,
    ) -> Result<Listing, UpstreamError> {
        let wanted = Wanted { kind: Kind::Tags, name, accept: Some(JSON), from: 0 };
        self.list(wanted, self.url(name, "tags/list", query), trust).await
    }

    pub(super) async fn referrers(
        &self,
        name: &Name,
        digest: &Digest,
        query: &str,
        trust: Trust,
    ) -> Result<Listing, UpstreamError> {
        let wanted = Wanted { kind: Kind::Referrers, name, accept: Some(INDEX), from: 0 };
        self.list(wanted, self.url(name, &format!("referrers/{digest}"), query), trust).await
    }

    async fn list(
        &self,
        wanted: Wanted<'_>,
        url: Url,
        trust: Trust,
    ) -> Result<Listing, UpstreamError> {
        let _turn = self.wire.pace.turn().await?;
        let response = self.ask(wanted, url, trust).await?;
        let response = expect_ok(response)?;
        let media_type = content_type(&response).or_else(|| wanted.accept?.parse().ok());
        let links = response.headers().get_all("link");
        let next = links.iter().filter_map(|link| link.to_str().ok()).find_map(headers::next_query);
        let filters = header(response.headers(), "oci-filters-applied").map(str::to_owned);
        let bytes: Bytes = self.wire.body(response, MAX_MANIFEST).await?;
        let media_type =
            media_type.ok_or_else(|| UpstreamError::lasting("its list has no media type"))?;
        Ok(Listing { bytes, media_type, next, filters })
    }
}

pub(super) type Answer = Result<Response, UpstreamError>;

fn expect_ok(response: Response) -> Result<Response, UpstreamError> {
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(UpstreamError::lasting(format!("it answers {}", status.as_u16()))),
    }
}

fn named_digest(response: &Response) -> Option<Digest> {
    header(response.headers(), "docker-content-digest")?.trim().parse().ok()
}

fn content_type(response: &Response) -> Option<MediaType> {
    header(response.headers(), "content-type")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::ACCEPT_MANIFESTS;

    #[test]
    fn every_manifest_type_is_asked_for() {
        assert_eq!(ACCEPT_MANIFESTS, crate::oci::MANIFEST_TYPES.join(", "));
    }
}
