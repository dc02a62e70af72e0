//! What libp2p uses of `futures-timer` 3, on tokio's clock: [`Delay`].
//!
//! libp2p's timers then sit in tokio's timer wheel instead of a helper thread of their own, and follow tokio's clock when
//! it is paused. A program that embeds p2pnode gets the original from the registry; this one takes its place only in this
//! workspace (`[patch.crates-io]`).
#![forbid(unsafe_code)]

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Further away than any program runs; what tokio itself takes for "never".
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);

/// A future that is ready when its time has come.
pub struct Delay {
    until: Instant,
    /// Made when it is first polled: before, there need not be a runtime.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Delay {
    /// Ready after `time`.
    #[inline]
    pub fn new(time: Duration) -> Self {
        Self { until: after(time), sleep: None }
    }

    /// Ready after `time` from now, whether it was ready before or not. The task that polled it last is still the one
    /// that is woken.
    #[inline]
    pub fn reset(&mut self, time: Duration) {
        self.until = after(time);
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(self.until);
        }
    }
}

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + FAR)
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until))).as_mut().poll(cx)
    }
}

impl fmt::Debug for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delay").field("until", &self.until).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_made_before_there_is_a_runtime() {
        let delay = Delay::new(Duration::from_millis(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(delay);
    }

    #[tokio::test(start_paused = true)]
    async fn it_follows_the_paused_clock_and_can_be_reset() {
        let begin = Instant::now();
        let mut delay = Delay::new(Duration::from_secs(3_600));
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut delay).await.is_err());
        delay.reset(Duration::from_secs(10));
        (&mut delay).await;
        assert_eq!(begin.elapsed().as_secs(), 70);
        delay.reset(Duration::from_secs(5));
        delay.await;
        assert_eq!(begin.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn never_is_no_overflow() {
        let delay = Delay::new(Duration::MAX);
        assert!(tokio::time::timeout(Duration::from_secs(86_400), delay).await.is_err());
    }
}
