use clap::CommandFactory as _;

use super::{given::Given, *};

fn words(line: &[&str]) -> Vec<OsString> {
    std::iter::once("p2pnode").chain(line.iter().copied()).map(OsString::from).collect()
}

fn run(line: &[&str]) -> Cli {
    match parse(&words(line)) {
        Parsed::Run(cli) => *cli,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn wrong(line: &[&str]) -> (String, &'static str) {
    match parse(&words(line)) {
        Parsed::Wrong(error, verb) => {
            assert_eq!(error.exit(), 2, "{line:?}");
            (error.to_text(crate::output::style::Style::plain()), verb)
        }
        other => panic!("{line:?}: {other:?}"),
    }
}

fn shown(line: &[&str]) -> String {
    match parse(&words(line)) {
        Parsed::Show(text) | Parsed::NoVerb(text) => anstream::adapter::strip_str(&text).to_string(),
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn clap_finds_no_fault() {
    help::root().debug_assert();
}

#[test]
fn every_verb_stands_in_one_group() {
    let mut grouped: Vec<&str> = help::GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
    grouped.sort_unstable();
    let tree = Cli::command();
    let mut verbs: Vec<&str> = tree.get_subcommands().map(clap::Command::get_name).collect();
    verbs.sort_unstable();
    assert_eq!(grouped, verbs);
}

#[test]
fn help_is_grouped_and_ends_with_the_first_success() {
    let expected_head = format!(
        "\
p2pnode {}: a serverless swarm for agents, tools and services

Usage: p2pnode [OPTIONS] VERB [ARGS]

Run:
  up            Start a node here and serve until Ctrl-C
  down          Leave and stop the node that runs in the background
  status        Show the running node on one screen
  availability  Tell others whether the running node takes work
  logs          Print the log of the node that runs in the background
  serve         Make a program callable in a swarm
  schedule      Let the running node act by itself: every so often, by a cron expression, with the sun
  wait          Wait until something is there

Swarm:
  join          Join a swarm by a ticket, by its name, or at the address of a member
  leave         Forget a swarm that was joined
  invite        Print a ticket with which others join a swarm of the running node
  swarms        List the swarms that can be seen from here
  members       List the peers of one swarm
  mute          Run no programs for what a peer says
  unmute        Run programs for a peer again
  block         Have nothing to do with a peer
  unblock       Let a blocked peer be again

Look:
  peers         List the peers that can be seen from here
  peer          Show everything known of one peer
  names         Show who bears which name, and let a name go
  find          Find nodes through the directory, also those that are no neighbours
  ping          Measure the round trip to a peer and show the path
  netcheck      Show what routers do to this host, and how it is reached from outside
  artifact      List, fetch and keep documents that nodes serve
  card          Show and set the agent card that nodes serve

Talk:
  ask           Ask a swarm, or one peer; acks and replies stream in
  call          Call an endpoint of a peer and print its result
  broadcast     Call an endpoint of everybody in a swarm who serves it
  emit          Tell a swarm that something happened
  subscribe     Print what is emitted, as it comes
  send          Write to a peer, there or not; it is tried until it has the message
  reply         Answer a message of the inbox
  inbox         Read the messages that came, and keep order among them
  outbox        Look after the messages of this node that are on their way

Observe:
  watch         Watch a swarm: joins, leaves, questions, answers
  conv          Read conversations: what was said, by whom, in order
  history       Search what was said in swarms and written to this node
  dht           Read and write the distributed hash table
  bench         Measure calls, gossip and the directory

Tooling:
  id            Show, make, save and restore the identity of a profile
  export        Save a whole profile in one file
  import        Restore a profile from such a file
  completions   Print a completion script: bash, zsh, fish, elvish or powershell
  version       Print the version
",
        env!("CARGO_PKG_VERSION")
    );
    let expected_tail = "\
First success, in two terminals:
  p2pnode up garden --demo
  p2pnode ask garden \"who is there?\"";
    for line in [&["-h"][..], &["--help"], &["help"], &[]] {
        let text = shown(line);
        assert!(text.starts_with(&expected_head), "{line:?}:\n{text}");
        assert!(text.trim_end().ends_with(expected_tail), "{line:?}:\n{text}");
    }
}

fn example(line: &str, verb: &str) -> bool {
    line.starts_with("  ") && !line.starts_with("   ") && (line.contains(&format!("p2pnode {verb}")))
}

#[test]
fn short_help_fits_a_screen_and_long_help_names_the_variables() {
    assert!(shown(&["-h"]).lines().count() <= 77, "{}", shown(&["-h"]));
    let long = shown(&["--help"]);
    for name in [
        "P2PNODE_SWARM",
        "P2PNODE_TIMEOUT",
        "P2PNODE_JSON",
        "P2PNODE_HOME",
        "P2PNODE_LOG",
        "P2PNODE_COLOR",
        "P2PNODE_PROFILE",
        "P2PNODE_MODE",
    ] {
        assert!(long.contains(name), "{name}");
    }
    for verb in [
        "up",
        "ask",
        "call",
        "peers",
        "members",
        "swarms",
        "find",
        "ping",
        "netcheck",
        "wait",
        "dht",
        "id",
        "broadcast",
        "emit",
        "subscribe",
        "serve",
        "watch",
        "send",
        "reply",
        "inbox",
        "outbox",
        "conv",
        "history",
        "down",
        "status",
        "logs",
    ] {
        assert!(
            shown(&[verb, "-h"]).lines().filter(|line| example(line, verb)).count() >= 2,
            "{verb} lacks two examples"
        );
    }
}

#[test]
fn no_arguments_is_the_help_as_an_error() {
    assert!(matches!(parse(&words(&[])), Parsed::NoVerb(_)));
    let (text, _) = wrong(&["--json"]);
    assert!(text.contains("no verb given"), "{text}");
}

#[test]
fn ask_with_and_without_swarm() {
    let ask = |line: &[&str]| match run(line).verb {
        Verb::Ask(ask) => (ask.swarm().map(str::to_owned), ask.word().unwrap_or_default().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(ask(&["ask", "garden", "hi"]), (Some("garden".into()), "hi".into()));
    assert_eq!(ask(&["ask", "hi"]), (None, "hi".into()));
    assert_eq!(ask(&["ask", "-"]), (None, "-".into()));
    assert_eq!(ask(&["ask", "garden", "--json", "hi"]), (Some("garden".into()), "hi".into()));
    assert_eq!(ask(&["ask", "--first", "hi"]), (None, "hi".into()));
    assert_eq!(
        ask(&["ask", "garden", "--", "-v is not an option"]),
        (Some("garden".into()), "-v is not an option".into())
    );
    assert_eq!(run(&["members", "-s", "ops"]).global.swarm.as_deref(), Some("ops"));
    assert_eq!(run(&["-s", "ops", "ask", "hi"]).global.swarm.as_deref(), Some("ops"));
    wrong(&["ask", "garden", "hi", "there"]);
    let (text, verb) = wrong(&["ask"]);
    assert_eq!(verb, "ask");
    assert!(text.contains("TEXT") && text.contains("p2pnode ask garden \"who is there?\""), "{text}");
}

#[test]
fn call_keeps_numbers_and_options_apart() {
    let Cli { global, verb: Verb::Call(call) } = run(&["call", "calc", "sum", "-1", "2.5", "--json", "-k", "c=3"])
    else {
        panic!("no call")
    };
    assert!(global.json);
    assert_eq!(call.args, ["-1", "2.5"].map(|word| Given::Word(word.to_owned())));
    assert_eq!(call.named, [("c".to_owned(), Given::Word("3".to_owned()))]);
    assert!(matches!(run(&["call", "calc", "--list"]).verb, Verb::Call(_)));
    let (text, _) = wrong(&["call", "calc"]);
    assert!(text.contains("ENDPOINT"), "{text}");
    wrong(&["call", "calc", "sum", "--list"]);
}

#[test]
fn unknown_words_get_a_hint() {
    let (text, _) = wrong(&["aks", "garden", "hi"]);
    assert!(text.starts_with("error: there is no verb \"aks\"") && text.contains("did you mean \"ask\"?"), "{text}");
    let (text, verb) = wrong(&["dht", "gte", "x"]);
    assert!(text.contains("did you mean \"get\"?") && text.contains("p2pnode dht get --help"), "{text}");
    assert_eq!(verb, "dht");
    let (text, _) = wrong(&["ask", "--frist", "hi"]);
    assert!(text.contains("--first"), "{text}");
    let (text, _) = wrong(&["wibble"]);
    assert!(!text.contains("did you mean"), "{text}");
    let (text, _) = wrong(&["ask", "hi", "--timeout", "soon"]);
    assert!(text.contains("`soon` is no duration"), "{text}");
}

#[test]
fn what_conflicts_is_refused() {
    wrong(&["ask", "hi", "--first", "--replies", "2"]);
    wrong(&["ask", "hi", "--replies", "0"]);
    wrong(&["up", "garden", "--port", "9", "--listen", "/ip4/127.0.0.1/tcp/9"]);
    wrong(&["up", "garden", "--port", "99999"]);
    wrong(&["up", "garden", "--serve", "nameonly"]);
    wrong(&["peers", "-q", "-v"]);
}

#[test]
fn up_takes_many_of_most_things() {
    let line =
        ["up", "garden", "ops", "--cap", "a=does a", "--cap", "b", "--serve", "x=cat -n", "--bootstrap", "h:1,[::1]"];
    let Cli { global, verb: Verb::Up(up) } = run(&line) else { panic!("no up") };
    assert_eq!(up.swarms, ["garden", "ops"]);
    assert_eq!(up.cap, ["a=does a", "b"]);
    assert_eq!(up.serve, [("x".to_owned(), "cat -n".to_owned())]);
    assert_eq!(global.bootstrap, ["h:1", "[::1]"]);
}

#[test]
fn a_profile_and_a_mode_are_options_of_all_verbs() {
    use global::Mode;
    for line in [
        &["-P", "b", "peers"][..],
        &["peers", "-P", "b"],
        &["up", "garden", "--profile", "b"],
        &["id", "show", "-P", "b"],
    ] {
        assert_eq!(run(line).global.profile.as_deref(), Some("b"), "{line:?}");
    }
    let mode = |line: &[&str]| run(line).global.mode();
    assert_eq!((mode(&["peers"]), mode(&["peers", "--daemon"])), (Mode::Auto, Mode::Daemon));
    assert_eq!(
        (mode(&["--ephemeral", "peers"]), mode(&["--mode", "daemon", "peers"])),
        (Mode::Ephemeral, Mode::Daemon)
    );
    assert_eq!(mode(&["--mode", "daemon", "peers", "--ephemeral"]), Mode::Ephemeral);
    wrong(&["peers", "--daemon", "--ephemeral"]);
}

#[test]
fn a_limit_given_to_up_counts() {
    assert_eq!(run(&["up", "garden", "-t", "2s"]).global.timeout, Some(std::time::Duration::from_secs(2)));
    assert_eq!(run(&["-t", "2s", "up", "garden"]).global.timeout, Some(std::time::Duration::from_secs(2)));
}

#[test]
fn completions_for_all_shells() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut tree(), "p2pnode", &mut script);
        assert!(String::from_utf8(script).unwrap().contains("members"), "{shell}");
    }
}
