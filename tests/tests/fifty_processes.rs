//! Fifty processes on one host: what they cost while nothing happens, and how soon one that joins is of use while others
//! come and go.
//!
//! By hand: `cargo test --release -p p2pnode-tests --test fifty_processes -- --ignored --nocapture`; `P2PNODE_CHURN` is the length of the
//! coming and going in seconds, 600 without it.

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use p2pnode_tests::{Background, Home, binary, until};

const COUNT: usize = 50;

/// For all to have seen all.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long they are looked at while nothing happens.
const QUIET: Duration = Duration::from_secs(60);

/// What comes after the joins settles within it: first looks around, second announcements.
const SETTLE: Duration = Duration::from_secs(90);

/// One goes and one comes this often.
const PACE: Duration = Duration::from_secs(3);

/// Clock ticks of `/proc/PID/stat` per second, on all Linux.
const TICKS: f64 = 100.0;

/// CPU time that a process has used, in seconds.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

fn rss_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

fn spread(what: &str, unit: &str, mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((share * (values.len() - 1) as f64) as usize).copied().unwrap_or(f64::NAN);
    let (median, most) = (at(0.5), at(1.0));
    println!("measured: {what}: median {median:.3}, p95 {:.3}, most {most:.3} {unit} of {}", at(0.95), values.len());
    (at(0.95), most)
}

fn online(node: &Background) -> usize {
    let peers = node.control.get("/v1/peers").json();
    peers["data"].as_array().map_or(0, |peers| peers.iter().filter(|peer| peer["state"] == "online").count())
}

fn connections(node: &Background) -> f64 {
    node.status()["load"]["connections"].as_f64().unwrap_or(f64::NAN)
}

fn start(home: &Home, number: usize) -> Background {
    home.detached(&["garden", "--demo", "--name", &format!("n{number}")])
}

/// From the start of the process until it has called another that it found by itself.
fn joins(home: &Home, number: usize, other: &Background) -> (Background, Duration) {
    let began = Instant::now();
    let node = start(home, number);
    let body = format!(r#"{{"target": "{}", "endpoint": "echo", "args": ["hello"]}}"#, other.name);
    let called = until(PATIENCE, || (node.control.post("/v1/call", &body).json()["ok"] == true).then_some(()));
    let told = || (node.control.post("/v1/call", &body).body, node.status(), other.status(), cpu(other.pid));
    assert!(called.is_some(), "{} never reached {}: {:#?}", node.name, other.name, told());
    (node, began.elapsed())
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn fifty_processes_cost_little_and_a_newcomer_is_of_use_at_once() {
    binary();
    let home = Home::new();
    let alone = start(&home, 0);
    println!("measured: alone: {:.1} MiB", rss_mib(alone.pid));
    let began = Instant::now();
    let mut nodes = vec![alone];
    nodes.extend((1..COUNT).map(|number| start(&home, number)));
    let met = until(PATIENCE, || nodes.iter().all(|node| online(node) >= COUNT - 1).then_some(()));
    let fewest = || nodes.iter().map(online).min();
    assert!(met.is_some(), "some node knows {:?} of {} others", fewest(), COUNT - 1);
    println!("measured: all know all {:.1} s after the first start", began.elapsed().as_secs_f64());

    thread::sleep(SETTLE);
    let before: Vec<f64> = nodes.iter().map(|node| cpu(node.pid)).collect();
    thread::sleep(QUIET);
    let used = nodes.iter().zip(before).map(|(node, before)| 1e3 * (cpu(node.pid) - before) / QUIET.as_secs_f64());
    let (_, most_cpu) = spread("CPU of a quiet node", "ms per second", used.collect());
    let (_, most_memory) = spread("resident memory", "MiB", nodes.iter().map(|node| rss_mib(node.pid)).collect());
    let (_, most_connections) = spread("connections", "", nodes.iter().map(connections).collect());

    let churn = env::var("P2PNODE_CHURN").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let end = Instant::now() + Duration::from_secs(churn);
    let (mut times, mut cpus, mut number) = (Vec::new(), Vec::new(), COUNT);
    while Instant::now() < end {
        let next = Instant::now() + PACE;
        // By turns one dies, and one says goodbye.
        let gone = nodes.remove(number * 7 % nodes.len());
        if number % 2 == 0 {
            drop(gone);
        } else {
            gone.control.post("/v1/shutdown", "");
        }
        let other = &nodes[number * 13 % nodes.len()];
        let (node, took) = joins(&home, number, other);
        times.push(took.as_secs_f64());
        cpus.push(cpu(node.pid));
        nodes.push(node);
        number += 1;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let (slow, _) = spread("useful after", "s", times);
    spread("CPU until then", "s", cpus);
    spread("resident memory after it", "MiB", nodes.iter().map(|node| rss_mib(node.pid)).collect());
    spread("connections after it", "", nodes.iter().map(connections).collect());
    // Not the time itself, which is the machine's: what would be a defect on any.
    assert!(slow < 10.0, "one in twenty newcomers is of use after {slow} s");
    assert!(most_cpu < 10.0 && most_memory < 64.0, "a quiet node uses {most_cpu} ms per second and {most_memory} MiB");
    assert!(most_connections <= 64.0, "{most_connections} connections");
}
