//! Identities near a key: keys are tried until their peer ids lie there.

use std::collections::BTreeMap;

use rand_chacha::{ChaCha8Rng, rand_core::Rng};

use super::{Place, Sybil, distance};

/// `count` identities: of `count` times `trials` the nearest to `target`; without one, any.
pub(crate) fn grind(count: usize, trials: usize, target: Option<Place>, chance: &mut ChaCha8Rng) -> Vec<Sybil> {
    let mut kept: BTreeMap<Place, Sybil> = BTreeMap::new();
    let draws = if target.is_some() { count.saturating_mul(trials.max(1)) } else { count };
    for _ in 0..draws {
        let mut seed = [0; 32];
        chance.fill_bytes(&mut seed);
        let Some(sybil) = Sybil::from_seed(seed) else { continue };
        kept.insert(distance(&sybil.place, &target.unwrap_or_default()), sybil);
        if kept.len() > count {
            kept.pop_last();
        }
    }
    kept.into_values().collect()
}

/// The `count` that are nearest to `place`, nearest first.
pub(crate) fn nearest<'a, T>(
    all: impl IntoIterator<Item = &'a T>,
    place: &Place,
    count: usize,
    of: impl Fn(&T) -> Place,
) -> Vec<&'a T> {
    let mut all: Vec<&T> = all.into_iter().collect();
    all.sort_by_key(|one| distance(&of(one), place));
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::{super::place_of, *};

    #[test]
    fn trials_bring_ids_nearer() {
        let target = place_of(b"/p2pnode/cap/work");
        let farthest = |trials| {
            let found = grind(8, trials, Some(target), &mut ChaCha8Rng::seed_from_u64(1));
            assert_eq!(found.len(), 8);
            found.iter().map(|sybil| distance(&sybil.place, &target)).max().expect("eight")
        };
        let (few, many) = (farthest(1), farthest(64));
        assert!(many < few);
        assert!(many[0] < 16, "of 512 the nearest 8 share some six bits: {many:?}");
    }

    #[test]
    fn the_nearest_come_first() {
        let places: Vec<Place> = (0..20_u8).map(|n| place_of(&[n])).collect();
        let target = place_of(b"here");
        let found = nearest(&places, &target, 5, |place| *place);
        let far: Vec<Place> = found.iter().map(|place| distance(place, &target)).collect();
        assert!(far.is_sorted() && far.len() == 5);
        assert!(places.iter().filter(|place| distance(place, &target) < far[4]).count() == 4);
    }
}
