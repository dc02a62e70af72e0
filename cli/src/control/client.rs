//! The client's side of the control socket.

use std::{path::PathBuf, time::Duration};

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, client::conn::http1, header::ACCEPT};
use hyper_util::rt::TokioIo;
use p2pnode::{ErrorCode, Value, value::from_json};
use serde_json::Value as Json;
use tokio::net::UnixStream;

use super::{API, HEADER_API, HEADER_COMMAND, HEADER_TERMINAL, HEADER_TYPED, JSON, TERMINAL, about::About};
use crate::{
    error::{CliError, exit},
    output::Terminal,
};

/// Bytes of an answer that is read whole.
const ANSWER: usize = 16 * 1024 * 1024;

/// Bytes of one line of a stream: the largest result, escaped, and escaped again.
const LINE: usize = 64 * 1024 * 1024;

/// What was typed is told up to this length, for hints only.
const TYPED: usize = 4 * 1024;

/// Time for a request that needs no work.
const QUICK: Duration = Duration::from_secs(5);

/// Talks to the node behind one socket; a connection for each request.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    socket: PathBuf,
}

/// What a node tells a terminal.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// Data for stdout.
    Out(Vec<u8>),
    /// Talk for stderr.
    Err(Vec<u8>),
    /// Content of the file that was named.
    File(Vec<u8>),
    /// The end.
    Exit(u8),
}

impl Client {
    /// For the node that listens there.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// What the node says of itself; nothing if none listens.
    pub(crate) async fn about(&self) -> Result<Option<About>, CliError> {
        match self.quick(Method::GET, "/v1/healthz").await {
            Ok(answer) => Ok(serde_json::from_value(answer["data"].clone()).ok()),
            Err(error) if error.facts().code == "api_version" => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Asks the node to leave and end.
    pub(crate) async fn shut_down(&self) -> Result<Json, CliError> {
        self.quick(Method::POST, "/v1/shutdown").await
    }

    /// Cancels a command as a signal with this exit code would.
    pub(super) async fn cancel(&self, id: &str, code: u8) -> Result<Json, CliError> {
        self.quick(Method::DELETE, &format!("/v1/commands/{id}?exit={code}")).await
    }

    async fn quick(&self, method: Method, path: &str) -> Result<Json, CliError> {
        let answer = async {
            let request = self.request(method, path).header(ACCEPT, JSON).body(Full::default());
            read_object(self.send(request.map_err(|error| broken(&error))?).await?).await
        };
        tokio::time::timeout(QUICK, answer).await.unwrap_or_else(|_| Err(CliError::timeout(QUICK)))
    }

    /// Starts a command and returns what it tells, frame by frame.
    pub(super) async fn start(
        &self,
        verb: &str,
        body: String,
        id: &str,
        terminal: &Terminal,
        typed: &[String],
    ) -> Result<Frames, CliError> {
        let header = |value: &Json| crate::output::json::ascii(value);
        let mut request = self
            .request(Method::POST, &format!("/v1/{verb}"))
            .header(ACCEPT, TERMINAL)
            .header(HEADER_COMMAND, id)
            .header(HEADER_TERMINAL, header(&serde_json::json!(terminal)));
        let typed = header(&serde_json::json!(typed));
        if typed.len() <= TYPED {
            request = request.header(HEADER_TYPED, typed);
        }
        let response = self.send(request.body(body.into()).map_err(|error| broken(&error))?).await?;
        match response.headers().get("content-type").is_some_and(|kind| kind == TERMINAL) {
            true => Ok(Frames { body: response.into_body(), buffer: Vec::new(), searched: 0 }),
            false => Err(match read_object(response).await {
                Ok(_) => CliError::internal("the node has answered with something else"),
                Err(error) => error,
            }),
        }
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        Request::builder().method(method).uri(path).header("host", "p2pnode").header(HEADER_API, API)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CliError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| gone(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| gone(&error))?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| gone(&error))
    }
}

/// Frames of one command, as they come. Dropped, the command ends.
#[derive(Debug)]
pub(super) struct Frames {
    body: Incoming,
    buffer: Vec<u8>,
    /// So many bytes of it hold no end of a line.
    searched: usize,
}

impl Frames {
    /// The next one. The node does not go before the exit, unless something is wrong with it.
    pub(super) async fn next(&mut self) -> Result<Frame, CliError> {
        loop {
            let fresh = &self.buffer[self.searched..];
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=self.searched + end).collect();
                self.searched = 0;
                return frame(&line);
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LINE {
                return Err(CliError::internal("the node sends a line without an end"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(gone(&error)),
                None => return Err(gone(&"it ended")),
            }
        }
    }
}

fn frame(line: &[u8]) -> Result<Frame, CliError> {
    let strange = || CliError::internal("the node sends something else than frames");
    let Ok(Json::Object(frame)) = serde_json::from_slice(line) else { return Err(strange()) };
    let bytes = |value: &Json| match from_json(value) {
        Value::String(text) => text.into_bytes(),
        Value::Binary(bytes) => bytes,
        _ => Vec::new(),
    };
    match frame.iter().next() {
        Some((kind, value)) if kind == "out" => Ok(Frame::Out(bytes(value))),
        Some((kind, value)) if kind == "err" => Ok(Frame::Err(bytes(value))),
        Some((kind, value)) if kind == "file" => Ok(Frame::File(bytes(value))),
        Some((kind, value)) if kind == "exit" => {
            value.as_u64().and_then(|code| u8::try_from(code).ok()).map(Frame::Exit).ok_or_else(strange)
        }
        _ => Err(strange()),
    }
}

/// The object of an answer, or the error in it.
pub(crate) async fn read_object(response: Response<Incoming>) -> Result<Json, CliError> {
    let status = response.status();
    let limited = http_body_util::Limited::new(response.into_body(), ANSWER).collect().await;
    let bytes = limited.map_err(|error| gone(&error))?.to_bytes();
    let object: Json = serde_json::from_slice(&bytes).unwrap_or_default();
    match object["ok"].as_bool() {
        Some(true) => Ok(object),
        Some(false) if status == StatusCode::UPGRADE_REQUIRED => Err(other_version(&object)),
        Some(false) => Err(CliError::from_json(&object["error"])),
        None => Err(CliError::internal(format!("the node has answered {status} and no JSON of ours"))),
    }
}

/// The node was started by another version of the program.
fn other_version(object: &Json) -> CliError {
    let (theirs, ours) = (&object["error"]["details"]["version"], env!("CARGO_PKG_VERSION"));
    let theirs = theirs.as_str().unwrap_or("of another version");
    let message = format!("the running node is {}, this is {ours}: restart it", crate::output::escape_line(theirs));
    CliError::new("api_version", exit::CONFLICT, message)
        .maybe("p2pnode was updated while the node ran")
        .try_also("p2pnode down", "then start it again")
        .try_also(crate::output::render::again("--ephemeral", ""), "without the running node")
}

fn gone(why: &impl std::fmt::Display) -> CliError {
    CliError::of(ErrorCode::AgentUnavailable, format!("the running node has gone: {why}"))
        .try_also("p2pnode status", "whether it runs")
}

fn broken(error: &hyper::http::Error) -> CliError {
    CliError::internal(format!("no request can be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read() {
        assert_eq!(frame(b"{\"out\":\"a\\n\"}\n").unwrap(), Frame::Out(b"a\n".to_vec()));
        assert_eq!(frame(b"{\"out\":{\"$bin\":\"/w==\"}}\n").unwrap(), Frame::Out(vec![255]));
        assert_eq!(frame(b"{\"err\":\"x\"}\n").unwrap(), Frame::Err(b"x".to_vec()));
        assert_eq!(frame(b"{\"exit\":130}\n").unwrap(), Frame::Exit(130));
        for strange in [&b"{}"[..], b"nonsense", b"{\"exit\":300}", b"{\"exit\":\"x\"}", b"[1]"] {
            assert!(frame(strange).is_err());
        }
    }

    #[test]
    fn another_version_is_told_with_both() {
        let object = serde_json::json!({"ok": false, "error": {"details": {"version": "9.9.9"}}});
        let error = other_version(&object);
        assert!(error.facts().message.contains("is 9.9.9, this is"), "{error}");
        assert_eq!(error.exit(), 8);
    }
}
