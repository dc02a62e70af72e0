//! What the benches share.
#![forbid(unsafe_code)]

pub mod echo;
pub mod ends;
pub mod figures;
pub mod program;
pub mod scratch;
pub mod server;
pub mod sim;
pub mod ways;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use p2pnode_wire::{
    frame,
    ids::SwarmId,
    rpc::{Message, Req},
};

use crate::figures::Figures;

/// A call of `echo` with `size` bytes of arguments, as a member of a swarm makes it.
pub fn request(size: usize) -> Message {
    Message::Req(Req {
        id: 7,
        swarm: Some(SwarmId([7; 32])),
        endpoint: "echo".into(),
        args: Bytes::from(vec![7; size]),
        left_ms: 30_000,
        ..Req::default()
    })
}

/// Runs a bench: `--quick` measures little; `cargo test --benches` only wants to know that it starts. What it has found
/// is kept for the table.
///
/// # Errors
/// What it measures does not work.
pub fn run(name: &str, measure: impl AsyncFnOnce(&mut Figures) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if told("--test") || cfg!(debug_assertions) && !told("--quick") {
        return Ok(());
    }
    let mut figures = Figures::new(name, told("--quick"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&mut figures))?;
    Ok(figures.keep()?)
}

/// Whether this process was started with a word.
pub fn told(word: &str) -> bool {
    std::env::args().any(|arg| arg == word)
}

/// The frame of a message without its length, as a receiver decodes it.
pub fn unframed(message: &Message) -> Bytes {
    let mut out = BytesMut::new();
    message.encode_into(&mut out);
    out.split_off(frame::PREFIX).freeze()
}

/// CPU time of this process so far, user and system.
pub fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// Waits until the process has used less than a third of a core for two seconds: the joining of many nodes is over.
///
/// # Errors
/// Three minutes have passed.
pub async fn calm() -> anyhow::Result<()> {
    for _ in 0..90 {
        let before = cpu();
        tokio::time::sleep(Duration::from_secs(2)).await;
        if cpu() - before < Duration::from_millis(667) {
            return Ok(());
        }
    }
    anyhow::bail!("not calm within three minutes")
}

/// The value that so many of a hundred do not exceed.
pub fn percentile(values: &[f64], hundredth: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() * hundredth / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_what_travels() {
        let message = request(100);
        assert_eq!(Message::decode(&unframed(&message)), Ok(message));
    }
}
