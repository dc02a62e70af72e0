//! Requests to a control socket, byte by byte, as any program could make them.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use crate::SOON;

/// The control socket of a node.
#[derive(Debug, Clone)]
pub struct Control {
    socket: PathBuf,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// What follows, chunk by chunk as it came.
    pub body: String,
}

impl Reply {
    /// The JSON object in it.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let line = self.body.lines().find(|line| line.starts_with('{'));
        line.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("no JSON in {self:?}"))
    }
}

impl Control {
    /// Of the node that listens there.
    pub fn new(socket: impl AsRef<Path>) -> Self {
        Self { socket: socket.as_ref().to_owned() }
    }

    /// A connection with these bytes sent.
    ///
    /// # Panics
    /// If nobody listens.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) -> UnixStream {
        let mut stream =
            UnixStream::connect(&self.socket).unwrap_or_else(|error| panic!("{}: {error}", self.socket.display()));
        let _ = stream.set_read_timeout(Some(SOON));
        // A node that refuses may close before it has read all.
        let _ = stream.write_all(bytes);
        stream
    }

    /// A request to its end. `headers` are whole lines.
    ///
    /// # Panics
    /// If there is no response.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Reply {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: p\r\nconnection: close\r\n");
        for header in headers {
            text.push_str(&format!("{header}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        read(self.send(text.as_bytes()))
    }

    /// A GET to its end.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], "")
    }

    /// A POST of options to its end.
    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.request("POST", path, &[], body)
    }
}

/// Reads a response to its end.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn read(mut stream: UnixStream) -> Reply {
    let mut bytes = Vec::new();
    // A reset after the response is the end, too.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head}"));
    Reply { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// Reads until this text has come, and returns everything so far.
///
/// # Panics
/// If it does not come.
#[track_caller]
pub fn read_until(stream: &mut UnixStream, text: &str) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let so_far = String::from_utf8_lossy(&bytes).into_owned();
        if so_far.contains(text) {
            return so_far;
        }
        match stream.read(&mut chunk) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            other => panic!("{text:?} did not come ({other:?}), but: {so_far}"),
        }
    }
}
