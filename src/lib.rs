//! A pull-through mirror of Docker Hub for a cluster. The rooms, from the edge inwards; data flows
//! downwards: files → `inventory` → `settings` → `server` → `mirror` → `store` / `upstream`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "clippy.toml is about what runs"))]

pub mod cli;
pub mod clock;
pub mod command;
pub mod diagnostic;
pub mod inventory;
pub mod mirror;
pub mod oci;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod upstream;
