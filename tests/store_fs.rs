//! store_fs
