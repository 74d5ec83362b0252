//! The house test, tested: snippets that break a rule are caught, and their lawful twins are not.

use super::check;

/// The rules that a snippet breaks, in the order of their lines.
fn broken(file: &str, source: &str) -> Vec<&'static str> {
    check(file, source).into_iter().map(|violation| violation.rule).collect()
}

#[track_caller]
fn refused(rule: &str, file: &str, source: &str) {
    assert!(broken(file, source).contains(&rule), "src/{file} was let through:\n{source}");
}

#[track_caller]
fn allowed(file: &str, source: &str) {
    let found = check(file, source);
    assert!(found.is_empty(), "{found:?}\n{source}");
}

#[test]
fn a_foreign_crate_outside_its_room_is_found_wherever_it_is_named() {
    for source in [
        "use reqwest::Client;",
        "use reqwest as r;",
        "use reqwest;",
        "use ::reqwest::Client;",
        "use {std::fmt, reqwest::{Client, Url}};",
        "extern crate reqwest;",
        "fn f(client: &reqwest::Client) {}",
        "fn f() -> Vec<Option<reqwest::Client>> { Vec::new() }",
        "fn f() { let c = reqwest::Client::new(); }",
        "fn f() { let c = <reqwest::Client as Default>::default(); }",
        "fn f() { drop(vec![reqwest::Client::new()]); }",
        "fn f() { tracing::info!(status = %reqwest::StatusCode::OK, \"x\"); }",
        "fn f() { drop(vec![vec![::reqwest::Client::new()]]); }",
        "macro_rules! m { () => { reqwest::Client::new() }; }",
        "impl From<reqwest::Error> for X { fn from(_: reqwest::Error) -> Self { X } }",
        "#[derive(reqwest::Odd)] struct X;",
        "fn f() { match x { reqwest::StatusCode::OK => {} _ => {} } }",
        "trait T { type C: Into<reqwest::Client>; }",
    ] {
        refused("crates", "mirror/flight.rs", source);
        allowed("upstream/hub.rs", source);
    }
}

#[test]
fn comments_strings_tests_and_local_names_do_not_count() {
    for source in [
        "// use reqwest::Client;\n/// `reqwest::Client`\nfn f() {}",
        "const X: &str = \"reqwest::Client\";",
        "#[cfg(test)] mod tests { use reqwest::Client; use crate::server::X; }",
        "#[cfg(all(test, unix))] use reqwest::Client;",
        "#[cfg(test)] fn f() { println!(\"x\"); }",
        "#[test] fn f() { reqwest::get(\"x\"); }",
        "struct X { reqwest: u8 } fn f(x: X, config: u8) -> u8 { x.reqwest + config }",
        "mod config; use self::config::Layers; fn f() { config::load(); }",
    ] {
        allowed("mirror/mod.rs", source);
    }
    refused("crates", "mirror/mod.rs", "#[cfg(not(test))] use reqwest::Client;");
    refused("crates", "mirror/mod.rs", "#[cfg(any(test, unix))] use reqwest::Client;");
}

#[test]
fn a_room_is_a_file_or_a_directory_and_no_more() {
    let aws = "use aws_sdk_s3::Client;";
    allowed("store/s3.rs", aws);
    allowed("store/s3/upload.rs", aws);
    for file in ["store/mod.rs", "store/fs.rs", "store/s3x.rs", "command/serve.rs"] {
        refused("crates", file, aws);
    }
    allowed("server/tls.rs", "use rcgen::KeyPair;");
    refused("crates", "server/mod.rs", "use rcgen::KeyPair;");
    allowed("command/render.rs", "use serde_yaml::to_string;");
    refused("crates", "command/load.rs", "use serde_yaml::from_str;");
    allowed("telemetry.rs", "use prometheus_client::registry::Registry;");
    allowed("telemetry/logs.rs", "use tracing_subscriber::fmt;");
    allowed("cli.rs", "use clap::Parser;");
    refused("crates", "command/mod.rs", "use clap::Parser;");
    allowed("inventory/vault.rs", "use aws_lc_rs::pbkdf2;");
    refused("crates", "mirror/mod.rs", "use http::StatusCode;");
    refused("room", "attic/mod.rs", "fn f() {}");
}

#[test]
fn a_room_names_only_those_below_it() {
    refused("rooms", "server/routes.rs", "use crate::store::Found;");
    refused("rooms", "server/routes.rs", "use crate::{mirror::Blob, upstream::Upstream};");
    refused("rooms", "server/routes.rs", "use super::super::store::Found;");
    refused("rooms", "server/mod.rs", "use super::store::Found;");
    refused("rooms", "server/mod.rs", "fn f(x: &crate::store::Found) {}");
    refused("rooms", "server/mod.rs", "fn f() { g!(crate::store::Found); }");
    refused("rooms", "server/mod.rs", "use crate::*;");
    refused("rooms", "server/mod.rs", "mod inner { use super::super::store::Found; }");
    refused("rooms", "oci/digest.rs", "use crate::settings::Size;");
    refused("rooms", "store/fs.rs", "use crate::mirror::Mirror;");
    refused("rooms", "main.rs", "fn main() { registry_mirror::server::start(); }");

    allowed("server/routes.rs", "use crate::mirror::Blob; use super::error::table;");
    allowed("oci/digest.rs", "use super::error::Code; use crate::oci::Name;");
    allowed("mirror/flight.rs", "use crate::{store::Store, upstream::Upstream};");
    allowed("command/serve.rs", "use crate::{server, store, upstream};");
    allowed("main.rs", "fn main() { registry_mirror::command::main(); }");
}

#[test]
fn the_environment_is_read_at_the_edge() {
    for source in ["use std::env;", "fn f() { std::env::var(\"X\"); }", "use std::{env::vars, fs};"]
    {
        refused("environment", "settings/mod.rs", source);
        allowed("command/load.rs", source);
    }
    allowed("settings/mod.rs", "const VERSION: &str = env!(\"CARGO_PKG_VERSION\");");
}

#[test]
fn foreign_crates_are_not_re_exported() {
    refused("re-exports", "upstream/mod.rs", "pub use reqwest::Client;");
    refused("re-exports", "upstream/mod.rs", "pub(crate) use {std::fmt, bytes::Bytes};");
    refused("re-exports", "server/mod.rs", "pub extern crate actix_web;");
    allowed("upstream/mod.rs", "pub use self::hub::Hub; pub use std::sync::Arc; use reqwest::Url;");
}

#[test]
fn the_terminal_belongs_to_the_commands() {
    refused("terminal", "mirror/mod.rs", "fn f() { println!(\"x\"); }");
    refused("terminal", "mirror/mod.rs", "fn f() { drop(vec![dbg!(1)]); }");
    allowed("command/serve.rs", "fn f() { println!(\"x\"); }");
}

#[test]
fn the_mirror_opens_no_socket() {
    refused("network", "mirror/mod.rs", "use tokio::net::TcpStream;");
    refused("network", "mirror/mod.rs", "use std::net::*;");
    allowed("mirror/mod.rs", "use std::net::IpAddr;");
}

#[test]
fn a_file_has_at_most_four_hundred_lines() {
    allowed("oci/mod.rs", &"\n".repeat(400));
    refused("length", "oci/mod.rs", &"\n".repeat(401));
}

#[test]
fn a_violation_says_where_what_and_where_to() {
    let found = check("mirror/tags.rs", "fn f() {}\n\nuse reqwest::Client;\n");
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["src/mirror/tags.rs:3: [crates] `reqwest` is named in `src/upstream/` only"]);
}
