//! What `ansible-vault` sealed.

/// What opens vault values: passwords under their ids.
#[derive(Debug, Default)]
pub struct Vault {}
