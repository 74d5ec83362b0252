use super::*;

#[test]
fn private_and_special_addresses_are_not_global() {
    for text in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!is_global(text.parse().unwrap()), "{text} was taken for global");
    }
}

#[test]
fn public_addresses_are_global() {
    for text in [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2600:1f18::1",
        "2a00:1450::1",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2002:101:101::1",
    ] {
        assert!(is_global(text.parse().unwrap()), "{text} was refused");
    }
}

#[test]
fn hosts_are_trusted_by_name_or_below_a_domain() {
    let mut trusted = Trusted::default();
    trusted.add("Blobs.Example.com");
    trusted.add("*.cdn.example");
    for good in ["blobs.example.com", "BLOBS.example.COM.", "a.cdn.example", "a.b.cdn.example"] {
        assert!(trusted.contains(good), "{good}");
    }
    for bad in ["example.com", "cdn.example", "evilcdn.example", "blobs.example.com.evil"] {
        assert!(!trusted.contains(bad), "{bad}");
    }
}

#[tokio::test]
async fn a_foreign_name_on_this_machine_is_refused_and_a_trusted_one_is_not() {
    let mut trusted = Trusted::default();
    let strict = GuardedResolver { trusted: Arc::new(Trusted::default()) };
    let Err(refused) = strict.resolve("localhost".parse().unwrap()).await else {
        panic!("localhost was resolved for a foreign host");
    };
    assert!(refused.is::<NotRoutable>(), "{refused}");
    trusted.add("localhost");
    let resolver = GuardedResolver { trusted: Arc::new(trusted) };
    assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok());
}
