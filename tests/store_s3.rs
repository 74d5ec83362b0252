//! store_s3
