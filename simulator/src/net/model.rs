//! How fast and how reliable the ways between hosts are.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, LogNormal};

/// Bytes of a segment: what is lost is lost by segments.
const SEGMENT: usize = 1_400;

/// The least time after which TCP sends the end of a burst again (RFC 6298 as Linux has it).
const MIN_RTO: Duration = Duration::from_millis(200);

/// 99 % of a normal distribution are below so many deviations.
const P99: f64 = 2.326_347_874;

/// One-way times between hosts. Each pair has its own, the same in both directions, as long as the simulation lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// All alike.
    Fixed(Duration),
    /// Anything between.
    Uniform {
        /// At least.
        min: Duration,
        /// At most.
        max: Duration,
    },
    /// Many near, few far: the internet.
    LogNormal {
        /// Half of the pairs are nearer.
        median: Duration,
        /// One pair of a hundred is further.
        p99: Duration,
    },
    /// Hosts at random places on a square; the time grows with the distance.
    Plane {
        /// From corner to corner.
        diagonal: Duration,
        /// What even neighbours need.
        least: Duration,
    },
}

/// A network: what it does to what is sent. Loss is a delay, as it is under TCP: nothing is lost above it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    /// One-way time of each pair. Default: log-normal, median 30 ms, p99 180 ms.
    pub latency: Latency,
    /// Up to so much more each time. Default 2 ms.
    pub jitter: Duration,
    /// Share of segments that must be sent again. Default 0.
    pub loss: f64,
    /// What a host can send in one second, in bits. Default: 20 Mbit.
    pub bandwidth: Option<f64>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            latency: Latency::LogNormal { median: Duration::from_millis(30), p99: Duration::from_millis(180) },
            jitter: Duration::from_millis(2),
            loss: 0.0,
            bandwidth: Some(20e6),
        }
    }
}

impl Model {
    /// One host beside the other: no time at all.
    pub fn ideal() -> Self {
        Self { latency: Latency::Fixed(Duration::ZERO), jitter: Duration::ZERO, loss: 0.0, bandwidth: None }
    }

    /// One-way time of a pair, from the seed alone.
    pub(super) fn base(&self, seed: u64, a: usize, b: usize) -> Duration {
        let (low, high) = (a.min(b) as u64, a.max(b) as u64);
        let mut chance = ChaCha8Rng::seed_from_u64(seed ^ (low << 32 | high).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        match self.latency {
            Latency::Fixed(time) => time,
            Latency::Uniform { min, max } => min + max.saturating_sub(min).mul_f64(chance.random_range(0.0..1.0)),
            Latency::LogNormal { median, p99 } => {
                let (mu, sigma) = lognormal(median, p99);
                let sampled = LogNormal::new(mu, sigma).map_or(median.as_secs_f64(), |d| d.sample(&mut chance));
                // The far end of the distribution has pairs hours apart.
                Duration::from_secs_f64(sampled.min(3.0 * p99.as_secs_f64()))
            }
            Latency::Plane { diagonal, least } => {
                let (from, to) = (place(seed, low), place(seed, high));
                let distance = (from.0 - to.0).hypot(from.1 - to.1) / std::f64::consts::SQRT_2;
                least + diagonal.mul_f64(distance)
            }
        }
    }

    /// How much later than undisturbed a segment arrives.
    pub(super) fn jitter(&self, chance: &mut ChaCha8Rng) -> Duration {
        if self.jitter.is_zero() { Duration::ZERO } else { self.jitter.mul_f64(chance.random_range(0.0..1.0)) }
    }

    /// How much later so many bytes arrive for those of their segments that are lost.
    pub(super) fn lost(&self, base: Duration, bytes: usize, chance: &mut ChaCha8Rng) -> Duration {
        let mut late = Duration::ZERO;
        if self.loss <= 0.0 {
            return late;
        }
        let segments = bytes.div_ceil(SEGMENT).clamp(1, 64);
        for _ in 0..segments {
            if chance.random_range(0.0..1.0) < self.loss {
                // In a burst the next segments tell the sender; at its end only time does.
                late += if segments > 3 { 2 * base } else { MIN_RTO.max(4 * base) };
            }
        }
        late
    }
}

fn lognormal(median: Duration, p99: Duration) -> (f64, f64) {
    let mu = median.as_secs_f64().max(1e-6).ln();
    let sigma = (p99.as_secs_f64().max(1e-6).ln() - mu) / P99;
    (mu, sigma.max(0.0))
}

fn place(seed: u64, host: u64) -> (f64, f64) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed.rotate_left(17) ^ host.wrapping_mul(0xd1b5_4a32_d192_ed03));
    (chance.random_range(0.0..1.0), chance.random_range(0.0..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_their_latency_and_follow_the_distribution() {
        let model = Model::default();
        let mut times: Vec<Duration> = (0..100).flat_map(|a| (0..a).map(move |b| model.base(7, a, b))).collect();
        assert_eq!(model.base(7, 3, 9), model.base(7, 9, 3));
        assert_ne!(model.base(7, 3, 9), model.base(8, 3, 9));
        times.sort();
        let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
        assert!((28.0..32.0).contains(&at(0.5)), "{}", at(0.5));
        assert!((150.0..215.0).contains(&at(0.99)), "{}", at(0.99));
    }

    #[test]
    fn loss_is_a_delay() {
        let (model, base) =
            (Model { loss: 0.1, jitter: Duration::ZERO, ..Model::default() }, Duration::from_millis(30));
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let late: Vec<Duration> = (0..10_000).map(|_| model.lost(base, 100, &mut chance)).collect();
        let lost = late.iter().filter(|time| **time >= MIN_RTO).count();
        assert!((900..1_100).contains(&lost), "{lost}");
        assert_eq!(late.iter().filter(|time| time.is_zero()).count(), 10_000 - lost);
    }
}
