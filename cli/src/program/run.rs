//! One run of a program, from its start to its end, however that comes.

use std::{io, os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{Limits, NOT_ME, Program, child::Child, child::Pipes, pump};

/// Progress lines that wait for their reader; after that the program waits.
const PROGRESS: usize = 16;

/// What is still in the pipes when a program has ended is there at once, unless something holds them open.
const DRAIN: Duration = Duration::from_millis(200);

/// What one run needs.
#[derive(Debug, Default)]
pub(crate) struct Job {
    /// Bytes for stdin.
    pub(crate) stdin: Vec<u8>,
    /// Our own variables.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Not later than this.
    pub(crate) deadline: Option<Instant>,
    /// Takes each line of stdout as it comes; nothing of it is kept, and the program waits for who reads slowly.
    pub(crate) items: Option<mpsc::Sender<Vec<u8>>>,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Exit 0, with what was printed.
    Done(Vec<u8>),
    /// Exit 75: not me.
    Declined,
    /// Any other end of its own, in words, with the last of stderr.
    Failed(String, String),
    /// More output than allowed.
    TooMuch(usize),
    /// Out of time.
    Late(Duration),
    /// Nobody wants the result any more.
    Cancelled,
    /// No free slot.
    Busy,
    /// It could not be started.
    NotStarted(String),
}

/// A run that goes on beside its owner. Dropping it cancels the run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Resolves when the program has been started.
    pub(crate) started: oneshot::Receiver<()>,
    /// Lines from descriptor 3.
    pub(crate) progress: mpsc::Receiver<String>,
    /// The end.
    pub(crate) end: End,
}

/// The end of a run that is still to come.
#[derive(Debug)]
pub(crate) struct End {
    task: JoinHandle<Ended>,
    cancel: Option<oneshot::Sender<()>>,
}

impl End {
    /// Waits for the end. Cancel safe, but must not be called again once it has resolved.
    pub(crate) async fn reached(&mut self) -> Ended {
        (&mut self.task).await.unwrap_or_else(|_| Ended::NotStarted("the runner has gone".to_owned()))
    }

    /// Asks the program to end and waits until it has.
    pub(crate) async fn hurry(&mut self) -> Ended {
        self.cancel = None;
        self.reached().await
    }
}

impl Program {
    /// Starts a run; it may have to wait for a free slot first.
    pub(crate) fn start(&self, job: Job) -> Run {
        let (cancel, cancelled) = oneshot::channel();
        let (tell_start, started) = oneshot::channel();
        let (lines, progress) = mpsc::channel(PROGRESS);
        let task = tokio::spawn(self.clone().run(job, cancelled, tell_start, lines));
        Run { started, progress, end: End { task, cancel: Some(cancel) } }
    }

    async fn run(
        self,
        job: Job,
        mut cancelled: oneshot::Receiver<()>,
        started: oneshot::Sender<()>,
        lines: mpsc::Sender<String>,
    ) -> Ended {
        let slot = timeout(self.limits.queue, self.slots.clone().acquire_owned());
        let _slot = tokio::select! {
            slot = slot => match slot { Ok(Ok(slot)) => slot, _ => return Ended::Busy },
            _ = &mut cancelled => return Ended::Cancelled,
        };
        let latest = Instant::now() + self.limits.time;
        let deadline = job.deadline.map_or(latest, |deadline| deadline.min(latest));
        let (child, pipes) = match Child::spawn(&self.argv, &self.env_allow, &job.variables, &self.limits) {
            Ok(spawned) => spawned,
            Err(error) => return Ended::NotStarted(self.why_not(&error)),
        };
        let _ = started.send(());
        let out = match job.items {
            Some(items) => Out::Items(items),
            None if self.stream => Out::Told,
            None => Out::Kept,
        };
        let streams = Streams::open(pipes, job.stdin, lines, &self.limits, out);
        supervise(child, streams, deadline, cancelled, &self.limits).await
    }

    fn why_not(&self, error: &io::Error) -> String {
        format!("cannot run {}: {error}", self.argv.first().map_or("", String::as_str))
    }
}

/// What becomes of stdout.
enum Out {
    /// All of it is the result.
    Kept,
    /// The same, and each line is told as progress.
    Told,
    /// Each line is an item.
    Items(mpsc::Sender<Vec<u8>>),
}

/// The tasks at a program's pipes.
struct Streams {
    /// The last lines of stdout leave when their reader takes them, also after the program has ended.
    patient: bool,
    stdout: JoinHandle<Option<Vec<u8>>>,
    stderr: JoinHandle<Vec<u8>>,
    lines: JoinHandle<()>,
    stdin: JoinHandle<()>,
}

impl Streams {
    fn open(pipes: Pipes, stdin: Vec<u8>, lines: mpsc::Sender<String>, limits: &Limits, out: Out) -> Self {
        let (told, output) = (lines.clone(), limits.output);
        Self {
            patient: matches!(out, Out::Items(_)),
            stdout: tokio::spawn(async move {
                match out {
                    Out::Kept => {
                        drop(told);
                        pump::all(pipes.stdout, output).await
                    }
                    Out::Told => pump::tee(pipes.stdout, output, told).await,
                    Out::Items(items) => {
                        drop(told);
                        pump::items(pipes.stdout, output, items).await
                    }
                }
            }),
            stderr: tokio::spawn(pump::tail(pipes.stderr, limits.stderr)),
            lines: tokio::spawn(pump::lines(pipes.progress, lines)),
            stdin: tokio::spawn(pump::feed(pipes.stdin, stdin)),
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stdout.abort();
        self.stderr.abort();
        self.lines.abort();
        self.stdin.abort();
    }
}

/// Why a run ends.
enum Cause {
    Itself,
    TooMuch,
    Late,
    Cancelled,
}

async fn supervise(
    mut child: Child,
    mut streams: Streams,
    deadline: Instant,
    mut cancelled: oneshot::Receiver<()>,
    limits: &Limits,
) -> Ended {
    let started = Instant::now();
    let mut stdout = None;
    let cause = loop {
        tokio::select! {
            () = child.ended() => break Cause::Itself,
            () = sleep_until(deadline) => break Cause::Late,
            _ = &mut cancelled => break Cause::Cancelled,
            output = &mut streams.stdout, if stdout.is_none() => match output {
                Ok(Some(output)) => stdout = Some(output),
                _ => break Cause::TooMuch,
            },
        }
    };
    if matches!(cause, Cause::Late | Cause::Cancelled) {
        child.terminate();
        let _ = timeout(limits.grace, child.ended()).await;
    }
    let status = child.reap().await;
    if matches!(cause, Cause::Itself) && streams.patient && stdout.is_none() {
        tokio::select! {
            output = &mut streams.stdout => stdout = output.ok().flatten(),
            () = sleep_until(deadline) => return Ended::Late(started.elapsed()),
            _ = &mut cancelled => return Ended::Cancelled,
        }
        if stdout.is_none() {
            return Ended::TooMuch(limits.output);
        }
    }
    match cause {
        Cause::TooMuch => Ended::TooMuch(limits.output),
        Cause::Late => Ended::Late(started.elapsed()),
        Cause::Cancelled => Ended::Cancelled,
        Cause::Itself => conclude(status, stdout, streams, limits).await,
    }
}

/// A program that ended by itself: its exit code and what it left in its pipes.
async fn conclude(
    status: io::Result<ExitStatus>,
    stdout: Option<Vec<u8>>,
    mut streams: Streams,
    limits: &Limits,
) -> Ended {
    // What was said last on descriptor 3 may still be in the pipe.
    let _ = timeout(DRAIN, &mut streams.lines).await;
    let output = match stdout {
        Some(output) => Some(Some(output)),
        None => timeout(DRAIN, &mut streams.stdout).await.ok().and_then(Result::ok),
    };
    // We stop reading then, and that may be what killed it.
    if output == Some(None) {
        return Ended::TooMuch(limits.output);
    }
    match (status, output.flatten()) {
        (Ok(status), Some(output)) if status.success() => Ended::Done(output),
        (Ok(status), None) if status.success() => {
            Ended::Failed("something it started keeps its output open".to_owned(), String::new())
        }
        (Ok(status), _) if status.code() == Some(NOT_ME) => Ended::Declined,
        (Ok(status), _) => Ended::Failed(in_words(status), stderr(&mut streams).await),
        (Err(error), _) => Ended::Failed(format!("its end is unknown: {error}"), String::new()),
    }
}

async fn stderr(streams: &mut Streams) -> String {
    let bytes = timeout(DRAIN, &mut streams.stderr).await.map(Result::unwrap_or_default).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}
