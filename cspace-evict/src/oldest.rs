//! The oldest few of many: a selection by weight.
//!
//! To let go of the least recently touched objects, one need not sort them all. Of the range in which the cut must
//! be, the median is selected; the halves' weights say on which side the cut is; and so on with that half. Each
//! step is linear in a range half as long as the one before, so the whole is linear.

/// How many of the smallest items to take, at the least, for `count` of them and for the weight `bytes`; all, if
/// they do not come to that. Those items are in front afterwards, in no particular order.
pub(crate) fn take_oldest<T: Ord>(
    items: &mut [T],
    weight: impl Fn(&T) -> usize,
    count: usize,
    bytes: u128,
) -> usize {
    if count == 0 && bytes == 0 {
        return 0;
    }
    let weigh = |items: &[T]| items.iter().map(|item| weight(item) as u128).sum::<u128>();
    if count >= items.len() || weigh(items) < bytes {
        return items.len();
    }
    // The cut is above `from` and at most at `to`; the items before `from`, which weigh `before`, are smaller than
    // those from there on, and these smaller than those from `to` on.
    let (mut from, mut to, mut before) = (0, items.len(), 0);
    while to - from > 1 {
        let middle = from + (to - from) / 2;
        items[from..to].select_nth_unstable(middle - from);
        let half = weigh(&items[from..middle]);
        if middle >= count && before + half >= bytes {
            to = middle;
        } else {
            (from, before) = (middle, before + half);
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::take_oldest;

    /// Item `i` is touched at `ages[i]` and weighs `weights[i]`.
    fn by_sorting(items: &[(u64, usize)], count: usize, bytes: u128) -> Vec<(u64, usize)> {
        let mut sorted = items.to_vec();
        sorted.sort_unstable();
        let mut taken = Vec::new();
        let mut weight = 0u128;
        for item in sorted {
            if taken.len() >= count && weight >= bytes {
                break;
            }
            weight += item.1 as u128;
            taken.push(item);
        }
        taken
    }

    #[test]
    #[cfg_attr(miri, ignore = "3,000 rounds")]
    fn it_takes_what_sorting_takes() {
        let mut seed = 1u64;
        let mut random = |limit: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % limit
        };
        for round in 0..3000 {
            let len = random(40) as usize;
            // Weights of nothing, of little, and of more than anything adds up to.
            let huge = round % 3 == 0;
            let mut items: Vec<(u64, usize)> = (0..len)
                .map(|at| {
                    let weight = random(5) as usize * if huge { usize::MAX / 4 } else { 1 };
                    (random(30) * 64 + at as u64, weight)
                })
                .collect();
            let total: u128 = items.iter().map(|item| item.1 as u128).sum();
            let bytes = total * u128::from(random(12)) / 10;
            let count = random(len as u64 + 3) as usize;
            let mut expected = by_sorting(&items, count, bytes);
            let taken = take_oldest(&mut items, |item| item.1, count, bytes);
            items[..taken].sort_unstable();
            expected.sort_unstable();
            assert_eq!(&items[..taken], expected, "round {round}: {count} items, {bytes} bytes");
        }
    }
}
