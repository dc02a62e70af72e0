//! What the benches share.
#![forbid(unsafe_code)]

pub mod echo;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use p2pnode_wire::{
    frame,
    ids::SwarmId,
    rpc::{Message, Req},
};

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
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_what_travels() {
        let message = request(100);
        assert_eq!(Message::decode(&unframed(&message)), Ok(message));
    }
}
