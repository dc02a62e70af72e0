//! Moves bytes between a program's pipes and memory, within bounds.

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

/// Longer progress lines are cut.
const LINE: usize = 4 * 1024;

/// Writes all and closes. A program need not read its input.
pub(super) async fn feed(mut pipe: impl AsyncWrite + Unpin, input: Vec<u8>) {
    let _ = pipe.write_all(&input).await;
    let _ = pipe.shutdown().await;
}

/// Collects up to `most` bytes; nothing if there were more.
pub(super) async fn all(pipe: impl AsyncRead + Unpin, most: usize) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    let more = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    // An error while reading a pipe means that it has ended.
    let _ = pipe.take(more).read_to_end(&mut kept).await;
    (kept.len() <= most).then_some(kept)
}

/// The same, and sends every line as it comes.
pub(super) async fn tee(mut pipe: impl AsyncRead + Unpin, most: usize, to: mpsc::Sender<String>) -> Option<Vec<u8>> {
    let (mut kept, mut line) = (Vec::new(), Vec::new());
    let mut chunk = [0; 4 * 1024];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > most {
            return None;
        }
        split(&chunk[..count], &mut line, &to).await;
    }
    send(&mut line, &to).await;
    Some(kept)
}

/// Sends every line that is not blank, and keeps nothing. Nothing if one has more than `most` bytes; nobody who reads
/// is as good as the end.
pub(super) async fn items(mut pipe: impl AsyncRead + Unpin, most: usize, to: mpsc::Sender<Vec<u8>>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut chunk = [0; 4 * 1024];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        let mut rest = &chunk[..count];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            if line.len() > most {
                return None;
            }
            if !offer(&mut line, &to).await {
                return Some(Vec::new());
            }
        }
        line.extend_from_slice(rest);
        if line.len() > most {
            return None;
        }
    }
    offer(&mut line, &to).await;
    Some(Vec::new())
}

/// Whether somebody still reads.
async fn offer(line: &mut Vec<u8>, to: &mpsc::Sender<Vec<u8>>) -> bool {
    let line = std::mem::take(line);
    line.trim_ascii().is_empty() || to.send(line).await.is_ok()
}

/// Reads to the end and keeps the last `most` bytes.
pub(super) async fn tail(mut pipe: impl AsyncRead + Unpin, most: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 4 * 1024];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * most {
            kept.drain(..kept.len() - most);
        }
    }
    kept.drain(..kept.len().saturating_sub(most));
    kept
}

/// Sends every line. The program waits while they are not taken, and does not notice when nobody wants them any more.
pub(super) async fn lines(mut pipe: impl AsyncRead + Unpin, to: mpsc::Sender<String>) {
    let mut line = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        split(&chunk[..count], &mut line, &to).await;
    }
    send(&mut line, &to).await;
}

/// Sends the lines that `bytes` complete; `line` is the one begun.
async fn split(bytes: &[u8], line: &mut Vec<u8>, to: &mpsc::Sender<String>) {
    for byte in bytes {
        match *byte {
            b'\n' => send(line, to).await,
            byte if line.len() < LINE => line.push(byte),
            _ => {}
        }
    }
}

async fn send(line: &mut Vec<u8>, to: &mpsc::Sender<String>) {
    let text = String::from_utf8_lossy(line).trim().to_owned();
    line.clear();
    if !text.is_empty() {
        let _ = to.send(text).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_than_allowed_is_nothing() {
        assert_eq!(all(&b"abc"[..], 3).await.as_deref(), Some(&b"abc"[..]));
        assert_eq!(all(&b"abcd"[..], 3).await, None);
    }

    #[tokio::test]
    async fn lines_become_items_whole_or_not_at_all() {
        let (to, mut from) = mpsc::channel(8);
        assert_eq!(items(&b"{\"n\": 1}\r\n\n  \nlast"[..], 9, to.clone()).await, Some(Vec::new()));
        assert_eq!(items(&b"ok\n0123456789\nnever"[..], 9, to.clone()).await, None);
        assert_eq!(items(&b"0123456789"[..], 9, to).await, None);
        let mut got = Vec::new();
        while let Some(line) = from.recv().await {
            got.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(got, ["{\"n\": 1}\r", "last", "ok"]);
    }

    #[tokio::test]
    async fn the_end_is_kept() {
        let long: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        assert_eq!(tail(&long[..], 1_000).await, long[99_000..]);
        assert_eq!(tail(&b"short"[..], 1_000).await, b"short");
    }

    #[tokio::test]
    async fn lines_are_cut_trimmed_and_never_empty() {
        let (to, mut from) = mpsc::channel(8);
        let long = format!("one\r\n\n  \ntwo \n{}\nlast", "x".repeat(10_000));
        lines(long.as_bytes(), to).await;
        let mut got = Vec::new();
        while let Some(line) = from.recv().await {
            got.push(line);
        }
        assert_eq!(got.len(), 4);
        assert_eq!((got[0].as_str(), got[1].as_str(), got[2].len(), got[3].as_str()), ("one", "two", LINE, "last"));
    }
}
