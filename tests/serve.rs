//! The whole program through its port, as a client sees it.

mod admin;
mod bad_input;
mod cache;
mod cleanup;
mod client;
mod content;
mod drain;
mod hub;
mod killed;
mod limits;
mod manager;
mod node;
mod program;
mod refusals;
pub(crate) mod reload;
mod start;
mod tls;
