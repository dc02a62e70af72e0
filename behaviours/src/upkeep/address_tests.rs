use super::*;

fn addr(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn lan() -> AddressRules {
    AddressRules::with_interfaces(|| vec!["127.0.0.1".parse().expect("ip"), "192.168.7.9".parse().expect("ip")])
}

#[test]
fn refuses_what_is_not_a_peer() {
    let rules = lan();
    for (bad, why) in [
        ("/ip4/127.0.0.1/tcp/22", "Loopback"),
        ("/ip4/127.9.9.9/udp/1/quic-v1", "Loopback"),
        ("/ip6/::1/tcp/22", "Loopback"),
        ("/ip6/::ffff:127.0.0.1/tcp/22", "Loopback"),
        ("/ip6/64:ff9b::7f00:1/tcp/22", "Loopback"),
        ("/ip6/2002:7f00:1::/tcp/22", "Loopback"),
        ("/ip4/0.0.0.0/tcp/22", "Unspecified"),
        ("/ip6/::/tcp/22", "Unspecified"),
        ("/ip4/169.254.1.1/tcp/1", "LinkLocal"),
        ("/ip6/fe80::1/tcp/1", "LinkLocal"),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1", "LinkLocal"),
        ("/ip4/169.254.169.254/tcp/80", "Metadata"),
        ("/ip6/::ffff:169.254.169.254/tcp/80", "Metadata"),
        ("/ip6/fd00:ec2::254/tcp/80", "Metadata"),
        ("/ip4/100.100.100.200/tcp/80", "Metadata"),
        ("/ip4/224.0.0.251/udp/5353", "Multicast"),
        ("/ip4/255.255.255.255/udp/1", "Multicast"),
        ("/ip6/ff02::fb/udp/5353", "Multicast"),
        ("/ip4/192.0.2.1/tcp/1", "Elsewhere"),
        ("/ip4/203.0.113.7/tcp/1", "Elsewhere"),
        ("/ip6/2001:db8::1/tcp/1", "Elsewhere"),
        ("/ip4/240.0.0.1/tcp/1", "Reserved"),
        ("/ip4/0.1.2.3/tcp/1", "Reserved"),
        ("/ip6/100::1/tcp/1", "Reserved"),
        ("/ip4/10.1.2.3/tcp/1", "Elsewhere"),
        ("/ip4/172.16.0.1/tcp/1", "Elsewhere"),
        ("/ip4/100.64.0.1/tcp/1", "Elsewhere"),
        ("/ip6/fd12::1/tcp/1", "Elsewhere"),
        ("/dns/evil.example.com/tcp/1", "Name"),
        ("/dns4/localhost/tcp/1", "Name"),
        ("/ip4/8.8.8.8/tcp/80/x-parity-ws/admin%2Fdelete", "Path"),
        ("/p2p-circuit", "NoHost"),
        ("/unix/run%2Fx.sock", "NoHost"),
        // A transport may take the last address, a check the first.
        ("/ip4/8.8.8.8/tcp/1/ip4/127.0.0.1/tcp/22", "Loopback"),
        ("/ip4/127.0.0.1/tcp/1/p2p-circuit", "Loopback"),
    ] {
        let refusal = rules.allows(&addr(bad)).expect_err(bad);
        assert!(format!("{refusal:?}").starts_with(why), "{bad}: {refusal:?}, not {why}");
    }
}

#[test]
fn allows_peers() {
    let rules = lan();
    for good in [
        "/ip4/8.8.8.8/tcp/1",
        "/ip4/192.168.99.1/udp/1/quic-v1",
        "/ip6/2a00:1450::1/tcp/1",
        "/ip4/172.32.0.1/tcp/1",
        "/memory/7",
        "/ip4/8.8.8.8/tcp/1/p2p-circuit",
    ] {
        assert_eq!(rules.allows(&addr(good)), Ok(()), "{good}");
    }
}

#[test]
fn a_laboratory_may_use_documentation_addresses() {
    let rules = AddressRules::with_interfaces(|| vec!["192.0.2.2".parse().expect("ip")]);
    assert_eq!(rules.allows(&addr("/ip4/192.0.2.9/tcp/1")), Ok(()));
    assert!(rules.allows(&addr("/ip4/203.0.113.9/tcp/1")).is_err(), "only its own");
}

#[test]
fn trust_is_for_one_host_and_port() {
    let rules = lan();
    rules.trust(&addr("/ip4/127.0.0.1/tcp/9999"));
    assert_eq!(rules.allows(&addr("/ip4/127.0.0.1/tcp/9999")), Ok(()));
    assert!(rules.allows(&addr("/ip4/127.0.0.1/tcp/22")).is_err());
    assert!(rules.allows(&addr("/ip4/127.0.0.2/tcp/9999")).is_err());
}

#[test]
fn a_trusted_name_may_resolve_to_this_host_for_a_moment() {
    let rules = lan();
    let (name, target) = (addr("/dns4/LocalHost/tcp/9999"), addr("/ip4/127.0.0.1/tcp/9999"));
    rules.trust(&addr("/dns4/localhost/tcp/9999"));
    assert!(rules.allows_dial(&target).is_err(), "nobody has asked for the name");
    assert_eq!(rules.allows_dial(&name), Ok(()));
    assert!(rules.allows_dial(&addr("/ip4/127.0.0.1/tcp/22")).is_err(), "another port");
    assert!(rules.allows_dial(&addr("/ip4/169.254.169.254/tcp/9999")).is_err(), "never the metadata");
    assert_eq!(rules.allows_dial(&target), Ok(()));
    assert!(rules.allows(&target).is_err(), "it is not in the book by that");
    let times = (0..100).filter(|_| rules.allows_dial(&target).is_ok()).count();
    assert!(times < 20, "used up: {times}");
}

#[test]
fn loopback_can_be_an_ordinary_network() {
    let rules = lan();
    rules.allow_loopback(true);
    assert_eq!(rules.allows(&addr("/ip4/127.0.0.1/tcp/1")), Ok(()));
    assert!(rules.allows(&addr("/ip4/10.0.0.1/tcp/1")).is_err());
}

#[test]
fn trust_is_bounded() {
    let rules = lan();
    for port in 1..5_000 {
        rules.trust(&addr(&format!("/ip4/127.0.0.1/tcp/{port}")));
    }
    assert_eq!(rules.lock().trusted.len(), MAX_TRUSTED);
    assert!(rules.allows(&addr("/ip4/127.0.0.1/tcp/4999")).is_ok());
}

#[test]
fn private_is_near() {
    for near in ["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip6/fd00::1/tcp/1", "/ip6/fe80::1/tcp/1", "/memory/1"]
    {
        assert!(is_private(&addr(near)), "{near}");
    }
    for far in [
        "/ip4/8.8.8.8/tcp/1",
        "/ip4/100.64.0.1/tcp/1",
        "/dns/localhost/tcp/1",
        "/ip4/127.0.0.1/tcp/1/p2p-circuit",
        "/ip6/2a00::1/tcp/1",
    ] {
        assert!(!is_private(&addr(far)), "{far}");
    }
}
