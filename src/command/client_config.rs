//! `client-config`: what a client must be told, made from the one address that clients know.

use std::process::ExitCode;

use url::Url;

use crate::cli::Client;

use super::{Loaded, NO_VERDICT, REFUSED, stdout};

/// Prints the configuration of `client` on stdout and where it goes on stderr.
pub(super) fn run(loaded: &Loaded<String>, client: Client) -> ExitCode {
    loaded.print_report();
    let Some(address) = &loaded.settings else { return loaded.refusal() };
    let Some(mirror) = Mirror::at(address) else {
        eprintln!("error: `registry_mirror_url` has a path, which most clients cannot be given");
        eprintln!("hint: set it to a scheme, a host and a port, such as `https://host:5000`");
        return ExitCode::from(REFUSED);
    };
    eprintln!("hint: {}", place(client));
    match stdout::write(&mirror.configuration(client)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::from(NO_VERDICT),
    }
}

/// Where a client looks for it, and what makes it look again.
fn place(client: Client) -> &'static str {
    match client {
        Client::Docker => {
            "this is /etc/docker/daemon.json, or a part of it; then `systemctl reload docker`"
        }
        Client::Dind => {
            "this goes into .gitlab-ci.yml; take the version of docker that your jobs use"
        }
        Client::Containerd => {
            "this is /etc/containerd/certs.d/docker.io/hosts.toml; containerd's config_path must be /etc/containerd/certs.d"
        }
        Client::Buildkit => {
            "this is /etc/buildkit/buildkitd.toml, or what `docker buildx create --buildkitd-config` takes"
        }
        Client::Podman => {
            "this is /etc/containers/registries.conf.d/50-registry-mirror.conf; buildah, skopeo and cri-o read it, too"
        }
        Client::Kaniko => {
            "kaniko reads the first from its environment; write the second unquoted after `executor`"
        }
        Client::GitlabRunner => {
            "this is a part of /etc/gitlab-runner/config.toml; the runner reads it again by itself"
        }
        Client::Dotenv => "these are variables for every job",
    }
}

/// The mirror as clients see it.
struct Mirror {
    /// With its scheme: `https://host:5000`.
    address: String,
    /// Without: `host:5000`.
    authority: String,
    encrypts: bool,
}

impl Mirror {
    /// None with a path, which kaniko and containerd would take for something else.
    fn at(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok().filter(|url| url.path() == "/")?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let authority = format!("{}{port}", url.host_str()?);
        let address = format!("{}://{authority}", url.scheme());
        Some(Self { address, authority, encrypts: url.scheme() == "https" })
    }

    fn configuration(&self, client: Client) -> String {
        match client {
            Client::Docker => self.docker(),
            Client::Dind => self.dind(),
            Client::Containerd => self.containerd(),
            Client::Buildkit => self.buildkit(),
            Client::Podman => self.podman(),
            Client::Kaniko => self.kaniko(),
            Client::GitlabRunner => self.gitlab_runner(),
            Client::Dotenv => self.variables().join("\n") + "\n",
        }
    }

    /// moby's daemon.json; a mirror needs its scheme there.
    fn docker(&self) -> String {
        let mut daemon = serde_json::json!({ "registry-mirrors": [self.address] });
        if !self.encrypts {
            daemon["insecure-registries"] = serde_json::json!([self.authority]);
        }
        format!("{daemon:#}\n")
    }

    fn dind(&self) -> String {
        let insecure = format!(", \"--insecure-registry\", \"{}\"", self.authority);
        let insecure = if self.encrypts { "" } else { &insecure };
        format!(
            "services:\n  - name: docker:28-dind\n    command: [\"--registry-mirror\", \"{}\"{insecure}]\n",
            self.address
        )
    }

    /// Without `resolve` containerd would ask the Hub what a tag means.
    fn containerd(&self) -> String {
        format!(
            "server = \"https://registry-1.docker.io\"\n\n[host.\"{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  dial_timeout = \"2s\"\n",
            self.address
        )
    }

    /// Scheme and mirror are apart in buildkit: it takes `http` from the registry's own section.
    fn buildkit(&self) -> String {
        let authority = &self.authority;
        let plain = format!("\n[registry.\"{authority}\"]\n  http = true\n");
        let plain = if self.encrypts { "" } else { &plain };
        format!("[registry.\"docker.io\"]\n  mirrors = [\"{authority}\"]\n{plain}")
    }

    /// containers/image refuses the whole file if an address has a scheme.
    fn podman(&self) -> String {
        let insecure = if self.encrypts { "" } else { "insecure = true\n" };
        format!(
            "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\n[[registry.mirror]]\nlocation = \"{}\"\n{insecure}",
            self.authority
        )
    }

    fn kaniko(&self) -> String {
        let [_, mirror, arguments] = self.variables();
        format!("{mirror}\n{arguments}\n")
    }

    fn gitlab_runner(&self) -> String {
        let environment: String =
            self.variables().iter().map(|variable| format!("    \"{variable}\",\n")).collect();
        let insecure = format!(", \"--insecure-registry\", \"{}\"", self.authority);
        let insecure = if self.encrypts { "" } else { &insecure };
        format!(
            "[[runners]]\n  environment = [\n{environment}  ]\n  [runners.docker]\n    [[runners.docker.services]]\n      name = \"docker:28-dind\"\n      alias = \"docker\"\n      command = [\"--registry-mirror\", \"{}\"{insecure}]\n",
            self.address
        )
    }

    /// What jobs may use. kaniko breaks on an address with a scheme: up to 1.21 the build fails,
    /// from 1.22 on it silently goes to Docker Hub.
    fn variables(&self) -> [String; 3] {
        let Self { address, authority, .. } = self;
        let insecure = format!(" --insecure-registry {authority}");
        let insecure = if self.encrypts { "" } else { &insecure };
        [
            format!("DOCKER_REGISTRY_MIRROR={address}"),
            format!("KANIKO_REGISTRY_MIRROR={authority}"),
            format!("KANIKO_MIRROR_ARGS=--registry-mirror {authority}{insecure}"),
        ]
    }
}
