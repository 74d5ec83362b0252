use super::*;

#[test]
fn the_hint_names_what_a_client_can_reach() {
    let mut settings = Settings { url: None, ..Settings::default() };
    let any: SocketAddr = "0.0.0.0:5000".parse().unwrap();
    let one: SocketAddr = "10.0.0.5:5000".parse().unwrap();
    assert_eq!(host_for_clients(&settings, one), "10.0.0.5:5000");
    assert_eq!(host_for_clients(&settings, any), "127.0.0.1:5000");
    settings.url = Some("https://mirror.example/".into());
    assert_eq!(host_for_clients(&settings, any), "mirror.example");
    assert_eq!(host_for_clients(&settings, one), "10.0.0.5:5000");
}

#[test]
fn a_certificate_is_for_every_name_once() {
    let settings = Settings {
        listen_address: "127.0.0.1".parse().unwrap(),
        domain: Some("mirror.example".into()),
        ..Settings::default()
    };
    let names = names(&settings);
    for name in ["localhost", "127.0.0.1", "::1", "mirror.example"] {
        assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name} in {names:?}");
    }
    for odd in ["", "a_b", "höst", "a b", "a\nb"] {
        assert!(!is_name(odd), "{odd}");
    }
}

#[test]
fn an_address_that_cannot_be_had_is_one_clear_line() {
    let address: SocketAddr = "127.0.0.1:5000".parse().unwrap();
    let failure = |kind: io::ErrorKind| {
        not_listening(&StartError::Listen { address, source: kind.into() }, "listen_port")
    };
    let in_use = failure(io::ErrorKind::AddrInUse);
    assert_eq!(in_use.message, "cannot listen on 127.0.0.1:5000: the address is in use");
    assert!(in_use.hint.unwrap().contains("registry_mirror_listen_port"));
    assert!(failure(io::ErrorKind::PermissionDenied).hint.unwrap().contains("1024"));
}
