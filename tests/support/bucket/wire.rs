//! The way to the bucket: in process for the SDK, or HTTP on loopback; and what goes wrong on it.

use std::{fmt, io, net::SocketAddr, pin::Pin, sync::Arc, task::Poll};

use aws_sdk_s3::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::{
    S3Result,
    auth::SimpleAuth,
    config::{S3Config, StaticConfigProvider},
    host::{S3Host, VirtualHost},
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, task::JoinSet};

use super::{Bucket, CREDENTIALS, Fault, NAME, SECRET, cloud, place, quirks};

/// The connection broke.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection reset while sending {SECRET}")
    }
}

impl std::error::Error for Broken {}

/// Knows the bucket by its host name, as AWS does, as well as by its path.
struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let parsed = VirtualHost::new(host);
        Ok(if names_the_bucket(host) { parsed.with_bucket(NAME) } else { parsed })
    }
}

fn names_the_bucket(host: &str) -> bool {
    host.strip_prefix(NAME).is_some_and(|rest| rest.starts_with(".s3."))
}

/// One way in.
#[derive(Clone, Debug)]
struct Door {
    bucket: Bucket,
    service: S3Service,
}

impl Door {
    fn new(bucket: &Bucket) -> Self {
        let mut service = S3ServiceBuilder::new(bucket.clone());
        service.set_host(Hosts);
        // Its clock is moved by hand, and the SDK signs by the clock of the server.
        let mut config = S3Config::default();
        config.presigned_url_max_skew_time_secs = u32::MAX;
        service.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        service.set_auth(SimpleAuth::from_single(CREDENTIALS, CREDENTIALS));
        Self { bucket: bucket.clone(), service: service.build() }
    }

    async fn call(&self, request: s3s::HttpRequest) -> Result<s3s::HttpResponse, Broken> {
        let mut response = self.answer(request).await?;
        let now = aws_smithy_types::DateTime::from(self.bucket.state().now());
        let now = now.fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap();
        response.headers_mut().insert(http::header::DATE, now.parse().unwrap());
        Ok(response)
    }

    async fn answer(&self, mut request: s3s::HttpRequest) -> Result<s3s::HttpResponse, Broken> {
        let operation = operation(&request);
        let owner = request.headers().get("x-amz-expected-bucket-owner");
        let (fault, owned, refused) = {
            let mut state = self.bucket.state();
            let named = owner.map_or(!state.must_name_owner, |asked| {
                state.owner.as_ref().is_none_or(|is| asked == is)
            });
            let refused = quirks::refusal(&state.quirks, operation, request.headers());
            (state.count(operation), state.owner.is_none() || named, refused)
        };
        let is_head = request.method() == http::Method::HEAD;
        let is_aside = cloud::operation(&request).is_some();
        match fault {
            // A bucket that is made has no owner yet.
            None if !owned && operation != "CreateBucket" && !is_aside => {
                Ok(refusal(403, "AccessDenied", is_head))
            }
            None => match refused {
                Some((status, code)) => {
                    let _ = request.body_mut().store_all_limited(usize::MAX).await;
                    Ok(refusal(status, code, is_head))
                }
                None => self.done(operation, request).await,
            },
            Some(Fault::Status(status, code)) if is_aside => {
                Ok(cloud::failed(operation, status, code))
            }
            Some(Fault::Refused) => Err(Broken),
            Some(Fault::Silent) => std::future::pending().await,
            Some(Fault::Status(status, code)) => {
                // As a server does: the request is read before it is answered.
                let _ = request.body_mut().store_all_limited(usize::MAX).await;
                Ok(refusal(status, code, is_head))
            }
            Some(Fault::ErrorIn200) => Ok(refusal(200, "InternalError", is_head)),
            Some(Fault::LostAnswer) => {
                let _ = self.done(operation, request).await;
                Err(Broken)
            }
            Some(Fault::Cut(after)) => self.broken_body(request, after, End::Cut).await,
            Some(Fault::Short(after)) => self.broken_body(request, after, End::Short).await,
            Some(Fault::Stall(after)) => self.broken_body(request, after, End::Stall).await,
        }
    }

    /// The answer where nothing goes wrong.
    async fn done(
        &self,
        operation: &'static str,
        mut request: s3s::HttpRequest,
    ) -> Result<s3s::HttpResponse, Broken> {
        let is_aside = cloud::operation(&request).is_some();
        if !is_aside && !place::is_call(operation) {
            return self.service.call(request).await.map_err(|_| Broken);
        }
        let body = request.body_mut().store_all_limited(usize::MAX).await.map_err(|_| Broken)?;
        let answer = if is_aside { cloud::answer } else { place::answer };
        Ok(answer(&self.bucket, operation, &body))
    }

    async fn broken_body(
        &self,
        request: s3s::HttpRequest,
        after: u64,
        end: End,
    ) -> Result<s3s::HttpResponse, Broken> {
        let response = self.service.call(request).await.map_err(|_| Broken)?;
        let (parts, mut body) = response.into_parts();
        let bytes = body.store_all_limited(usize::MAX).await.map_err(|_| Broken)?;
        let after = bytes.len().min(after as usize);
        let body = BrokenBody { bytes: Some(bytes.slice(..after)), pauses: 8, end };
        Ok(http::Response::from_parts(parts, s3s::Body::http_body(body)))
    }
}

pub(super) fn refusal(status: u16, code: &str, is_head: bool) -> s3s::HttpResponse {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{SECRET}</Message></Error>"
    );
    let body = if is_head { s3s::Body::empty() } else { s3s::Body::from(text) };
    http::Response::builder()
        .status(status)
        .header("content-type", "application/xml")
        .body(body)
        .unwrap()
}

/// How a body that is not whole ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Cut,
    Short,
    Stall,
}

struct BrokenBody {
    bytes: Option<Bytes>,
    /// Times to look away before the end, so that what was sent has left for the network.
    pauses: u8,
    end: End,
}

impl http_body::Body for BrokenBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.bytes.is_none() && self.pauses > 0 {
            self.pauses -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match (self.bytes.take(), self.end) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, End::Short) => Poll::Ready(None),
            (None, End::Cut) => Poll::Ready(Some(Err(io::Error::other(Broken)))),
            (None, End::Stall) => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The S3 operation that a request is.
fn operation(request: &s3s::HttpRequest) -> &'static str {
    if let Some(operation) = cloud::operation(request) {
        return operation;
    }
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| {
        query.split('&').any(|pair| pair.split('=').next().is_some_and(|key| key == name))
    };
    let path = request.uri().path().trim_start_matches('/');
    let is_object = if request.uri().host().is_some_and(names_the_bucket) {
        !path.is_empty()
    } else {
        path.split_once('/').is_some_and(|(_, key)| !key.is_empty())
    };
    match (request.method().as_str(), is_object) {
        ("GET", false) if has("uploads") => "ListMultipartUploads",
        (method, false) if place::operation(method, has).is_some() => {
            place::operation(method, has).unwrap()
        }
        ("GET", false) => "ListObjectsV2",
        ("POST", false) if has("delete") => "DeleteObjects",
        ("GET", true) => "GetObject",
        ("HEAD", true) => "HeadObject",
        ("PUT", true) if has("partNumber") => "UploadPart",
        ("PUT", true) => "PutObject",
        ("POST", true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true) => "CompleteMultipartUpload",
        ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) => "DeleteObject",
        _ => "other",
    }
}

/// The bucket as the SDK's transport.
#[derive(Clone, Debug)]
pub struct Client(Door);

impl HttpClient for Client {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Client {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let door = self.0.clone();
        HttpConnectorFuture::new(async move {
            let refused = |error: Broken| ConnectorError::io(error.into());
            let request = request.try_into_http1x().map_err(|_| refused(Broken))?;
            let mut request = request.map(s3s::Body::http_body);
            if let Some(host) = request.uri().authority().map(ToString::to_string) {
                request.headers_mut().entry("host").or_insert(host.parse().unwrap());
            }
            let response = door.call(request).await.map_err(refused)?;
            response.map(SdkBody::from_body_1_x).try_into().map_err(|_| refused(Broken))
        })
    }
}

/// The bucket behind an address on loopback, until this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    /// For `bucket_endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Bucket {
    /// The bucket as the SDK's transport, without a socket.
    pub fn client(&self) -> Client {
        Client(Door::new(self))
    }

    /// The bucket over HTTP on a free port. Access key and secret are [`CREDENTIALS`](super::CREDENTIALS).
    pub async fn serve(&self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(self);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let door = door.clone();
                stream.set_nodelay(true).unwrap();
                connections.spawn(async move {
                    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                        let door = door.clone();
                        async move { door.call(request.map(s3s::Body::from)).await }
                    });
                    // A client that goes away is none of the bucket's business.
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Server { address, _tasks: tasks }
    }
}
