//! Nodes that are killed at any moment, while they write to each other: what was accepted arrives, and once.
//!
//! The test runs itself again as its two nodes.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use p2pnode::{
    Limits, MailLimits, Node, Paths, Profile, presets,
    store::{InboxQuery, Options, OutboxQuery, OutboxState, Store},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const ROLE: &str = "P2PNODE_KILL_ROLE";
const FOLDER: &str = "P2PNODE_KILL_FOLDER";

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// What a child does: a node that writes as fast as it can, or one that is written to.
fn child(role: &str, folder: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let paths = Paths::in_folder(folder.join(role)).expect("paths");
        let profile = Profile::open(&paths, "default").expect("a profile");
        let host = Paths::in_folder(folder.join("host")).expect("paths");
        // Nobody empties this inbox.
        let mail = MailLimits { member_messages: u64::MAX, member_bytes: u64::MAX, ..MailLimits::default() };
        let limits = Limits { mail, ..Limits::default() };
        let node =
            Node::builder(presets::Loopback).paths(host).profile(profile).swarm("garden").name(role).limits(limits);
        let node = node.start().await.expect("started");
        println!("ready {}", node.peer_id());
        if role == "writer" {
            let to: p2pnode::PeerId = env::var("P2PNODE_KILL_TO").expect("whom").parse().expect("an id");
            let post = node.mail().expect("it keeps");
            let run = std::process::id();
            for number in 0_u64.. {
                let text = format!("{run}.{number}");
                match post.send(to, text.as_str()).await {
                    Ok(_) => println!("kept {text}"),
                    // Many are on their way: the other one is down.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                // The pace of a busy program; nothing waits for it.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        std::future::pending::<()>().await;
    });
}

struct Running {
    child: Child,
    /// When its first line came after its start.
    ready: Duration,
    id: String,
}

impl Running {
    /// Starts a node of this test; what it says is kept in `said`.
    fn start(role: &'static str, folder: &Path, to: Option<&str>, said: &Arc<Mutex<Vec<String>>>) -> Self {
        let begun = Instant::now();
        let mut command = Command::new(env::current_exe().expect("this test"));
        command.args(["child_role", "--exact", "--nocapture"]).env(ROLE, role).env(FOLDER, folder);
        if let Some(to) = to {
            command.env("P2PNODE_KILL_TO", to);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let id = lines.find_map(|line| Some(line.split_once("ready ")?.1.to_owned())).expect("it starts");
        let (ready, said) = (begun.elapsed(), said.clone());
        thread::spawn(move || {
            for line in lines {
                if let Some((_, text)) = line.split_once("kept ") {
                    said.lock().expect("not poisoned").push(text.to_owned());
                }
            }
        });
        Self { child, ready, id }
    }

    fn kill(&mut self) {
        self.child.kill().expect("it was there");
        self.child.wait().expect("it has ended");
    }
}

/// A test that fails leaves nothing behind: a child that lives on keeps the output of the tests open, and whoever reads
/// it to its end waits forever.
impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file(folder: &Path, role: &str) -> PathBuf {
    folder.join(role).join("data").join("default").join("node.db")
}

/// Text and state of what is in the outbox, how often each text is in the inbox.
fn read(folder: &Path) -> (BTreeMap<String, OutboxState>, BTreeMap<String, usize>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let text = |mail: &p2pnode::wire::mail::Mail| match mail.parts.first() {
            Some(p2pnode::wire::mail::Part::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let writer = Store::open_read_only(&file(folder, "writer")).expect("the outbox");
        let query = OutboxQuery { limit: usize::MAX, ..OutboxQuery::default() };
        let sent = writer.read(move |tables| tables.outbox(&query)).await.expect("it reads");
        let reader = Store::open_read_only(&file(folder, "reader")).expect("the inbox");
        let query = InboxQuery { limit: usize::MAX, ..InboxQuery::default() };
        let came = reader.read(move |tables| tables.inbox(&query)).await.expect("it reads");
        let mut inbox = BTreeMap::new();
        for row in came {
            *inbox.entry(text(&row.mail)).or_default() += 1;
        }
        (sent.iter().map(|row| (text(&row.mail), row.state)).collect(), inbox)
    })
}

fn cycles(count: usize) {
    let seed = env::var("P2PNODE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}: P2PNODE_SEED={seed} does the same");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut reader = Running::start("reader", folder.path(), None, &said);
    let to = reader.id.clone();
    let mut writer = Running::start("writer", folder.path(), Some(&to), &said);
    let mut slowest = Duration::ZERO;
    for _ in 0..count {
        // The moment of the kill is what is tried; nothing waits for this to be over.
        thread::sleep(Duration::from_millis(rng.random_range(20..600)));
        if rng.random_bool(0.5) {
            writer.kill();
            writer = Running::start("writer", folder.path(), Some(&to), &said);
            slowest = slowest.max(writer.ready);
        } else {
            reader.kill();
            reader = Running::start("reader", folder.path(), None, &said);
            slowest = slowest.max(reader.ready);
        }
    }
    writer.kill();
    let kept = said.lock().expect("not poisoned").clone();
    // What is left over is delivered by a writer that goes on.
    let deadline = Instant::now() + LIMIT;
    let mut writer = Running::start("writer", folder.path(), Some(&to), &said);
    let (sent, inbox) = loop {
        let (sent, inbox) = read(folder.path());
        let waiting = kept.iter().filter(|text| sent.get(*text) == Some(&OutboxState::Sent)).count();
        if waiting == 0 {
            break (sent, inbox);
        }
        assert!(Instant::now() < deadline, "{waiting} of {} still wait", kept.len());
        // The pace of looking; the deadline is above.
        thread::sleep(Duration::from_millis(100));
    };
    writer.kill();
    reader.kill();
    println!(
        "measured: {count} kills, {} messages accepted, {} in the inbox, slowest start {slowest:?}",
        kept.len(),
        inbox.len()
    );
    assert!(!kept.is_empty());
    for text in &kept {
        assert!(sent.contains_key(text), "{text} was accepted and is in no outbox");
        assert_eq!(inbox.get(text), Some(&1), "{text}: {:?}", sent[text]);
    }
    assert!(inbox.values().all(|times| *times == 1), "each once");
    for role in ["writer", "reader"] {
        let store = Store::open(&file(folder.path(), role), &Options::default()).expect("it opens");
        assert_eq!(store.verify(true).expect("it reads"), Vec::<String>::new(), "{role}");
    }
}

/// Not a test by itself: what the others start.
#[test]
fn child_role() {
    if let (Ok(role), Some(folder)) = (env::var(ROLE), env::var_os(FOLDER)) {
        child(&role, Path::new(&folder));
    }
}

#[test]
fn what_was_accepted_survives_kills_and_arrives_once() {
    cycles(12);
}

#[test]
#[ignore = "takes two minutes; run by .ci/long"]
fn what_was_accepted_survives_two_hundred_kills() {
    cycles(200);
}
