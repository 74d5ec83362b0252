//! `render --format distribution`: the configuration for the way back.

use crate::support::run::Bench;

#[test]
fn it_is_what_registry_2_is_told_and_says_what_comes_first() {
    let bench = Bench::new();
    bench.write(
        "mirror.yml",
        "all:\n  vars:\n    registry_mirror_bucket_name: our-bucket\n    \
         registry_mirror_bucket_location: eu-west-1\n    \
         registry_mirror_bucket_encryption_key: alias/ours\n    prefix: ours\n    \
         registry_mirror_docker_hub_username: robot\n    \
         registry_mirror_docker_hub_password: s3cret-passw0rd\n    \
         registry_mirror_docker_image: registry:2.8.3\n    registry_mirror_tls: \"off\"\n",
    );
    let ran = bench.run(["render", "-i", "mirror.yml", "--format", "distribution"]).ended(0);
    let ran = ran.hides(&["s3cret-passw0rd"]).prints(&[
        "# For `registry:2.8.3`. First run `registry-mirror cache links`",
        "REGISTRY_PROXY_PASSWORD",
        "bucket: our-bucket\n",
        "region: eu-west-1\n",
        "encrypt: true\n",
        "keyid: alias/ours\n",
        "remoteurl: https://registry-1.docker.io\n",
        "username: robot\n",
        "addr: 0.0.0.0:5000\n",
    ]);
    assert!(!ran.stdout.contains("regionendpoint"), "{}", ran.stdout);
}

#[test]
fn what_registry_2_does_not_know_is_put_so_that_it_does_or_said() {
    let bench = Bench::new();
    let base = "all:\n  vars:\n    registry_mirror_bucket_name: our-bucket\n    \
                registry_mirror_bucket_location: eu-west-1\n    prefix: ours\n    \
                registry_mirror_tls: \"off\"\n";
    let rendered = |more: &str| {
        bench.write("mirror.yml", format!("{base}{more}"));
        bench.run(["render", "-i", "mirror.yml", "--format", "distribution"]).ended(0)
    };
    let plain = rendered("").prints(&["level: info\n", "encrypt: false\n"]);
    plain.hides(&["SSL_CERT_FILE", "HTTPS_PROXY", "keyid", "rootdirectory"]);
    for prefix in ["mirrors/docker-hub", "/mirrors/docker-hub/"] {
        rendered(&format!("    registry_mirror_bucket_prefix: {prefix}\n"))
            .prints(&["rootdirectory: /mirrors/docker-hub\n"]);
    }
    rendered(
        "    registry_mirror_log_level: trace\n    registry_mirror_listen_address: \"::\"\n    \
         registry_mirror_upstream_ca: /etc/ours.pem\n    \
         registry_mirror_upstream_proxy: http://robot:pr0xy-s3cret@proxy.ours:3128\n",
    )
    .prints(&["level: debug\n", "addr: '[::]:5000'\n", "SSL_CERT_FILE", "HTTPS_PROXY"])
    .hides(&["pr0xy-s3cret"]);
}

#[test]
fn a_directory_has_no_way_back() {
    let bench = Bench::new();
    bench.write("mirror.yml", "all:\n  vars:\n    registry_mirror_store: filesystem\n");
    let ran = bench.run(["render", "-i", "mirror.yml", "--format", "distribution"]).ended(1);
    ran.says(&["only a bucket can be handed back", "hint:"]);
}
