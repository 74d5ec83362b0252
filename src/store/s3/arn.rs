//! Names of AWS.

/// The bucket's ARN. The region decides which of AWS's clouds it lies in.
pub(super) fn of_bucket(name: &str, region: Option<&str>) -> String {
    format!("arn:{}:s3:::{name}", partition(region))
}

/// The first part of an ARN's name for the clouds of AWS (IAM user guide, "Amazon Resource Names").
fn partition(region: Option<&str>) -> &'static str {
    match region {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Whether an address is one of AWS's own: of an interface endpoint, say.
pub(super) fn is_of_aws(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|domain| host.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_its_own_names() {
        assert_eq!(of_bucket("b", Some("eu-central-1")), "arn:aws:s3:::b");
        assert_eq!(of_bucket("b", Some("cn-north-1")), "arn:aws-cn:s3:::b");
        assert_eq!(of_bucket("b", Some("us-gov-west-1")), "arn:aws-us-gov:s3:::b");
        assert_eq!(of_bucket("b", None), "arn:aws:s3:::b");
    }

    #[test]
    fn an_interface_endpoint_is_aws() {
        assert!(is_of_aws("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com"));
        assert!(is_of_aws("https://s3.cn-north-1.amazonaws.com.cn:443/"));
        for other in [
            "http://127.0.0.1:9000",
            "https://s3.example/x.amazonaws.com",
            "amazonaws.com.evil.example",
        ] {
            assert!(!is_of_aws(other), "{other}");
        }
    }
}
