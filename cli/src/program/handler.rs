//! Programs as handlers of endpoints and questions.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use p2pnode::{
    Arguments, Ask, AskHandler, Context, DynHandler, DynStreamHandler, ErrorCode, HandlerError, Outlet, Value,
    wire::msgpack,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Ended, Job, Program, Run, input};
use crate::output::{escape_line, render::seconds};

/// A program that still runs after this long means to answer.
const WADES_IN: Duration = Duration::from_millis(300);

/// Lines of stderr that go into an error, and signs of each.
const ERROR_LINES: usize = 3;
const ERROR_SIGNS: usize = 200;

/// Lines that wait for the caller to take them; after that the program waits.
const LINES: usize = 16;

/// When a caller that found no free slot should come back.
const COME_BACK: Duration = Duration::from_secs(1);

/// Serves an endpoint with a program.
#[derive(Debug)]
pub(crate) struct Serves(pub(crate) Arc<Program>);

impl DynHandler for Serves {
    fn call(&self, cx: Context, args: Arguments) -> BoxFuture<'static, Result<bytes::Bytes, HandlerError>> {
        let program = self.0.clone();
        async move {
            let mut run = program.start(job(&cx, &args)?);
            if cx.is_broadcast() {
                let value = value(follow(&Audience::Broadcast(&cx), run).await, false)?;
                cx.ack().await?;
                return Ok(msgpack::encode(&value).into());
            }
            // Nobody hears the progress of a call.
            run.progress.close();
            let ended = tokio::select! {
                ended = run.end.reached() => ended,
                () = cx.cancelled() => run.end.hurry().await,
            };
            Ok(msgpack::encode(&value(ended, false)?).into())
        }
        .boxed()
    }
}

fn job(cx: &Context, args: &Arguments) -> Result<Job, HandlerError> {
    let stdin = input::stdin(&args.positional()?, &args.named()?);
    let deadline = Some(Instant::from_std(cx.deadline));
    Ok(Job { stdin, variables: of_call(cx), deadline, items: None })
}

/// Serves an endpoint with a program whose lines are the items of the result.
#[derive(Debug)]
pub(crate) struct Streams(pub(crate) Arc<Program>);

impl DynStreamHandler for Streams {
    fn stream(&self, cx: Context, args: Arguments, mut items: Outlet) -> BoxFuture<'static, Result<(), HandlerError>> {
        let program = self.0.clone();
        async move {
            let mut job = job(&cx, &args)?;
            if cx.is_broadcast() {
                // Told as progress; the list in the end.
                let ended = follow(&Audience::Broadcast(&cx), program.start(job)).await;
                let Value::Array(all) = value(ended, true)? else { return Ok(()) };
                cx.ack().await?;
                for item in all {
                    items.send(msgpack::encode(&item).into()).await?;
                }
                return Ok(());
            }
            let (to, mut lines) = mpsc::channel(LINES);
            job.items = Some(to);
            let mut run = program.start(job);
            // Nobody hears the progress of a call.
            run.progress.close();
            while let Some(line) = lines.recv().await {
                // Who takes no more has cancelled; then the node drops this, and that ends the program.
                items.send(msgpack::encode(&input::result(line)).into()).await?;
            }
            value(run.end.reached().await, true).map(drop)
        }
        .boxed()
    }
}

/// Answers questions with a program.
#[derive(Debug)]
pub(crate) struct Answers(pub(crate) Arc<Program>);

impl AskHandler for Answers {
    fn ask(&self, cx: Ask, task: String) -> BoxFuture<'static, Result<Value, HandlerError>> {
        let job = Job { stdin: input::question(task, &cx.context), variables: of_ask(&cx), ..Job::default() };
        let (run, stream) = (self.0.start(job), self.0.stream);
        async move {
            let value = value(follow(&Audience::Ask(&cx), run).await, stream)?;
            // Before the reply; never before a decline.
            cx.ack().await?;
            Ok(value)
        }
        .boxed()
    }
}

/// Who hears of acks and progress.
enum Audience<'a> {
    Ask(&'a Ask),
    Broadcast(&'a Context),
}

impl Audience<'_> {
    /// Who cannot be reached is noticed when the node cancels; until then the work goes on.
    async fn ack(&self) {
        let _ = match self {
            Self::Ask(cx) => cx.ack().await,
            Self::Broadcast(cx) => cx.ack().await,
        };
    }

    async fn progress(&self, line: String) {
        let _ = match self {
            Self::Ask(cx) => cx.progress(line).await,
            Self::Broadcast(cx) => cx.progress(line).await,
        };
    }

    async fn cancelled(&self) {
        match self {
            Self::Ask(cx) => cx.cancelled().await,
            Self::Broadcast(cx) => cx.cancelled().await,
        }
    }
}

/// Passes progress on, and acks as soon as the program shows that it means to answer.
async fn follow(cx: &Audience<'_>, run: Run) -> Ended {
    let Run { mut started, mut progress, mut end } = run;
    let mut wades_in = None;
    let (mut starting, mut talking) = (true, true);
    loop {
        tokio::select! {
            biased;
            line = progress.recv(), if talking => match line {
                Some(line) => { cx.progress(line).await; wades_in = None; }
                None => talking = false,
            },
            ended = end.reached() => return ended,
            now = &mut started, if starting => {
                starting = false;
                wades_in = now.is_ok().then(|| Instant::now() + WADES_IN);
            }
            () = at(wades_in) => { cx.ack().await; wades_in = None; }
            () = cx.cancelled() => return end.hurry().await,
        }
    }
}

/// Never, if there is no such moment.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The result, or what the caller is told instead.
pub(super) fn value(ended: Ended, stream: bool) -> Result<Value, HandlerError> {
    Err(match ended {
        Ended::Done(stdout) if stream => return Ok(input::items(&stdout)),
        Ended::Done(stdout) => return Ok(input::result(stdout)),
        Ended::Declined => HandlerError::decline(),
        Ended::Failed(how, stderr) => HandlerError::code(ErrorCode::HandlerFailed, failure(&how, &stderr)),
        Ended::TooMuch(most) => {
            HandlerError::code(ErrorCode::TooLarge, format!("the program printed more than {most} bytes"))
        }
        Ended::Late(after) => {
            HandlerError::code(ErrorCode::HandlerFailed, format!("the program was stopped after {}", seconds(after)))
        }
        Ended::Cancelled => HandlerError::code(ErrorCode::HandlerFailed, "cancelled"),
        Ended::Busy => {
            let mut error = HandlerError::code(ErrorCode::Overloaded, "too many programs run here already");
            error.retry_after = Some(COME_BACK);
            error
        }
        Ended::NotStarted(why) => HandlerError::code(ErrorCode::HandlerFailed, why),
    })
}

/// `pytest: not found (exit 127)`.
fn failure(how: &str, stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(ERROR_LINES));
    let last: Vec<String> = last.map(|line| escape_line(line).chars().take(ERROR_SIGNS).collect()).collect();
    match last.is_empty() {
        true => how.to_owned(),
        false => format!("{} ({how})", last.join("; ")),
    }
}

fn of_call(cx: &Context) -> Vec<(&'static str, String)> {
    let swarm = cx.swarm.clone().unwrap_or_default();
    let mut variables = common(&cx.caller, &swarm, cx.trace.as_deref());
    variables.push(("P2PNODE_ENDPOINT", cx.endpoint.to_string()));
    if let Some(conversation) = cx.conversation() {
        variables.push(("P2PNODE_CONVERSATION", conversation.to_string()));
    }
    variables
}

fn of_ask(cx: &Ask) -> Vec<(&'static str, String)> {
    let mut variables = common(&cx.from, &cx.swarm, cx.trace.as_deref());
    variables.push(("P2PNODE_ENDPOINT", "ask".to_owned()));
    variables.push(("P2PNODE_CONVERSATION", cx.conversation.to_string()));
    variables
}

/// Names are foreign text: what could steer a terminal that a program logs to is spelled out.
fn common(caller: &p2pnode::PeerRef, swarm: &str, trace: Option<&str>) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("P2PNODE_CALLER", caller.id.to_string()),
        ("P2PNODE_CALLER_NAME", escape_line(&caller.name).into_owned()),
        ("P2PNODE_SWARM", swarm.to_owned()),
    ];
    if let Some(trace) = trace {
        variables.push(("P2PNODE_TRACE", escape_line(trace).into_owned()));
    }
    variables
}

#[cfg(test)]
mod tests;
