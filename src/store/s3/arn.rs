//! Names of AWS.

/// The bucket's ARN. The region decides which of AWS's clouds it lies in.
pub(super) fn of_bucket(name: &str, region: Option<&str>) -> String {
    format!("arn:{}:s3:::{name}", partition(region))
}

/// The clouds of AWS: how the names of their regions begin, what an ARN calls them, and what the
/// hosts of S3 end in (the SDK's table of endpoints). Regions without a mark are of the first.
const CLOUDS: [(&str, &str, &str); 8] = [
    ("", "aws", "amazonaws.com"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
];

/// What an ARN calls the cloud that a region is of (IAM user guide, "Amazon Resource Names").
fn partition(region: Option<&str>) -> &'static str {
    let region = region.unwrap_or_default();
    // No mark but the empty one is the beginning of another.
    let cloud = CLOUDS.iter().rev().find(|(mark, ..)| region.starts_with(mark));
    cloud.map_or("aws", |(_, name, _)| name)
}

/// Whether an address is one of AWS's own: of an interface endpoint, say.
pub(super) fn is_of_aws(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    CLOUDS
        .iter()
        .any(|(.., domain)| host.strip_suffix(domain).is_some_and(|service| service.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_its_own_names() {
        for (region, cloud) in [
            ("eu-central-1", "aws"),
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("eusc-de-east-1", "aws-eusc"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-south-1", "aws-iso-f"),
        ] {
            assert_eq!(of_bucket("b", Some(region)), format!("arn:{cloud}:s3:::b"));
        }
        assert_eq!(of_bucket("b", None), "arn:aws:s3:::b");
    }

    #[test]
    fn an_interface_endpoint_is_aws() {
        assert!(is_of_aws("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com"));
        assert!(is_of_aws("https://s3.cn-north-1.amazonaws.com.cn:443/"));
        for host in [
            "s3.eusc-de-east-1.amazonaws.eu",
            "s3.us-iso-east-1.c2s.ic.gov",
            "s3.us-isob-east-1.sc2s.sgov.gov",
            "s3.eu-isoe-west-1.cloud.adc-e.uk",
            "s3.us-isof-south-1.csp.hci.ic.gov",
        ] {
            assert!(is_of_aws(&format!("https://{host}")), "{host}");
        }
        for other in [
            "http://127.0.0.1:9000",
            "https://s3.example/x.amazonaws.com",
            "amazonaws.com.evil.example",
            "https://notamazonaws.com",
        ] {
            assert!(!is_of_aws(other), "{other}");
        }
    }
}
