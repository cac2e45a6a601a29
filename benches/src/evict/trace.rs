//! Traces: which keys a program looks up, one after the other.

use crate::random::Random;

/// The most and the least bytes that a value has.
const VALUE_BYTES: (usize, usize) = (64, 4096);

/// A row of keys to look up, and how large the value of each is.
pub(super) struct Trace {
    pub(super) name: &'static str,
    pub(super) keys: Vec<u32>,
    /// By key.
    sizes: Vec<usize>,
}

impl Trace {
    /// Keys below `count` by Zipf's law with exponent 1: the one of rank *r* is looked up 1/*r* as often as the
    /// first.
    pub(super) fn zipf(count: u32, len: usize) -> Trace {
        let mut zipf = Zipf::new(count);
        Trace::new("Zipf", (0..len).map(|_| zipf.next()).collect(), count)
    }

    /// The same; after each of its keys comes the next of a scan over as many others, again and again.
    pub(super) fn zipf_and_scan(count: u32, len: usize) -> Trace {
        let (mut zipf, mut scan) = (Zipf::new(count), (count..2 * count).cycle());
        let next = |at| if at % 2 == 0 { Some(zipf.next()) } else { scan.next() };
        Trace::new("Zipf and scan", (0..len).filter_map(next).collect(), 2 * count)
    }

    fn new(name: &'static str, keys: Vec<u32>, count: u32) -> Trace {
        let mut random = Random::new(2);
        let (min, max) = VALUE_BYTES;
        let size = |_| min + random.below((max - min + 1) as u64) as usize;
        Trace { name, keys, sizes: (0..count).map(size).collect() }
    }

    /// How many bytes the value of a key has.
    #[inline]
    pub(super) fn size(&self, key: u32) -> usize {
        self.sizes[key as usize]
    }

    /// Bytes of the values of the first `count` keys.
    pub(super) fn bytes(&self, count: u32) -> usize {
        self.sizes[..count as usize].iter().sum()
    }
}

/// Keys by Zipf's law. A key's rank is its number, which no contender can make use of: they hash it, and its size
/// is random.
struct Zipf {
    random: Random,
    /// By rank: the shares of it and of those before, of the largest number that is drawn.
    sums: Vec<u64>,
}

impl Zipf {
    /// Of the numbers that are drawn. More than a double tells apart would be for nothing.
    const BOUND: u64 = 1 << 53;

    fn new(count: u32) -> Zipf {
        let total: f64 = (1..=count).map(|rank| 1.0 / f64::from(rank)).sum();
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += 1.0 / f64::from(rank);
            (sum / total * Zipf::BOUND as f64) as u64
        });
        Zipf { random: Random::new(1), sums: sums.collect() }
    }

    fn next(&mut self) -> u32 {
        let drawn = self.random.below(Zipf::BOUND);
        let rank = self.sums.partition_point(|sum| *sum <= drawn);
        // The last sum may be rounded to less than the bound.
        rank.min(self.sums.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::{Trace, VALUE_BYTES};

    #[test]
    fn a_key_comes_as_often_as_its_rank_says() {
        let trace = Trace::zipf(1000, 1_000_000);
        let mut counts = vec![0u32; 1000];
        trace.keys.iter().for_each(|key| counts[*key as usize] += 1);
        let total: f64 = (1..=1000).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1, 2, 3, 10, 100] {
            let expected = 1e6 / total / f64::from(rank);
            let share = f64::from(counts[rank as usize - 1]) / expected;
            assert!((0.9..1.1).contains(&share), "rank {rank}: {share} of {expected}");
        }
        assert!(counts.iter().all(|count| *count > 0));
    }

    #[test]
    fn a_scan_takes_turns_with_the_same_keys() {
        let (plain, both) = (Trace::zipf(100, 500), Trace::zipf_and_scan(100, 1000));
        assert!(both.keys.iter().step_by(2).eq(&plain.keys));
        let scan = both.keys.iter().skip(1).step_by(2).copied();
        assert!(scan.eq((100..200).cycle().take(500)));
        assert_eq!(plain.bytes(100), both.bytes(100), "the capacity is the same");
        let sizes = (0..200).map(|key| both.size(key));
        assert!(sizes.into_iter().all(|size| (VALUE_BYTES.0..=VALUE_BYTES.1).contains(&size)));
    }
}
