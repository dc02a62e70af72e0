use proptest::prelude::*;

use super::*;

fn candidate(name: &str, capability: &str, state: PeerState) -> Candidate {
    Candidate {
        id: crate::Identity::generate().peer_id(),
        name: name.into(),
        role: "worker".into(),
        swarms: vec!["garden".into()],
        capabilities: vec![capability.into()],
        rtt: None,
        state,
    }
}

#[test]
fn names_capabilities_roles_ids_and_prefixes() {
    let known = [candidate("a", "x", PeerState::Online), candidate("b", "x", PeerState::Online)];
    let found = |text: &str| Target::from(text).resolve(&known);
    let (a, b) = (known[0].id, known[1].id);
    assert_eq!(found("a"), Resolution::Found(vec![a]));
    assert_eq!(found("a@garden"), Resolution::Found(vec![a]));
    assert_eq!(found("a@other"), Resolution::Unknown { near: vec![] });
    assert_eq!(found("cap:x"), Resolution::Found(vec![a, b]));
    assert_eq!(found("role:worker"), Resolution::Found(vec![a, b]));
    assert_eq!(found(&a.to_string()), Resolution::Found(vec![a]));
    let text = a.to_string();
    assert_eq!(found(&text[..text.len() - 4]), Resolution::Found(vec![a]));
    assert_eq!(found("12D3KooW"), Resolution::Ambiguous(known.to_vec()));
    assert_eq!(found("12D3"), Resolution::Unknown { near: vec![] }, "too short for a prefix");
}

#[test]
fn one_name_twice_is_never_a_silent_choice() {
    let twins = [candidate("a", "x", PeerState::Online), candidate("a", "x", PeerState::Online)];
    assert_eq!(Target::from("a").resolve(&twins), Resolution::Ambiguous(twins.to_vec()));
    let restarted = [candidate("a", "x", PeerState::Offline), candidate("a", "x", PeerState::Online)];
    assert_eq!(Target::from("a").resolve(&restarted), Resolution::Found(vec![restarted[1].id]));
    let taken = [candidate("a", "x", PeerState::Suspect), candidate("a", "x", PeerState::Online)];
    assert_eq!(Target::from("a").resolve(&taken), Resolution::Ambiguous(taken.to_vec()));
    let gone = [candidate("a", "x", PeerState::Offline), candidate("a", "x", PeerState::Offline)];
    assert_eq!(Target::from("a").resolve(&gone), Resolution::Ambiguous(gone.to_vec()));
}

#[test]
fn a_swarm_narrows_names_and_prefixes_down() {
    let mut known = [candidate("a", "x", PeerState::Online), candidate("a", "x", PeerState::Online)];
    known[1].swarms = vec!["kitchen".into()];
    let found = |text: &str| Target::from(text).resolve(&known);
    assert_eq!(found("a@garden"), Resolution::Found(vec![known[0].id]));
    assert_eq!(found("a@Kitchen"), Resolution::Found(vec![known[1].id]));
    assert_eq!(found("12D3KooW@kitchen"), Resolution::Found(vec![known[1].id]));
    assert_eq!(found("a@cellar"), Resolution::Unknown { near: vec![] });
}

#[test]
fn what_is_left_out_means_nobody() {
    let mut plain = candidate("", "x", PeerState::Online);
    plain.role = String::new();
    for text in ["", "@garden", "role:", "cap:", "@", ":"] {
        assert_eq!(
            Target::from(text).resolve(std::slice::from_ref(&plain)),
            Resolution::Unknown { near: vec![] },
            "{text}"
        );
    }
}

#[test]
fn who_is_gone_has_no_capability() {
    let known = [candidate("a", "x", PeerState::Offline), candidate("b", "x", PeerState::Suspect)];
    assert_eq!(Target::from("cap:x").resolve(&known), Resolution::Found(vec![known[1].id]));
    assert_eq!(Target::from("role:worker").resolve(&known), Resolution::Found(vec![known[1].id]));
    assert_eq!(Target::from("a").resolve(&known), Resolution::Found(vec![known[0].id]), "the caller says why not");
}

proptest! {
    #[test]
    fn any_text_is_a_target(text in ".{0,40}") {
        let known = [candidate("a", "x", PeerState::Online)];
        let target = Target::from(text.as_str());
        let _ = target.resolve(&known);
        prop_assert_eq!(target.to_string(), text);
    }

    /// The slip of a quick hand: two letters in the wrong order.
    #[test]
    fn a_transposition_is_near(name in "[a-z]{5,12}", at in 0usize..11) {
        let mut letters: Vec<char> = name.chars().collect();
        let at = at % (letters.len() - 1);
        letters.swap(at, at + 1);
        let slip: String = letters.iter().collect();
        let expected = if slip == name { vec![] } else { vec![name.clone()] };
        prop_assert_eq!(near(&slip, [name.as_str(), "0123456789"].into_iter()), expected);
    }
}

#[test]
fn similar_names_are_offered() {
    let known = [candidate("garden", "code-review", PeerState::Online)];
    let near = |text: &str| match Target::from(text).resolve(&known) {
        Resolution::Unknown { near } => near,
        other => panic!("{other:?}"),
    };
    assert_eq!(near("gardne"), ["garden"]);
    assert_eq!(near("gard"), ["garden"]);
    assert_eq!(near("kitchen"), Vec::<String>::new());
    assert_eq!(near("cap:code-reveiw"), ["cap:code-review"]);
}

#[test]
fn addresses_need_a_port_or_a_slash() {
    assert!(Target::from("127.0.0.1:9999").address().is_some());
    assert!(Target::from("/ip4/127.0.0.1/tcp/1").address().is_some());
    assert!(Target::from("[::1]:9").address().is_some());
    assert!(Target::from("reviewer").address().is_none());
    assert!(Target::from(".").is_self());
}
