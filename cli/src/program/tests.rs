//! Real scripts in real process groups, looked at through `/proc`.
#![cfg(target_os = "linux")]

use std::{fs, time::Instant};

use tempfile::TempDir;
use tokio::time::Instant as TokioInstant;

use super::*;

/// A folder with a script, run by `sh`: no race with "text file busy".
struct Script {
    folder: TempDir,
    program: Program,
}

impl Script {
    fn new(text: &str) -> Self {
        Self::with(text, Limits { grace: Duration::from_millis(300), ..Limits::default() })
    }

    fn with(text: &str, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script with space.sh");
        fs::write(&file, text).unwrap();
        let command = format!("sh '{}' fixed argument", file.display());
        let mut program = Program::parse("--ask", &command, Arc::new(Semaphore::new(AT_ONCE))).unwrap();
        program.limits = limits;
        Self { folder, program }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn run(&self, stdin: &[u8]) -> Ended {
        self.start(stdin).end.reached().await
    }

    fn start(&self, stdin: &[u8]) -> Run {
        let out = self.folder.path().to_string_lossy().into_owned();
        let variables = vec![("P2PNODE_CALLER_NAME", "a name\0 $(id)".to_owned()), ("P2PNODE_OUT", out)];
        self.program.start(Job { stdin: stdin.to_vec(), variables, ..Job::default() })
    }

    /// Waits until the script has written this file, and returns what is in it.
    async fn written(&self, name: &str) -> String {
        let path = self.path(name);
        for _ in 0..500 {
            match fs::read_to_string(&path) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("{} was not written", path.display());
    }
}

fn done(text: &str) -> Ended {
    Ended::Done(text.as_bytes().to_vec())
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn gone(pid: &str) {
    for _ in 0..200 {
        if !lives(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("process {pid} still lives");
}

#[tokio::test]
async fn stdin_to_stdout() {
    assert_eq!(Script::new("cat").run(b"task\n").await, done("task\n"));
}

#[tokio::test]
async fn a_program_need_not_read_its_input() {
    assert_eq!(Script::new("echo done").run(&vec![b'x'; 1 << 20]).await, done("done\n"));
}

/// Row 42 of the limits: 300 payloads, and the arguments stay what the owner typed.
#[tokio::test]
async fn payloads_never_reach_the_arguments() {
    let script = Script::new("cat >/dev/null; printf '%s|' \"$@\" \"$#\"");
    let parts = [
        "$(touch pwned)",
        "; touch pwned",
        "--flag",
        "-",
        "\0",
        "\n",
        "`touch pwned`",
        "' \" \\",
        "\u{1b}[2J",
        "| sh",
        "%s%n",
        "日本",
    ];
    for number in 0..300 {
        let (first, second) = (parts[number % parts.len()], parts[number / parts.len() % parts.len()]);
        let payload = format!("{first}{second}{first}");
        assert_eq!(script.run(payload.as_bytes()).await, done("fixed|argument|2|"), "{payload:?}");
    }
    assert!(!Path::new("pwned").exists() && !script.path("pwned").exists());
}

#[tokio::test]
async fn the_environment_is_an_allow_list() {
    let Ended::Done(output) = Script::new("env").run(b"").await else { panic!("failed") };
    let text = String::from_utf8(output).unwrap();
    for line in text.lines() {
        let name = line.split('=').next().unwrap();
        let known = ENVIRONMENT.contains(&name) || name.starts_with("LC_") || name.starts_with("P2PNODE_");
        assert!(known || ["PWD", "OLDPWD", "SHLVL", "_"].contains(&name), "{line}: sh itself sets only the last four");
    }
    assert!(text.contains("P2PNODE_CALLER_NAME=a name $(id)"), "{text}");
    assert!(!text.contains("CARGO_"), "{text}");
}

#[test]
fn names_that_pass_the_list() {
    let all =
        [("PATH", "/bin"), ("LC_ALL", "C"), ("AWS_SECRET_ACCESS_KEY", "x"), ("P2PNODE_HOME", "/x"), ("HOMEX", "x")];
    let kept = environment(all.into_iter().map(|(name, value)| (name.into(), value.into())), &[]);
    assert_eq!(kept, [("PATH".into(), "/bin".into()), ("LC_ALL".into(), "C".into())]);
}

#[tokio::test]
async fn exit_codes_speak() {
    assert_eq!(Script::new("echo no; exit 75").run(b"").await, Ended::Declined);
    let failed = Script::new("echo out; echo 'pytest: not found' >&2; exit 127").run(b"").await;
    assert_eq!(failed, Ended::Failed("exit 127".into(), "pytest: not found\n".into()));
    let killed = Script::new("kill -9 $$").run(b"").await;
    assert_eq!(killed, Ended::Failed("killed by signal 9".into(), String::new()));
}

#[tokio::test]
async fn lines_on_descriptor_three_are_progress() {
    let script = Script::new("echo 'reading 14 files' >&3; echo writing >&3; echo result");
    let mut run = script.start(b"");
    let mut lines = Vec::new();
    while let Some(line) = run.progress.recv().await {
        lines.push(line);
    }
    assert_eq!(lines, ["reading 14 files", "writing"]);
    assert_eq!(run.end.reached().await, done("result\n"));
}

#[tokio::test]
async fn progress_nobody_reads_does_not_hurt() {
    let script = Script::new("i=0; while [ $i -lt 100 ]; do echo line $i >&3 || exit 1; i=$((i+1)); done; echo result");
    let mut run = script.start(b"");
    run.progress.close();
    assert_eq!(run.end.reached().await, done("result\n"));
}

#[tokio::test]
async fn endless_output_is_stopped_soon() {
    let started = Instant::now();
    let script = Script::new("exec yes");
    assert_eq!(script.run(b"").await, Ended::TooMuch(1024 * 1024));
    let background = Script::new("sleep 300 & echo $! >\"$P2PNODE_OUT/pid\"; yes & yes & wait");
    assert_eq!(background.run(b"").await, Ended::TooMuch(1024 * 1024));
    gone(&background.written("pid").await).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_megabyte_is_not_too_much() {
    let limits = Limits::default();
    let script = Script::with("head -c 1048576 /dev/zero", limits);
    assert_eq!(script.run(b"").await, Ended::Done(vec![0; 1024 * 1024]));
    let script = Script::with("head -c 1048577 /dev/zero", limits);
    assert_eq!(script.run(b"").await, Ended::TooMuch(1024 * 1024));
}

#[tokio::test]
async fn the_end_of_long_errors_is_kept() {
    let script = Script::new("head -c 300000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 3");
    let Ended::Failed(how, stderr) = script.run(b"").await else { panic!("did not fail") };
    assert_eq!((how.as_str(), stderr.len()), ("exit 3", 64 * 1024));
    assert!(stderr.ends_with("the end\n"));
}

#[tokio::test]
async fn cancel_takes_the_whole_group() {
    let text = "trap 'echo term >\"$P2PNODE_OUT/term\"; exit 1' TERM
        sleep 300 & echo $! >\"$P2PNODE_OUT/child\"
        wait";
    let script = Script::new(text);
    let mut run = script.start(b"");
    let child = script.written("child").await;
    assert!(lives(&child));
    assert_eq!(run.end.hurry().await, Ended::Cancelled);
    gone(&child).await;
    assert_eq!(script.written("term").await, "term", "it was asked before it was killed");
}

#[tokio::test]
async fn who_ignores_term_is_killed_after_the_grace() {
    let script = Script::new("trap '' TERM; echo $$ >\"$P2PNODE_OUT/pid\"; while :; do sleep 0.05; done");
    let mut run = script.start(b"");
    let pid = script.written("pid").await;
    let started = Instant::now();
    assert_eq!(run.end.hurry().await, Ended::Cancelled);
    gone(&pid).await;
    assert!(started.elapsed() >= Duration::from_millis(250) && started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn dropping_a_run_ends_the_program() {
    let script = Script::new("echo $$ >\"$P2PNODE_OUT/pid\"; sleep 300");
    let run = script.start(b"");
    let pid = script.written("pid").await;
    drop(run);
    gone(&pid).await;
}

#[tokio::test]
async fn background_children_end_with_the_program() {
    let script = Script::new("for i in 1 2 3 4 5; do sleep 300 & done; echo $! >\"$P2PNODE_OUT/child\"; echo result");
    let started = Instant::now();
    assert_eq!(script.run(b"").await, done("result\n"));
    assert!(started.elapsed() < Duration::from_secs(5), "open pipes of children must not hold up the result");
    gone(&script.written("child").await).await;
}

#[tokio::test]
async fn the_deadline_of_the_caller_counts() {
    let script = Script::new("sleep 300");
    let deadline = Some(TokioInstant::now() + Duration::from_millis(200));
    let mut run = script.program.start(Job { deadline, ..Job::default() });
    assert!(matches!(run.end.reached().await, Ended::Late(after) if after < Duration::from_secs(2)));
}

#[tokio::test]
async fn our_own_deadline_counts_too() {
    let limits = Limits { time: Duration::from_millis(200), grace: Duration::from_millis(100), ..Limits::default() };
    assert!(matches!(Script::with("sleep 300", limits).run(b"").await, Ended::Late(_)));
}

#[tokio::test]
async fn four_at_once_the_fifth_is_told() {
    let limits = Limits { queue: Duration::from_millis(200), ..Limits::default() };
    let script = Script::with("sleep 300", limits);
    let mut runs: Vec<Run> = (0..4).map(|_| script.start(b"")).collect();
    for run in &mut runs {
        (&mut run.started).await.unwrap();
    }
    assert_eq!(script.run(b"").await, Ended::Busy);
    drop(runs);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_and_files_are_bounded() {
    // The bounds are set from outside just after the start.
    let Ended::Done(output) = Script::new("sleep 0.2; ulimit -n; ulimit -d").run(b"").await else { panic!("failed") };
    assert_eq!(String::from_utf8(output).unwrap(), "256\n1048576\n");
}

#[test]
fn commands_are_checked_when_they_are_given() {
    let slots = || Arc::new(Semaphore::new(1));
    let parse = |command: &str| Program::parse("--ask", command, slots());
    assert_eq!(parse("sh -c 'echo $HOME'").unwrap().argv, ["sh", "-c", "echo $HOME"]);
    for (command, part) in [
        ("", "the command is empty"),
        ("''", "the command is empty"),
        ("sh 'open", "a quote is not closed"),
        ("no-such-program-here x", "no program \"no-such-program-here\""),
        ("./no/such/file", "no program \"./no/such/file\""),
        ("/", "no program \"/\""),
    ] {
        let error = parse(command).unwrap_err();
        assert!(error.facts().message.contains(part), "{command}: {error}");
        assert_eq!(error.exit(), 2);
    }
}
