//! Whole runs of the program, each in a process of its own.
#![cfg(feature = "virtual-time")]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn p2psim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_p2psim")).args(args).env_remove("RUST_LOG").output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Eight nodes, a few messages: a second of the machine's time.
fn small(folder: &Path) -> String {
    let path = folder.join("small.toml");
    let text = "version = 1\nname = \"small\"\nduration = \"10s\"\n[nodes]\ncount = 8\n[[workload]]\nkind = \"broadcast\"\nrate = \"1/s\"\n\
                [[workload]]\nkind = \"ask\"\nrate = \"20/m\"\n[[event]]\nkind = \"crash\"\nat = \"3s\"\nshare = 0.2\nrestart_after = \"2s\"\n\
                [thresholds]\n\"gossip.delivery_ratio\" = \">= 1\"\n\"ask.success_ratio\" = \">= 1\"\n";
    std::fs::write(&path, text).expect("written");
    path.to_string_lossy().into_owned()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

fn digest(scenario: &str, more: &[&str]) -> String {
    let args: Vec<&str> = ["run", scenario, "--json"].into_iter().chain(more.iter().copied()).collect();
    report(&p2psim(&args))["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = small(folder.path());
    let mut digests = Vec::new();
    for seed in 1..=20 {
        let seed = seed.to_string();
        let (first, again) = (digest(&scenario, &["--seed", &seed]), digest(&scenario, &["--seed", &seed]));
        assert_eq!(first, again, "seed {seed}");
        digests.push(first);
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 20, "no two seeds alike");
}

#[test]
fn a_report_has_the_command_that_makes_the_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = small(folder.path());
    let changed = ["-n", "5", "--set", "network.loss=0.05", "--duration", "4s", "--threshold", "wall_s<600"];
    let args: Vec<&str> = ["run", &scenario, "--json", "--seed", "3"].into_iter().chain(changed).collect();
    let first = report(&p2psim(&args));
    let again = first["again"].as_str().expect("a command");
    let words: Vec<&str> = again.split(' ').map(|word| word.trim_matches('\'')).collect();
    let (program, words) = words.split_first().expect("words");
    assert_eq!(*program, "p2psim", "{again}");
    let second = report(&p2psim(&words.iter().copied().chain(["--json"]).collect::<Vec<_>>()));
    assert_eq!(first["digest"], second["digest"], "{again}");
    assert_eq!(first["thresholds"][0]["metric"], second["thresholds"][0]["metric"]);
    assert_ne!(
        first["digest"].as_str(),
        Some(digest(&scenario, &["--seed", "3"]).as_str()),
        "not what was run: {again}"
    );
}

#[test]
fn one_changed_byte_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = small(folder.path());
    let same = p2psim(&["run", &scenario, "--repeat", "2"]);
    assert_eq!(same.status.code(), Some(0), "{}", text(&same.stdout));
    assert!(text(&same.stdout).contains("2 runs with seed 1, one digest"), "{}", text(&same.stdout));
    let changed = p2psim(&["run", &scenario, "--repeat", "2", "--perturb"]);
    let said = text(&changed.stdout);
    assert_eq!(changed.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the runs differ from event") && said.contains("first ") && said.contains("second "),
        "{said}"
    );
}

#[test]
fn all_layers_of_libp2p_are_deterministic_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = small(folder.path());
    for layers in ["plain", "noise"] {
        let set = format!("fidelity={layers}");
        assert_eq!(digest(&scenario, &["--set", &set]), digest(&scenario, &["--set", &set]), "{layers}");
    }
}

/// Mean hops in virtual time and in real time may differ by so much of a hop: which of two neighbours is first is a matter
/// of milliseconds, which a busy machine has its own.
const HOPS_AGREE: f64 = 0.5;

/// Thirty nodes in virtual time, on the wall clock over memory, and over TCP: the same is delivered, once, over as many
/// hops. How long it takes is the network's affair.
#[test]
fn real_time_agrees_in_what_is_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("real.toml");
    let written = "version = 1\nname = \"real\"\nduration = \"8s\"\nwarmup = \"12s\"\n[nodes]\ncount = 30\n[network]\nlatency = { dist = \
                   \"fixed\", time = \"1ms\" }\n[[workload]]\nkind = \"broadcast\"\nrate = \"2/s\"\n";
    std::fs::write(&scenario, written).expect("written");
    let scenario = scenario.to_string_lossy();
    let mut hops = Vec::new();
    for time in ["virtual", "real", "loopback"] {
        let report = report(&p2psim(&["run", &scenario, "--time", time, "--json"]));
        assert_eq!(report["numbers"]["gossip.delivery_ratio"], 1.0, "{time}: {report}");
        assert_eq!(report["numbers"]["gossip.told_twice"], 0.0, "{time}");
        let measured = &report["metrics"]["gossip.hops"];
        assert!(measured["n"].as_u64() >= Some(15 * 29), "{time}: {report}");
        hops.push((time, measured["avg"].as_f64().expect("a mean"), measured["max"].as_f64().expect("a most")));
    }
    println!("hops, mean and most: {hops:?}");
    let all = || hops.iter().map(|(_, mean, _)| *mean);
    let apart = all().fold(f64::MIN, f64::max) - all().fold(f64::MAX, f64::min);
    assert!(apart <= HOPS_AGREE, "{apart} of a hop apart: {hops:?}");
}

#[test]
fn exits_and_reports() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = small(folder.path());
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (html, junit) = (file("r.html"), file("r.xml"));
    let missed = p2psim(&[
        "run",
        &scenario,
        "--no-progress",
        "--threshold",
        "wall_s < 0.001",
        "--html",
        &html,
        "--junit",
        &junit,
    ]);
    assert_eq!(missed.status.code(), Some(10), "{}", text(&missed.stdout));
    assert!(text(&missed.stdout).contains("FAIL  1 threshold\n"), "{}", text(&missed.stdout));
    let page = std::fs::read_to_string(html).expect("a page");
    assert!(!page.contains("http") && !page.contains("<script") && page.contains("<svg"), "no request, no script");
    assert!(std::fs::read_to_string(junit).expect("JUnit").contains("failures=\"1\""));

    let bad = folder.path().join("bad.toml");
    std::fs::write(&bad, "version = 1\nname = \"x\"\nduration = \"1s\"\n[nodes]\nconut = 3\n").expect("written");
    let wrong = p2psim(&["check", &bad.to_string_lossy()]);
    let said = text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{said}");
    assert!(said.contains("line 5") && said.contains("^^^^^") && said.contains("did you mean `count`"), "{said}");
    let unknown = p2psim(&["run", "broadcast-10"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("did you mean broadcast-100"), "{}", text(&unknown.stderr));
    let new = file("new.toml");
    assert_eq!(p2psim(&["new", &new]).status.code(), Some(0));
    assert_eq!(p2psim(&["new", &new]).status.code(), Some(2), "it is not written over");
    assert_eq!(p2psim(&["check", &new]).status.code(), Some(0));
}

/// Attackers around a key: what honest nodes announce before and after is found, and nothing forged is believed.
#[test]
fn attackers_around_a_key_do_not_hide_it() {
    let run = p2psim(&["run", "sybil-60", "--json"]);
    let report = report(&run);
    assert_eq!(run.status.code(), Some(0), "{}", report["thresholds"]);
    for metric in ["siege.search_early_ratio", "siege.search_late_ratio", "siege.read_early_ratio"] {
        assert!(report["numbers"][metric].as_f64().is_some_and(|share| share >= 0.9), "{metric}: {report}");
    }
    let there = report["metrics"]["siege.sybils_in_table"]["max"].as_f64();
    assert!(there.is_some_and(|there| there >= 1.0), "the attack takes place: {report}");
}
