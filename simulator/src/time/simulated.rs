//! With the feature `virtual-time`.

use std::{future::Future, io, panic, thread, time::Duration};

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::interpose;

/// A deep stack: hundreds of nodes are polled by one thread.
const STACK: usize = 64 * 1024 * 1024;

/// Runs `main` to its end in virtual time, with all chance from `seed`, on a fresh thread: thread-local generators and
/// the keys of `HashMap` are seeded there too. libp2p numbers connections per process: for equal runs, one run per
/// process.
///
/// # Errors
/// The thread cannot be made, or this was built without the feature `virtual-time`.
///
/// # Panics
/// If `main` does.
pub fn simulate<F, Fut, T>(seed: u64, main: F) -> io::Result<T>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T>,
    T: Send + 'static,
{
    let simulation = move || {
        let _off = Off;
        interpose::enter(ChaCha8Rng::seed_from_u64(seed));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let outcome = runtime.block_on(main());
        drop(runtime);
        Ok(outcome)
    };
    let thread = thread::Builder::new().name(format!("simulation {seed}")).stack_size(STACK).spawn(simulation)?;
    thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// Also when the simulation panics: what runs at the end of a thread must have the real clock.
struct Off;

impl Drop for Off {
    fn drop(&mut self) {
        interpose::leave();
    }
}

/// How much virtual time has passed; `None` outside of a simulation.
pub fn elapsed() -> Option<Duration> {
    interpose::elapsed()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        time::{Instant, SystemTime, UNIX_EPOCH},
    };

    use rand::RngExt;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// Everything by which a program could notice that it runs again.
    async fn observe() -> (Duration, Duration, u64, u64, Vec<u32>) {
        let began = Instant::now();
        tokio::time::sleep(HOUR).await;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mut map: HashMap<u32, ()> = (0..50).map(|n| (n, ())).collect();
        map.insert(50, ());
        let mut own = [0; 8];
        getrandom::fill(&mut own).expect("entropy");
        (began.elapsed(), wall, rand::rng().random(), u64::from_be_bytes(own), map.into_keys().collect())
    }

    #[test]
    fn an_hour_passes_at_once_and_twice_the_same() {
        let real = Instant::now();
        let run = |seed| simulate(seed, observe).expect("a thread");
        let (first, again, other) = (run(1), run(1), run(2));
        assert!(real.elapsed() < HOUR, "it took {:?}", real.elapsed());
        assert_eq!(first.0, HOUR);
        assert_eq!(first.1, Duration::from_secs(1_767_225_600 + 3_600));
        assert_eq!(first, again);
        assert_ne!((first.2, first.3, &first.4), (other.2, other.3, &other.4));
    }

    #[test]
    fn other_threads_keep_their_clock() {
        let inside = simulate(1, || async {
            tokio::time::sleep(HOUR * 1_000).await;
            thread::spawn(|| (elapsed(), SystemTime::now())).join().expect("a thread")
        });
        let (elapsed, wall) = inside.expect("a thread");
        assert_eq!(elapsed, None);
        let off = SystemTime::now().duration_since(wall).expect("it was before");
        assert!(off < HOUR, "{off:?}");
    }
}
