//! Sets of numbers as ranges. Pure.

/// `from` and those after it, below `to`.
pub(crate) type Range = (u64, u64);

/// Ranges of one feed: gaps come from what was missed, and are filled soon. Somebody who publishes every other number
/// only would otherwise make this endless.
pub(crate) const MOST: usize = p2pnode_wire::sync::RANGES;

/// Rising ranges that do not touch each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<Range>);

impl Ranges {
    /// As they were kept.
    pub(crate) fn new(ranges: &[Range]) -> Self {
        Self(ranges.to_vec())
    }

    pub(crate) fn as_slice(&self) -> &[Range] {
        &self.0
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.at(number).is_some_and(|(from, _)| *from <= number)
    }

    /// The first range that ends after `number`.
    fn at(&self, number: u64) -> Option<&Range> {
        self.0.get(self.0.partition_point(|(_, to)| *to <= number))
    }

    /// The largest one.
    pub(crate) fn last(&self) -> Option<u64> {
        self.0.last().map(|(_, to)| to - 1)
    }

    /// Whether `number` would begin a range of its own, and there are as many as may be.
    pub(crate) fn refuses(&self, number: u64) -> bool {
        self.0.len() >= MOST && !self.0.iter().any(|(from, to)| *from <= number.saturating_add(1) && number <= *to)
    }

    /// Adds a number; false if it is there already. `u64::MAX` cannot be added, since it has no successor.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        if number == u64::MAX || self.contains(number) {
            return false;
        }
        let at = self.0.partition_point(|(_, to)| *to < number);
        match self.0.get_mut(at) {
            Some((_, to)) if *to == number => *to += 1,
            Some((from, _)) if *from == number + 1 => *from = number,
            _ => self.0.insert(at, (number, number + 1)),
        }
        if let (Some((_, to)), Some((from, end))) = (self.0.get(at).copied(), self.0.get(at + 1).copied())
            && to == from
        {
            self.0[at].1 = end;
            self.0.remove(at + 1);
        }
        true
    }

    /// Removes what is below.
    pub(crate) fn cut(&mut self, below: u64) {
        self.0.retain_mut(|(from, to)| {
            *from = (*from).max(below);
            from < to
        });
    }

    /// What of `wanted` is not here.
    pub(crate) fn lacks(&self, (start, to): Range) -> Vec<Range> {
        let (mut lacking, mut from) = (Vec::new(), start);
        for (held_from, held_to) in self.0.iter().copied().filter(|(_, held_to)| *held_to > start) {
            if held_from >= to {
                break;
            }
            if held_from > from {
                lacking.push((from, held_from));
            }
            from = held_to;
        }
        if from < to {
            lacking.push((from, to));
        }
        lacking
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_set(numbers in prop::collection::vec(0_u64..200, 0..300), cut in 0_u64..200, want in (0_u64..200, 0_u64..200)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(ranges.insert(number), set.insert(number));
            }
            ranges.cut(cut);
            set.retain(|number| *number >= cut);
            let flat: Vec<u64> = ranges.as_slice().iter().flat_map(|(from, to)| *from..*to).collect();
            prop_assert_eq!(flat, set.iter().copied().collect::<Vec<_>>());
            prop_assert!(ranges.as_slice().windows(2).all(|pair| pair[0].1 < pair[1].0));
            prop_assert_eq!(ranges.last(), set.last().copied());
            let lacking: Vec<u64> = ranges.lacks(want).iter().flat_map(|(from, to)| *from..*to).collect();
            prop_assert_eq!(lacking, (want.0..want.1).filter(|n| !set.contains(n)).collect::<Vec<_>>());
            for number in 0..200 {
                prop_assert_eq!(ranges.contains(number), set.contains(&number));
            }
        }
    }

    #[test]
    fn gaps_are_bounded() {
        let mut ranges = Ranges::default();
        (0..MOST as u64).for_each(|n| assert!(ranges.insert(n * 3)));
        assert!(ranges.refuses(1_000) && !ranges.refuses(1) && !ranges.refuses(2) && !ranges.refuses(5));
        assert!(!ranges.insert(u64::MAX) && ranges.insert(u64::MAX - 1));
    }
}
