//! What a command tells, as the response of a request.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use futures::stream;
use serde_json::{Value, json};

use super::{API, HEADER_API, JSON, NDJSON, SSE, TERMINAL, run::Command};
use crate::{
    error::CliError,
    output::{
        json::{Answer, ascii, bytes},
        sink::Piece,
    },
};

/// The kind of the last line of a stream.
const SUMMARY: &str = "summary";

/// How a client wants the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON: one object, or a line after the other.
    Json,
    /// The same lines as server-sent events.
    Events,
    /// What a terminal shows.
    Terminal,
}

impl Form {
    /// By `Accept`.
    pub(super) fn of(accept: &str) -> Self {
        let wants =
            |form: &str| accept.split(',').any(|one| one.split(';').next().is_some_and(|one| one.trim() == form));
        match (wants(TERMINAL), wants(SSE)) {
            (true, _) => Self::Terminal,
            (_, true) => Self::Events,
            _ => Self::Json,
        }
    }
}

/// The HTTP status of an exit code. Fewer replies than wanted are a result, too.
pub(super) fn status_of(exit: u8) -> StatusCode {
    match exit {
        0 | 9 => StatusCode::OK,
        2 => StatusCode::BAD_REQUEST,
        3 => StatusCode::SERVICE_UNAVAILABLE,
        4 => StatusCode::FORBIDDEN,
        5 => StatusCode::NOT_FOUND,
        6 => StatusCode::GATEWAY_TIMEOUT,
        7 => StatusCode::BAD_GATEWAY,
        8 => StatusCode::CONFLICT,
        10 => StatusCode::PRECONDITION_FAILED,
        130 | 143 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error before or instead of a command.
pub(super) fn refusal(kind: &str, status: StatusCode, error: &CliError) -> Response {
    whole(status, JSON, format!("{}\n", ascii(&Answer::error(kind, error.to_json()))))
}

/// An answer without a command.
pub(super) fn answer(kind: &str, status: StatusCode, data: Value) -> Response {
    whole(status, JSON, format!("{}\n", ascii(&Answer::data(kind, data, Default::default()))))
}

/// The response of a command; its beginning waits for the first thing that the command tells.
pub(super) async fn response(mut command: Command, form: Form) -> Response {
    if form == Form::Terminal {
        return streamed(TERMINAL, None, command, frame);
    }
    let mut object = String::new();
    loop {
        match command.next().await {
            // What was told before an error is worth less than the error.
            Some(Piece::Answer(line)) => object = line,
            // A stream that ends as it begins has a status that tells how.
            Some(Piece::Event(kind, line)) if kind == SUMMARY && form == Form::Json => {
                let status = status_of(exit_of(&mut command).await);
                return whole(status, NDJSON, line);
            }
            Some(first @ Piece::Event(..)) if form == Form::Events => return streamed(SSE, Some(first), command, sse),
            Some(first @ Piece::Event(..)) => return streamed(NDJSON, Some(first), command, line),
            Some(Piece::Exit(code)) => return whole(status_of(code), JSON, object),
            // Talk is for people.
            Some(Piece::Err(_) | Piece::Out(_) | Piece::File(_)) => {}
            None => return whole(StatusCode::INTERNAL_SERVER_ERROR, JSON, object),
        }
    }
}

async fn exit_of(command: &mut Command) -> u8 {
    loop {
        match command.next().await {
            Some(Piece::Exit(code)) => return code,
            Some(_) => {}
            None => return crate::error::exit::INTERNAL,
        }
    }
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(HeaderName::from_static(HEADER_API), HeaderValue::from_static(API));
    response
}

/// One chunk for each piece, as it comes. The command goes with the body: a client that leaves ends it.
fn streamed(
    kind: &'static str,
    first: Option<Piece>,
    command: Command,
    show: fn(&Piece) -> Option<String>,
) -> Response {
    let pieces = stream::unfold((first, command), move |(mut first, mut command)| async move {
        loop {
            let piece = match first.take() {
                Some(piece) => piece,
                None => command.next().await?,
            };
            if let Some(text) = show(&piece) {
                return Some((Ok::<_, Infallible>(Bytes::from(text)), (None, command)));
            }
        }
    });
    whole(StatusCode::OK, kind, Body::from_stream(pieces))
}

fn line(piece: &Piece) -> Option<String> {
    match piece {
        Piece::Event(_, line) | Piece::Answer(line) => Some(line.clone()),
        _ => None,
    }
}

fn sse(piece: &Piece) -> Option<String> {
    match piece {
        Piece::Event(kind, line) => Some(format!("event: {kind}\ndata: {}\n\n", line.trim_end())),
        Piece::Answer(line) => Some(format!("event: error\ndata: {}\n\n", line.trim_end())),
        _ => None,
    }
}

/// `{"out": …}`, `{"err": …}`, `{"file": …}`, `{"exit": n}`.
fn frame(piece: &Piece) -> Option<String> {
    let frame = match piece {
        Piece::Out(data) => json!({"out": text(data)}),
        Piece::Answer(line) | Piece::Event(_, line) => json!({"out": line}),
        Piece::Err(text) => json!({"err": text}),
        Piece::File(data) => json!({"file": text(data)}),
        Piece::Exit(code) => json!({"exit": code}),
    };
    Some(format!("{}\n", ascii(&frame)))
}

/// Text as it is, anything else as `{"$bin": "<base64>"}`.
fn text(data: &[u8]) -> Value {
    std::str::from_utf8(data).map_or_else(|_| bytes(data), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_by_accept() {
        for (accept, form) in [
            ("", Form::Json),
            ("*/*", Form::Json),
            ("application/json", Form::Json),
            ("application/x-ndjson", Form::Json),
            ("text/event-stream", Form::Events),
            ("text/html, text/event-stream;q=0.9", Form::Events),
            (TERMINAL, Form::Terminal),
        ] {
            assert_eq!(Form::of(accept), form, "{accept}");
        }
    }

    #[test]
    fn pieces_as_frames_and_events() {
        let event = Piece::Event("ack".into(), "{\"kind\":\"ack\"}\n".into());
        assert_eq!(sse(&event).unwrap(), "event: ack\ndata: {\"kind\":\"ack\"}\n\n");
        assert_eq!(line(&event).unwrap(), "{\"kind\":\"ack\"}\n");
        assert_eq!(frame(&event).unwrap(), "{\"out\":\"{\\\"kind\\\":\\\"ack\\\"}\\n\"}\n");
        assert_eq!(frame(&Piece::Out(vec![0xff])).unwrap(), "{\"out\":{\"$bin\":\"/w==\"}}\n");
        assert_eq!(frame(&Piece::Out("é".into())).unwrap(), "{\"out\":\"\\u00e9\"}\n");
        assert_eq!(frame(&Piece::Exit(7)).unwrap(), "{\"exit\":7}\n");
        assert_eq!(line(&Piece::Err("talk".into())), None);
    }

    #[test]
    fn statuses_by_exit_code() {
        for (exit, status) in [(0, 200), (9, 200), (2, 400), (3, 503), (4, 403), (5, 404), (6, 504), (7, 502), (8, 409)]
        {
            assert_eq!(status_of(exit).as_u16(), status, "{exit}");
        }
        assert_eq!((status_of(1).as_u16(), status_of(10).as_u16(), status_of(77).as_u16()), (500, 412, 500));
    }
}
