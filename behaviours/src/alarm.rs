use std::{
    task::Context,
    time::{Duration, Instant},
};

use futures::FutureExt;
use futures_timer::Delay;

/// The soonest it goes off: a moment that has passed, and is asked for again and again, must not keep a processor busy.
const SOONEST: Duration = Duration::from_millis(1);

/// Wakes the task of its owner at one moment. It is polled whenever its owner is, which is often: that costs nothing while the moment
/// stays the same.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<(Instant, Delay)>);

impl Alarm {
    /// Goes off at `at`, or not at all. True once that moment has come; the owner looks again, and says what is next.
    pub(crate) fn is_due(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> bool {
        let Some(at) = at else {
            self.0 = None;
            return false;
        };
        if self.0.as_ref().is_none_or(|(armed, _)| *armed != at) {
            let left = at.saturating_duration_since(Instant::now()).max(SOONEST);
            self.0 = Some((at, Delay::new(left)));
        }
        let due = self.0.as_mut().is_some_and(|(_, delay)| delay.poll_unpin(cx).is_ready());
        if due {
            self.0 = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::task::noop_waker_ref;

    use super::*;

    #[tokio::test]
    async fn it_goes_off_when_it_is_time_and_not_before() {
        let mut alarm = Alarm::default();
        let cx = &mut Context::from_waker(noop_waker_ref());
        let now = Instant::now();
        assert!(!alarm.is_due(Some(now + Duration::from_secs(3_600)), cx));
        assert!(!alarm.is_due(None, cx));
        assert!(!alarm.is_due(Some(now), cx), "not at once, though it has passed");
        let at = now + Duration::from_millis(20);
        poll_fn(|cx| if alarm.is_due(Some(at), cx) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending })
            .await;
        assert!(Instant::now() >= at);
        assert!(!alarm.is_due(Some(at), cx), "armed anew");
    }
}
