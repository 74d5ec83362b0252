//! What the service reads. The defaults are in `defaults.yml`.

use super::{
    Kind::{
        Account, Address, Bucket, Choice, Domain, Flag, Hosts, Interval, KeyPrefix, Name,
        OptionalSize, Path, PathOrPem, Peers, Period, Port, Proxy, Quoted, Service as ServiceUrl,
        Size, Socket, TagRules, Text, Upstream, Wait,
    },
    Reader::{Role, Service},
    Variable,
};

const fn variable(name: &'static str, kind: super::Kind, about: &'static str) -> Variable {
    Variable::new(name, kind, about)
}

pub(super) const VARIABLES: &[Variable] = &[
    variable(
        "docker_image",
        Name,
        "The stock registry image, for the way back to it.",
    )
    .read_by(&[Service, Role]),
    variable(
        "shared_secret",
        Quoted,
        "The same on all nodes; the keys between nodes are derived from it. Empty: the nodes do not \
         share their work.",
    )
    .secret(),
    variable(
        "shared_secret_previous",
        Quoted,
        "The shared secret before the last change, accepted while the nodes change over.",
    )
    .secret(),
    variable(
        "docker_hub_username",
        Quoted,
        "The Docker Hub account to pull with. Set it and the password, or neither.",
    ),
    variable(
        "docker_hub_password",
        Quoted,
        "The password or access token of that account.",
    )
    .secret(),
    variable(
        "bucket_name",
        Bucket,
        "The S3 bucket that all nodes keep images in.",
    )
    .restart(),
    variable("bucket_location", Text, "The region of the bucket.").restart(),
    variable(
        "bucket_encrypt",
        Flag,
        "Refuse to write to a bucket that does not encrypt.",
    )
    .restart(),
    variable(
        "bucket_encryption_key",
        Text,
        "The KMS key to encrypt with: its id, ARN, alias name or alias ARN. Empty: what the bucket \
         itself is set to.",
    )
    .restart(),
    variable(
        "bucket_create",
        Flag,
        "Create and configure the bucket when it is missing. One that is there is never \
         reconfigured.",
    )
    .restart(),
    variable(
        "bucket_owner",
        Account,
        "The account that must own the bucket. Empty: our own, at AWS.",
    )
    .restart(),
    variable(
        "bucket_endpoint",
        ServiceUrl,
        "The address of an S3-compatible store other than AWS.",
    )
    .restart(),
    variable(
        "bucket_prefix",
        KeyPrefix,
        "Everything lies below this prefix of the bucket (`rootdirectory` of `registry:2`). Empty: at \
         its root. A bucket that holds other images needs one, or another bucket.",
    )
    .restart(),
    variable(
        "store",
        Choice(&["s3", "filesystem"]),
        "Where images are kept: in the bucket, or below `data_path` on this node alone.",
    )
    .restart(),
    variable(
        "data_path",
        Path,
        "The directory of the filesystem store, of bodies in flight, of the disk copies and of the \
         generated certificate. A relative path starts in the directory of the file that sets it.",
    )
    .restart(),
    variable(
        "spool_size",
        Size,
        "Disk for bodies in flight. A blob that finds no room is passed through uncached.",
    ),
    variable(
        "local_cache_size",
        Size,
        "Disk for copies in front of the bucket. `0`: none.",
    ),
    variable(
        "blob_redirect",
        Flag,
        "Answer requests for cached blobs with a presigned address of the bucket.",
    ),
    variable("tag_ttl", Period, "For how long a tag is believed before the Hub is asked again."),
    variable(
        "tag_max_stale",
        Period,
        "For how long the last known tag is served when the Hub does not answer.",
    ),
    variable(
        "not_found_ttl",
        Period,
        "For how long it is believed that something does not exist.",
    ),
    variable(
        "tag_rules",
        TagRules,
        "Exceptions from `tag_ttl`, such as `{match: \"acme/*:latest\", ttl: 0s}`. The first that \
         matches wins.",
    ),
    variable("expire_after", Interval, "What nobody used for this long is removed."),
    variable(
        "max_size",
        OptionalSize,
        "Beyond this the least recently used is removed. Empty: no limit.",
    ),
    variable("cleanup_interval", Interval, "How often the cache is cleaned up."),
    variable(
        "sweeper",
        Text,
        "The name of the one host that cleans up, for a store whose conditional writes cannot be \
         trusted (the log says so); any other store finds one by itself.",
    ),
    variable("listen_address", Address, "The address to serve clients on.").restart(),
    variable("listen_port", Port, "The port to serve clients on.").restart(),
    variable(
        "admin_address",
        Socket,
        "The address and port of health, metrics, status page and admin API.",
    )
    .restart(),
    variable(
        "drain_delay",
        Wait,
        "After SIGTERM: for how long `/livez` says 503 while requests are still accepted, so that \
         the load balancer turns away.",
    ),
    variable(
        "drain_timeout",
        Wait,
        "After that: how long transfers in progress may take to finish.",
    ),
    variable(
        "tls",
        Choice(&["generated", "files", "off"]),
        "How clients are served: with a certificate made at the first start, with the one named \
         below, or in the clear.",
    ),
    variable(
        "tls_certificate",
        PathOrPem,
        "The certificate chain for `tls: files`: a path, or the PEM text itself. Read again when it \
         changes.",
    ),
    variable("tls_private_key", PathOrPem, "The key that belongs to it, likewise.").secret(),
    variable("domain", Domain, "The name that clients reach the mirror by."),
    variable(
        "url",
        ServiceUrl,
        "What clients are told. Every snippet and CI variable comes from this one value.",
    ),
    variable("upstream_url", Upstream, "The registry that is mirrored."),
    variable(
        "upstream_ca",
        PathOrPem,
        "Certificates to trust upstream, as a path or PEM text. Empty: the system's.",
    ),
    variable("upstream_proxy", Proxy, "The proxy to reach the upstream through.").secret(),
    variable(
        "upstream_redirect_hosts",
        Hosts,
        "Hosts that the upstream may redirect to although their address is not a public one.",
    ),
    variable(
        "private_repositories",
        Choice(&["deny", "allow"]),
        "Whether repositories are served that only our own account may pull.",
    ),
    variable("group", Name, "The inventory group of the mirror's nodes."),
    variable(
        "peers",
        Peers,
        "The other nodes as `host:port`. It replaces what the nodes find out by themselves.",
    ),
    variable(
        "log_level",
        Choice(&["error", "warn", "info", "debug", "trace"]),
        "The least severe message that is logged.",
    ),
    variable("log_format", Choice(&["text", "json"]), "How log lines look."),
];
