//! Programs behind a real node, asked and called by another one.
#![cfg(target_os = "linux")]

use std::{fs, path::Path};

use futures::StreamExt as _;
use p2pnode::{AskEvent, Endpoint, Node, Paths, RpcError, presets};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::*;

const SCRIPT: &str = r#"
task=$(cat)
case "$task" in
  decline) exit 75 ;;
  'late decline') sleep 0.6; exit 75 ;;
  fail) echo 'pytest: not found' >&2; exit 127 ;;
  slow) sleep 0.8 ;;
  progress) echo 'reading 14 files' >&3; sleep 0.05 ;;
  hang) echo $$ >"$0.pid"; sleep 300 ;;
esac
printf '%s by %s in %s: %s' "$task" "$P2PNODE_CALLER_NAME" "$P2PNODE_SWARM" "$P2PNODE_ENDPOINT"
"#;

/// Two nodes of this host, one with a program behind it.
struct Pair {
    folder: TempDir,
    serving: Node,
    asking: Node,
}

impl Pair {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script.sh");
        fs::write(&script, SCRIPT).unwrap();
        let program =
            Program::parse("--ask", &format!("sh {}", script.display()), Arc::new(Semaphore::new(4))).unwrap();
        let program = Arc::new(program);
        let paths = Paths::in_folder(folder.path()).unwrap();
        let builder = Node::builder(presets::Loopback).paths(paths.clone()).swarm("t").name("serving");
        let builder = builder.ask_dyn(Arc::new(Answers(program.clone())));
        let serving = builder.endpoint_dyn(Endpoint::new("run"), Arc::new(Serves(program))).start().await.unwrap();
        let asking = Node::builder(presets::Command).mdns(false).paths(paths).swarm("t").name("asking").start().await;
        let asking = asking.unwrap();
        // Programs are told the caller's name: whoever calls must have introduced itself.
        let knows = |node: &Node, name: &'static str| {
            let node = node.clone();
            async move { node.wait_until(Duration::from_secs(10), |peers| peers.iter().any(|p| p.name == name)).await }
        };
        assert!(knows(&asking, "serving").await && knows(&serving, "asking").await);
        Self { folder, serving, asking }
    }

    /// What comes back, in words, with when it came.
    async fn ask(&self, text: &str) -> Vec<(String, Duration)> {
        let mut asked = self.asking.ask("t", text).await.unwrap();
        let mut told = Vec::new();
        while let Some(event) = asked.next().await {
            told.push(match event {
                AskEvent::Ack { elapsed, .. } => ("ack".to_owned(), elapsed),
                AskEvent::Progress { text, elapsed, .. } => (format!("progress {text}"), elapsed),
                AskEvent::Reply { result, elapsed, .. } => (result.as_str().unwrap().to_owned(), elapsed),
                AskEvent::Failed { error, elapsed, .. } => (format!("failed {}", error.message), elapsed),
                AskEvent::Declined { elapsed, .. } => ("declined".to_owned(), elapsed),
                _ => continue,
            });
        }
        told
    }

    async fn call(&self, argument: &str) -> Result<String, RpcError> {
        let called = self.asking.call::<String>("serving", "run", (argument,)).await;
        called.map_err(|error| error.remote().unwrap().clone())
    }

    async fn stop(self) {
        self.asking.shutdown().await;
        self.serving.shutdown().await;
    }
}

fn words(told: &[(String, Duration)]) -> Vec<&str> {
    told.iter().map(|(word, _)| word.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_acked_when_the_program_means_to_answer() {
    let pair = Pair::start().await;
    let told = pair.ask("quick").await;
    assert_eq!(words(&told), ["ack", "quick by asking in t: ask"]);
    assert_eq!(words(&pair.ask("progress").await)[..2], ["ack", "progress reading 14 files"]);
    let told = pair.ask("slow").await;
    assert_eq!(words(&told), ["ack", "slow by asking in t: ask"]);
    let apart = told[1].1 - told[0].1;
    assert!(apart > Duration::from_millis(300), "acked at {:?}, replied at {:?}", told[0].1, told[1].1);
    assert_eq!(words(&pair.ask("decline").await), ["declined"], "no ack before a decline");
    assert_eq!(words(&pair.ask("late decline").await), ["ack", "declined"]);
    assert_eq!(words(&pair.ask("fail").await), ["failed pytest: not found (exit 127)"]);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_behind_an_endpoint() {
    let pair = Pair::start().await;
    assert_eq!(pair.call("--flag").await.unwrap(), "--flag by asking in t: run");
    let error = pair.call("fail").await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::HandlerFailed, "pytest: not found (exit 127)"));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_any_more_is_stopped() {
    let pair = Pair::start().await;
    let file = pair.folder.path().join("script.sh.pid");
    let asked = pair.asking.ask("t", "hang").await.unwrap();
    let pid = eventually(|| fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))).await;
    let process = format!("/proc/{}/stat", pid.trim());
    assert!(Path::new(&process).exists());
    drop(asked);
    eventually(|| fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z ")).then_some(())).await;
    pair.stop().await;
}

async fn eventually<T>(look: impl Fn() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it has not happened within five seconds")
}

#[test]
fn failures_say_why_first() {
    assert_eq!(failure("exit 127", "pytest: not found\n"), "pytest: not found (exit 127)");
    assert_eq!(failure("exit 1", " \n"), "exit 1");
    assert_eq!(failure("exit 1", "1\n2\n\n3\n4\n"), "2; 3; 4 (exit 1)");
    assert_eq!(failure("exit 1", "\u{1b}[31mred"), "\\u{1b}[31mred (exit 1)");
    assert_eq!(failure("exit 1", &"x".repeat(900)).len(), ERROR_SIGNS + " (exit 1)".len());
}
