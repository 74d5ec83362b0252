//! What a reload changes: which settings differ, and which of them wait for the next start.

use super::{Settings, table};

/// Names that differ, in the order of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Without prefix: what takes effect at once.
    pub live: Vec<&'static str>,
    /// Without prefix: what keeps its old value until the next start.
    pub waiting: Vec<&'static str>,
}

/// Takes every field of both settings, so that a new one cannot be forgotten.
macro_rules! each_field {
    ($before:ident, $asked:ident, $changed:ident: $($field:ident)*) => {{
        let Settings { $($field),* } = $before;
        $(
            if *$field != $asked.$field {
                let name = stringify!($field);
                if table::settings().any(|variable| variable.name == name && variable.restart) {
                    $asked.$field = $field.clone();
                    $changed.waiting.push(name);
                } else {
                    $changed.live.push(name);
                }
            }
        )*
    }};
}

impl Settings {
    /// The settings that a service which runs with these may take from `asked`: all but what the
    /// table flags as needing a restart. The listeners and stores were made from that, so it stays
    /// as it is.
    #[must_use]
    pub fn followed_by(&self, mut asked: Self) -> (Self, Changed) {
        let mut changed = Changed::default();
        each_field!(self, asked, changed:
            docker_image shared_secret shared_secret_previous docker_hub_username
            docker_hub_password bucket_name bucket_location bucket_encrypt bucket_encryption_key
            bucket_create bucket_owner bucket_endpoint bucket_prefix store data_path spool_size local_cache_size
            blob_redirect tag_ttl tag_max_stale not_found_ttl tag_rules expire_after max_size
            cleanup_interval sweeper listen_address listen_port admin_address drain_delay drain_timeout tls
            tls_certificate tls_private_key domain url upstream_url upstream_ca upstream_proxy
            upstream_redirect_hosts private_repositories group peers log_level log_format);
        (asked, changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{LogLevel, Secret, StoreKind};

    #[test]
    fn what_needs_a_restart_keeps_its_value_and_the_rest_is_taken() {
        let before = Settings::default();
        let asked = Settings {
            listen_port: 5001,
            store: StoreKind::Filesystem,
            bucket_name: Some("other".into()),
            log_level: LogLevel::Debug,
            docker_hub_password: Secret::new("changed"),
            ..Settings::default()
        };
        let (taken, changed) = before.followed_by(asked.clone());
        assert_eq!(changed.waiting, ["bucket_name", "store", "listen_port"]);
        assert_eq!(changed.live, ["docker_hub_password", "log_level"]);
        let expected = Settings {
            log_level: asked.log_level,
            docker_hub_password: asked.docker_hub_password,
            ..before
        };
        assert_eq!(taken, expected);
    }

    #[test]
    fn exactly_the_documented_settings_need_a_restart() {
        let flagged: Vec<&str> =
            table::settings().filter(|variable| variable.restart).map(|v| v.name).collect();
        let documented = |name: &str| {
            name.starts_with("listen_")
                || name.starts_with("bucket_")
                || ["admin_address", "store", "data_path"].contains(&name)
        };
        let expected: Vec<&str> =
            table::settings().map(|v| v.name).filter(|name| documented(name)).collect();
        assert_eq!(flagged, expected);
    }
}
