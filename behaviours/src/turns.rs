//! How often the task of a connection runs.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// Polls in a row. What a connection has read wakes whoever waits for it, and what it is given to write wakes the
/// connection; both are this one task: with two polls a call that comes is handed on, or one that goes is on its way.
const IN_A_ROW: u8 = 2;

/// Bits of the state of a bell: its task runs; it was rung since.
const POLLED: u8 = 1;
const RUNG: u8 = 2;

thread_local! {
    static PLENTY: Cell<bool> = const { Cell::new(false) };
}

/// Says, inside the task of a connection, that much is under way on it: others that are ready should have their turn before
/// this task goes on, so that what they add leaves in one write.
pub(crate) fn plenty() {
    PLENTY.set(true);
}

struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // If it runs, that is seen when the poll ends. Written in any case: who reads it sees what the ring is about.
        if self.state.fetch_or(RUNG, Ordering::AcqRel) & POLLED == 0 {
            self.task.wake();
        }
    }
}

/// The task of a connection, polled once more at once if it woke itself.
pub struct Repeated<F> {
    task: F,
    bell: Arc<Bell>,
    waker: Waker,
}

impl<F> fmt::Debug for Repeated<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Repeated")
    }
}

impl<F> Repeated<F> {
    /// Around a task of a Swarm.
    pub fn new(task: F) -> Self {
        let bell = Arc::new(Bell { state: AtomicU8::new(0), task: AtomicWaker::new() });
        Self { task, waker: bell.clone().into(), bell }
    }
}

impl<F: Future<Output = ()> + Unpin> Future for Repeated<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { task, bell, waker } = &mut *self;
        bell.task.register(cx.waker());
        PLENTY.set(false);
        for _ in 0..IN_A_ROW {
            bell.state.swap(POLLED, Ordering::AcqRel);
            if Pin::new(&mut *task).poll(&mut Context::from_waker(waker)).is_ready() {
                return Poll::Ready(());
            }
            if bell.state.swap(0, Ordering::AcqRel) & RUNG == 0 {
                return Poll::Pending;
            }
            if PLENTY.get() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicU32, AtomicUsize},
        thread,
        time::Duration,
    };

    use super::*;

    /// How often a task asks to be polled.
    #[derive(Default)]
    struct Asked(AtomicUsize);

    impl Wake for Asked {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls a task that does this in each poll until it says that it is over; with how often it ran and asked to.
    fn polls(mut each: impl FnMut(&Context<'_>, usize) + Unpin) -> (usize, usize) {
        let (asked, mut ran) = (Arc::new(Asked::default()), 0);
        let task = poll_fn(|cx| {
            ran += 1;
            each(cx, ran);
            Poll::<()>::Pending
        });
        let waker = asked.clone().into();
        let polled = Pin::new(&mut Repeated::new(task)).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        (ran, asked.0.load(Ordering::SeqCst))
    }

    #[test]
    fn who_wakes_itself_is_polled_once_more_at_once_and_then_takes_its_turn() {
        assert_eq!(polls(|_, _| {}), (1, 0));
        assert_eq!(
            polls(|cx, ran| if ran == 1 {
                cx.waker().wake_by_ref()
            }),
            (2, 0)
        );
        assert_eq!(polls(|cx, _| cx.waker().wake_by_ref()), (2, 1));
    }

    #[test]
    fn where_much_is_under_way_others_have_their_turn_first() {
        let busy = |cx: &Context<'_>, _| {
            plenty();
            cx.waker().wake_by_ref();
        };
        assert_eq!(polls(busy), (1, 1));
        // It is said of one poll, not of all that follow.
        assert_eq!(
            polls(|cx, ran| if ran == 1 {
                cx.waker().wake_by_ref()
            }),
            (2, 0)
        );
    }

    #[test]
    fn who_is_woken_by_others_is_polled() {
        let asked = Arc::new(Asked::default());
        let mut kept = None;
        let mut task = Repeated::new(poll_fn(|cx| {
            kept = Some(cx.waker().clone());
            Poll::<()>::Pending
        }));
        let waker = asked.clone().into();
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(task);
        kept.expect("polled").wake();
        assert_eq!(asked.0.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_call_from_another_thread_is_lost() {
        const CALLS: u32 = 200_000;
        let (made, taken, bell) =
            (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicWaker::new()));
        let caller = thread::spawn({
            let (made, taken, bell) = (made.clone(), taken.clone(), bell.clone());
            move || {
                for call in 1..=CALLS {
                    made.store(call, Ordering::SeqCst);
                    bell.wake();
                    // Every other one waits until it has been taken: then the task is about to rest.
                    while call % 2 == 0 && taken.load(Ordering::SeqCst) < call {
                        thread::yield_now();
                    }
                }
            }
        });
        let task = Repeated::new(poll_fn(move |cx| {
            bell.register(cx.waker());
            let made = made.load(Ordering::SeqCst);
            taken.store(made, Ordering::SeqCst);
            if made == CALLS { Poll::Ready(()) } else { Poll::Pending }
        }));
        tokio::time::timeout(Duration::from_secs(60), tokio::spawn(task)).await.expect("in time").expect("no panic");
        caller.join().expect("no panic");
    }
}
