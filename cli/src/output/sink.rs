//! Where output goes: to this process's stdout and stderr, or to a client of the control socket.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::FileType,
};
use tokio::sync::mpsc;

use crate::error::CliError;

/// How often it is looked whether somebody still reads.
const READER: Duration = Duration::from_millis(500);

/// What a command tells a client, piece by piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Data for stdout.
    Out(Vec<u8>),
    /// The JSON answer of a one-shot command.
    Answer(String),
    /// A JSON line of a stream, with its kind.
    Event(String, String),
    /// Talk for stderr.
    Err(String),
    /// The content of the file that the client was asked to write.
    File(Vec<u8>),
    /// It has ended with this exit code.
    Exit(u8),
}

/// Where output goes.
#[derive(Debug, Clone)]
pub(crate) enum Sink {
    /// Stdout and stderr of this process.
    Process,
    /// A client of the control socket.
    Client(mpsc::Sender<Piece>),
}

impl Sink {
    /// Data on stdout.
    pub(crate) fn out(&self, data: &[u8]) -> Result<(), CliError> {
        self.data(data, || Piece::Out(data.to_vec()))
    }

    /// A JSON line.
    pub(crate) fn json(&self, line: &str, piece: impl FnOnce(String) -> Piece) -> Result<(), CliError> {
        let line = format!("{line}\n");
        self.data(line.as_bytes(), || piece(line.clone()))
    }

    /// A line on stderr; lost if nobody reads it.
    pub(crate) fn err(&self, text: &str) {
        match self {
            Self::Process => {
                let _ = writeln!(io::stderr().lock(), "{text}");
            }
            Self::Client(client) => {
                let _ = send(client, Piece::Err(format!("{text}\n")));
            }
        }
    }

    /// Writes a file of whoever gave the command.
    pub(crate) fn file(&self, path: &Path, data: &[u8]) -> Result<(), CliError> {
        match self {
            Self::Process => fs::write(path, data).map_err(|error| CliError::io(path.display(), &error)),
            Self::Client(client) => send(client, Piece::File(data.to_vec())),
        }
    }

    fn data(&self, data: &[u8], piece: impl FnOnce() -> Piece) -> Result<(), CliError> {
        match self {
            Self::Process => write(data),
            Self::Client(client) => send(client, piece()),
        }
    }

    /// Resolves when whoever read stdout has gone. For commands that may have nothing to write for hours.
    pub(crate) async fn reader_gone(&self) {
        match self {
            Self::Process => stdout_gone().await,
            Self::Client(client) => client.closed().await,
        }
    }
}

fn write(data: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(data).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::closed(),
        _ => CliError::internal(format!("cannot write to stdout: {error}")),
    })
}

async fn stdout_gone() {
    // A file has no reader that could go: a node in the background writes into its log.
    if rustix::fs::fstat(io::stdout()).is_ok_and(|about| FileType::from_raw_mode(about.st_mode).is_file()) {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(READER).await;
        let stdout = io::stdout();
        // The writing end of a pipe only ever reports this when nobody can read it any more.
        let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut ends, Some(&now)).is_ok() && ends[0].revents().contains(PollFlags::ERR) {
            return;
        }
    }
}

/// Waits while the client is slow, as writing to a full pipe does: its command has a thread of its own. A client that
/// has gone ends the wait.
fn send(client: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), CliError> {
    match client.try_send(piece) {
        Ok(()) => Ok(()),
        Err(mpsc::error::TrySendError::Closed(_)) => Err(CliError::closed()),
        // Unconstrained: this waits inside a poll of the runtime, which gives no new budget meanwhile.
        Err(mpsc::error::TrySendError::Full(piece)) => {
            futures::executor::block_on(tokio::task::unconstrained(client.send(piece))).map_err(|_| CliError::closed())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_slow_client_is_waited_for_and_a_gone_one_is_not() {
        let (client, mut pieces) = mpsc::channel(1);
        let sink = Sink::Client(client);
        let writer = tokio::task::spawn_blocking(move || {
            let mut written = 0;
            while sink.out(b"x").is_ok() {
                written += 1;
            }
            written
        });
        for _ in 0..500 {
            assert_eq!(pieces.recv().await, Some(Piece::Out(b"x".to_vec())));
        }
        drop(pieces);
        assert!(writer.await.unwrap() >= 500);
    }
}
