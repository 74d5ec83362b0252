//! What the tests stand on: the fake Hub, the fake S3, the wire that cuts, the conformance suites.

pub mod bucket;
pub mod conformance;
pub mod hub;
pub mod run;
pub mod scripted;
