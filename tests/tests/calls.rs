//! Calls, and what a user is told when they do not work.

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::Duration,
};

use p2pnode_tests::{Home, Node, SOON, binary, free_port, run};
use serde_json::Value;

/// How soon a mistyped name is told.
const MISTYPED: Duration = Duration::from_secs(4);

fn calculator(home: &Home) -> Node {
    home.up(&["garden", "--demo", "--name", "calculator"]).ready()
}

#[test]
fn a_call_prints_its_result() {
    let home = Home::new();
    let _node = calculator(&home);
    assert_eq!(home.run(&["call", "calculator", "sum", "1", "2"]).exits(0).stdout, "3\n");
    assert_eq!(home.run(&["call", "calculator", "sum", "-k", "a=1", "-k", "b=2"]).exits(0).stdout, "3\n");
    assert_eq!(home.run(&["call", "calculator@garden", "sum", "1", "-2"]).exits(0).stdout, "-1\n");
    let json = home.run(&["--json", "call", "calculator", "sum", "1", "2"]).exits(0);
    let value: Value = serde_json::from_str(&json.stdout).expect("one JSON object");
    assert!(value.is_object(), "{json}");
    assert_eq!(value["data"]["result"], 3, "{json}");
}

/// A way to `port` on which handshakes take longer than a command takes to begin.
fn slow_way_to(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let way = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                // What is modelled is the time itself.
                std::thread::sleep(Duration::from_millis(300));
                let far = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
                let (mut from, mut to) = (near.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
                std::thread::spawn(move || io::copy(&mut from, &mut to));
                let _ = io::copy(&mut &far, &mut &near);
            });
        }
    });
    way
}

#[test]
fn an_address_is_called_while_it_is_being_dialled() {
    let home = Home::new();
    let port = free_port();
    let _node = home.up(&["garden", "--demo", "--name", "calculator", "--port", &port.to_string()]).ready();
    let told = home.run(&["--json", "peer", "calculator"]).exits(0);
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    let id = told["data"]["id"].as_str().expect("its id");
    let addr = format!("/ip4/127.0.0.1/tcp/{}/p2p/{id}", slow_way_to(port));
    let called = home.run(&["--no-local", "--swarm", "garden", "call", &addr, "sum", "1", "2"]);
    assert_eq!(called.exits(0).stdout, "3\n");
}

#[test]
fn a_peer_lists_what_it_offers() {
    let home = Home::new();
    let _node = calculator(&home);
    let listed = home.run(&["call", "calculator", "--list"]).exits(0);
    let listed = listed.says("a: integer, b: integer").says("Add two numbers");
    for name in ["echo", "sum", "time"] {
        assert!(listed.stdout.contains(name), "{listed}");
    }
}

#[test]
fn a_program_is_called_under_its_name() {
    let home = Home::new();
    let script = home.script("upper.sh", "tr a-z A-Z");
    let _node = home.up(&["garden", "--name", "shouter", "--serve", &format!("shout={script}")]).ready();
    let called = home.run(&["call", "shouter", "shout", "hello"]).exits(0);
    assert_eq!(called.stdout.trim_end(), "HELLO", "{called}");
}

#[test]
fn a_wrong_endpoint_is_exit_5_and_near_names_are_told() {
    let home = Home::new();
    let _node = calculator(&home);
    let called = home.run(&["call", "calculator", "sun", "1", "2"]).exits(5).complains("sum");
    assert_eq!(called.stdout, "", "errors go to stderr: {called}");
}

#[test]
fn a_failing_handler_is_exit_7() {
    let home = Home::new();
    let broken = home.script("broken.sh", "echo 'no more paper' >&2; exit 1");
    let _node = home.up(&["garden", "--demo", "--name", "calculator", "--serve", &format!("print={broken}")]).ready();
    home.run(&["call", "calculator", "sum", &i64::MAX.to_string(), "1"]).exits(7).complains("does not fit");
    home.run(&["call", "calculator", "print", "x"]).exits(7);
}

#[test]
fn wrong_words_are_exit_2() {
    let home = Home::new();
    home.run(&["call"]).exits(2);
    home.run(&["cal", "calculator", "sum"]).exits(2).complains("call");
    home.run(&["call", "calculator", "sum", "--no-such-option"]).exits(2);
    home.run(&["ask", "garden", "x", "--timeout", "soon"]).exits(2);
}

#[test]
fn nobody_there_is_exit_6() {
    let home = Home::new();
    let alone = home.run(&["ask", "garden", "x"]).exits(6).complains("garden").complains("try:");
    assert_eq!(alone.stdout, "", "{alone}");
    let code = home.run(&["call", "calculator", "sum", "1", "2"]).code;
    assert!(code == Some(5) || code == Some(6), "no such name, nobody there: {code:?}");
}

#[test]
fn a_mistyped_swarm_is_told_with_the_right_name() {
    let home = Home::new();
    let _node = calculator(&home);
    let asked = home.run(&["ask", "gardne", "x"]).exits(6).complains("did you mean \"garden\"");
    println!("measured: told after {:?}, promised {MISTYPED:?}", asked.elapsed);
    assert!(asked.elapsed < 3 * MISTYPED, "{asked}");
}

#[test]
fn a_mistyped_peer_is_told_with_the_right_name() {
    let home = Home::new();
    let _node = calculator(&home);
    home.run(&["call", "calculatro", "sum", "1", "2"]).exits(5).complains("calculator");
}

#[test]
fn a_dead_peer_is_exit_3_by_its_address() {
    let home = Home::new();
    let port = free_port().to_string();
    let mut node = home.up(&["garden", "--demo", "--port", &port]).ready();
    let addr = format!("127.0.0.1:{port}");
    assert_eq!(home.run(&["call", &addr, "sum", "1", "2"]).exits(0).stdout, "3\n");
    node.kill9();
    home.run(&["call", &addr, "sum", "1", "2"]).exits(3).complains(&port);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let home = Home::new();
    let _node = calculator(&home);
    let mut shell = home.command([""; 0]);
    let (path, envs) = (binary().display().to_string(), shell.get_envs());
    let mut piped = Command::new("sh");
    // The exit code of the first command of the pipe goes to stderr: `sh` knows no pipefail.
    piped.args(["-c", &format!("{{ {path} --help; echo exit $? >&2; }} | head -n 1")]).env_clear();
    piped.envs(envs.filter_map(|(key, value)| Some((key, value?))));
    let out = run(piped).exits(0).complains("exit 0");
    assert_eq!(out.stdout.lines().count(), 1, "{out}");
    shell = Command::new("sh");
    let repeated = format!("{path} --no-mdns call calculator sum 1 2 --repeat 30 --interval 10ms");
    shell.args(["-c", &format!("{{ {repeated}; echo exit $? >&2; }} | head -n 1")]).env("P2PNODE_HOME", home.path());
    let out = run(shell).exits(0).complains("exit 0");
    assert_eq!(out.stdout.lines().count(), 1, "{out}");
}

#[test]
fn without_a_home_the_named_folders_are_enough() {
    let home = Home::new();
    let mut command = home.command(["--no-mdns", "up", "garden", "--port", &free_port().to_string()]);
    command.env_remove("HOME").env_remove("P2PNODE_HOME");
    for name in ["DATA_HOME", "STATE_HOME", "RUNTIME_DIR"] {
        command.env(format!("XDG_{name}"), home.path().join(name));
    }
    let _node = Node::start(command).ready();
    assert!(home.path().join("DATA_HOME/p2pnode/default/identity.key").exists());
}

#[test]
fn no_home_is_told_and_what_helps() {
    use std::os::unix::process::CommandExt;
    if !rustix::process::getuid().is_root() {
        // Without HOME the user database tells the home folder: only a user whom it does not know has none.
        println!("skipped: only root can be a user that nobody knows");
        return;
    }
    let home = Home::new();
    let program = home.path().join("p2pnode");
    fs::copy(binary(), &program).expect("a copy that everybody may run");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("an open folder");
    let mut command = Command::new(program);
    command.args(["--no-mdns", "up", "garden", "--port", &free_port().to_string()]);
    command.env_clear().uid(54_321).gid(54_321).current_dir("/");
    run(command).exits(1).complains("HOME is not set").complains("--home");
}

#[test]
fn a_file_in_place_of_the_data_folder_is_told_with_its_path() {
    let home = Home::new();
    let file = home.path().join("data");
    fs::write(&file, "not a folder").expect("a new file");
    let up = home.run(&["up", "garden", "--port", &free_port().to_string()]).exits(1);
    up.complains(&file.to_string_lossy()).complains("--home");
}

#[test]
fn an_occupied_port_is_exit_8_only_if_it_was_wanted() {
    let home = Home::new();
    let holder = TcpListener::bind(("0.0.0.0", 0)).expect("any port");
    let port = holder.local_addr().expect("it is bound").port().to_string();
    home.run(&["up", "garden", "--port", &port]).exits(8).complains(&port);
    let _taken = TcpListener::bind(("0.0.0.0", 9_999));
    let node = Node::start(home.command(["--no-mdns", "up", "garden"])).ready();
    assert!(node.said().contains("listening"), "{}", node.said());
}

#[test]
fn a_profile_has_one_node_at_a_time() {
    let home = Home::new();
    let mut first = home.up(&["garden", "--profile", "a"]).ready();
    let second = ["up", "garden", "--profile", "a", "--port", &free_port().to_string()];
    home.run(&second).exits(8).complains(&first.pid().to_string());
    let beside = home.up(&["garden"]).ready();
    drop(beside);
    first.kill9();
    // What a killed node leaves behind is in nobody's way.
    let again = home.up(&["garden", "--profile", "a"]).ready();
    again.interrupt();
    assert!(Path::new(home.path()).join("data/a/identity.key").exists(), "one identity, before and after");
    again.wait_for("ready in ", SOON);
}
