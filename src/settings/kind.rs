//! The kinds of value a variable may have.

/// What a variable may be set to. What each kind looks like as JSON Schema is in `schema`, what it
/// is called in a message in [`Kind::expected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is not empty.
    Name,
    /// Text that must have been written as text: a secret or a name that is compared as it stands.
    /// YAML reads `0123` as 83 and `1e5` as text, so that anything else is a trap.
    Quoted,
    /// True or false.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A TCP port.
    Port,
    /// A number that is not negative.
    Count,
    /// A number of bytes.
    Size,
    /// A number of bytes, or empty.
    OptionalSize,
    /// A length of time, which may be zero.
    Period,
    /// How often something is done again: a length of time of a second or more.
    Interval,
    /// For how long the end of the program may be held up: a length of time of at most a day.
    Wait,
    /// A path of the file system. A relative one starts in the directory of the file that sets it.
    Path,
    /// A path, or the PEM text itself, or empty.
    PathOrPem,
    /// An IP address to listen on.
    Address,
    /// An IP address and a port to listen on.
    Socket,
    /// The address of a registry, `http` or `https`, without account and without `/v2`.
    Upstream,
    /// An `http` or `https` address without account, or empty.
    Service,
    /// The address of a proxy, which may hold a password, or empty.
    Proxy,
    /// A name of the DNS, or empty.
    Domain,
    /// The name of a bucket. Empty: none.
    Bucket,
    /// Beginning of the keys of a bucket: components of letters, digits and a few signs, with slashes
    /// between them. Empty: none.
    KeyPrefix,
    /// The number of an AWS account, twelve digits, or empty.
    Account,
    /// A list of host names; `*.` in front matches every name below.
    Hosts,
    /// A list of `host:port`.
    Peers,
    /// A list of texts.
    Texts,
    /// A list of [`super::TagRule`].
    TagRules,
}

impl Kind {
    /// What is expected, as the end of a sentence that starts with "expected".
    pub fn expected(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Name => "text that is not empty".into(),
            Self::Quoted => "text in quotes".into(),
            Self::Flag => "`true` or `false`".into(),
            Self::Choice(words) => one_of(words),
            Self::Port => "a port, a whole number from 1 to 65535".into(),
            Self::Count => "a whole number".into(),
            Self::Size => "a size, such as `10GiB`, `500MB` or a number of bytes".into(),
            Self::OptionalSize => "a size, such as `500GiB`, or `\"\"` for no limit".into(),
            Self::Period => "a period, such as `30s`, `5m`, `1h30m` or `7d`".into(),
            Self::Interval => "a period of at least a second, such as `30s`, `5m` or `7d`".into(),
            Self::Wait => "a period of at most a day, such as `30s`, `5m` or `1h30m`".into(),
            Self::Path => "a path".into(),
            Self::PathOrPem => "a path or PEM text".into(),
            Self::Address => "an IP address, such as `0.0.0.0` or `::1`".into(),
            Self::Socket => "an IP address and a port, such as `127.0.0.1:5002`".into(),
            Self::Upstream => {
                "the address of a registry, such as `https://registry-1.docker.io`".into()
            }
            Self::Service => "an address that starts with `https://` or `http://`".into(),
            Self::Proxy => "the address of a proxy, such as `http://10.0.0.1:3128`".into(),
            Self::Domain => "a host name, such as `registry-mirror.example.com`".into(),
            Self::Bucket => "a bucket name: 3 to 63 of `a-z`, `0-9`, `-` and `.`".into(),
            Self::KeyPrefix => {
                "a prefix of keys, such as `mirrors/docker-hub`: letters, digits and \
                                `!_.*'()-`, with single slashes between"
                    .into()
            }
            Self::Account => "the twelve digits of an AWS account, in quotes".into(),
            Self::Hosts => "a list of host names, each without scheme and port".into(),
            Self::Peers => "a list of `host:port`".into(),
            Self::Texts => "a list of texts".into(),
            Self::TagRules => "a list of `{match: \"repository:tag\", ttl: 5m}`".into(),
        }
    }

    /// The name of the kind in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Name | Self::Quoted | Self::Account => "text",
            Self::Flag => "boolean",
            Self::Choice(_) => "choice",
            Self::Port => "port",
            Self::Count => "number",
            Self::Size | Self::OptionalSize => "size",
            Self::Period | Self::Interval | Self::Wait => "period",
            Self::Path => "path",
            Self::PathOrPem => "path or PEM",
            Self::Address => "IP address",
            Self::Socket => "IP address and port",
            Self::Upstream | Self::Service | Self::Proxy => "URL",
            Self::Domain => "host name",
            Self::Bucket => "bucket name",
            Self::KeyPrefix => "prefix",
            Self::Hosts | Self::Peers | Self::Texts | Self::TagRules => "list",
        }
    }
}

/// Joins words as `a`, `b` or `c`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
