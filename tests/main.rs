//! Whole-program tests, one binary.

#![allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::disallowed_methods)]

mod support;

mod client_config;
mod distribution;
mod docs;
mod explain;
mod house;
mod hub;
mod inventory;
mod inventory_command;
mod inventory_fuzz;
mod mirror;
mod secrets;
mod serve;
mod settings;
mod store_fs;
mod store_s3;
mod validate;
mod vault;
