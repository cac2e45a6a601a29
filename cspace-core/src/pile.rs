//! Things in no order, which take over those of another pile in constant time ([`Pile`]).

use std::collections::TryReserveError;

use crate::list::has_room;

/// Vectors up to this length are joined; longer ones are kept as they are. Large enough for few vectors, small enough
/// to be moved in a microsecond.
const BUNDLE: usize = 512;

/// A collection for what moves when spaces merge.
///
/// The cost of [`absorb`](Pile::absorb) does not depend on how many things there are, but for a vector's pointer for
/// each [`BUNDLE`] of the smaller pile. Nothing is allocated there if [`prepare`](Pile::prepare) came before.
#[derive(Debug)]
pub(crate) struct Pile<T> {
    /// What is added one by one.
    loose: Vec<T>,
    /// What came as a whole.
    bundles: Vec<Vec<T>>,
}

impl<T> Default for Pile<T> {
    fn default() -> Self {
        Pile { loose: Vec::new(), bundles: Vec::new() }
    }
}

impl<T> Pile<T> {
    pub(crate) fn push(&mut self, thing: T) {
        self.loose.push(thing);
    }

    /// Takes some thing out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        loop {
            if let Some(thing) = self.loose.pop() {
                return Some(thing);
            }
            self.loose = self.bundles.pop()?;
        }
    }

    /// Adds what another pile has in front of all else.
    pub(crate) fn put_front(&mut self, pile: Pile<T>) {
        if !self.bundles.is_empty() {
            let lists = pile.into_lists().filter(|list| !list.is_empty());
            drop(self.bundles.splice(0..0, lists));
            return;
        }
        let mut since = core::mem::replace(self, pile).loose;
        // So that it is one list again, however often something is put back. If there is no memory it is two.
        if has_room(&mut self.loose, since.len()) {
            self.loose.append(&mut since);
        } else {
            let before = core::mem::replace(&mut self.loose, since);
            self.push_bundle(before);
        }
    }

    /// Adds a vector behind all that came so.
    pub(crate) fn push_bundle(&mut self, bundle: Vec<T>) {
        if !bundle.is_empty() {
            self.bundles.push(bundle);
        }
    }

    /// All of them, as lists.
    pub(crate) fn lists(&self) -> impl Iterator<Item = &[T]> + '_ {
        self.bundles.iter().map(Vec::as_slice).chain([self.loose.as_slice()])
    }

    /// As [`lists`](Pile::lists), to be changed.
    pub(crate) fn lists_mut(&mut self) -> impl Iterator<Item = &mut Vec<T>> + '_ {
        self.bundles.iter_mut().chain([&mut self.loose])
    }

    /// As [`lists`](Pile::lists), to be taken over.
    pub(crate) fn into_lists(self) -> impl Iterator<Item = Vec<T>> {
        self.bundles.into_iter().chain([self.loose])
    }

    /// Makes room for so many vectors, and things one by one.
    pub(crate) fn try_reserve(
        &mut self,
        bundles: usize,
        loose: usize,
    ) -> Result<(), TryReserveError> {
        self.bundles.try_reserve(bundles)?;
        self.loose.try_reserve(loose)
    }

    pub(crate) fn len(&self) -> usize {
        self.loose.len() + self.bundles.iter().map(Vec::len).sum::<usize>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.loose.is_empty() && self.bundles.iter().all(Vec::is_empty)
    }

    /// All of them: what came as a whole first, each in the order in which it was added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.bundles.iter().flatten().chain(&self.loose)
    }

    /// Keeps those that `f` says.
    pub(crate) fn retain(&mut self, mut f: impl FnMut(&T) -> bool) {
        for bundle in &mut self.bundles {
            bundle.retain(&mut f);
        }
        self.bundles.retain(|bundle| !bundle.is_empty());
        self.loose.retain(f);
    }

    /// All of them, in the order of [`iter`](Pile::iter).
    pub(crate) fn into_vec(mut self) -> Vec<T> {
        if self.bundles.is_empty() {
            return self.loose;
        }
        let mut all = Vec::with_capacity(self.len());
        for bundle in &mut self.bundles {
            all.append(bundle);
        }
        all.append(&mut self.loose);
        all
    }

    /// Makes room for what `absorb` of the same pile will take over.
    pub(crate) fn prepare(&mut self, other: &mut Pile<T>) {
        let (loose, others) = longer_first(&mut self.loose, &mut other.loose);
        if others.len() <= BUNDLE {
            loose.reserve(others.len());
        }
        let (bundles, others) = longer_first(&mut self.bundles, &mut other.bundles);
        bundles.reserve(others.len() + 1);
    }

    /// Takes over what another pile has. What is in either stays in its order.
    pub(crate) fn absorb(&mut self, other: &mut Pile<T>) {
        if self.loose.len() < other.loose.len() {
            core::mem::swap(&mut self.loose, &mut other.loose);
        }
        if self.bundles.len() < other.bundles.len() {
            core::mem::swap(&mut self.bundles, &mut other.bundles);
        }
        // What either has as bundles comes before what it has one by one.
        self.bundles.append(&mut other.bundles);
        if other.loose.len() <= BUNDLE {
            self.loose.append(&mut other.loose);
        } else {
            self.bundles.push(core::mem::take(&mut other.loose));
        }
        *other = Pile::default();
    }
}

fn longer_first<'a, T>(a: &'a mut Vec<T>, b: &'a mut Vec<T>) -> (&'a mut Vec<T>, &'a Vec<T>) {
    if a.len() < b.len() {
        (b, a)
    } else {
        (a, b)
    }
}

impl<T> FromIterator<T> for Pile<T> {
    fn from_iter<I: IntoIterator<Item = T>>(things: I) -> Self {
        Pile { loose: things.into_iter().collect(), bundles: Vec::new() }
    }
}

impl<T> IntoIterator for Pile<T> {
    type Item = T;
    type IntoIter =
        core::iter::Chain<core::iter::Flatten<std::vec::IntoIter<Vec<T>>>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.bundles.into_iter().flatten().chain(self.loose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "thousands of things")]
    fn what_is_absorbed_is_all_there_once() {
        for (own, others) in [(0, 3), (3, 0), (BUNDLE, 2000), (2000, BUNDLE), (2000, 3000)] {
            let mut pile: Pile<usize> = (0..own).collect();
            let mut other: Pile<usize> = (own..own + others).collect();
            pile.prepare(&mut other);
            pile.absorb(&mut other);
            assert!(other.is_empty());
            let mut all: Vec<_> = pile.iter().copied().collect();
            assert_eq!(pile.len(), all.len());
            all.sort_unstable();
            assert!(all.iter().copied().eq(0..own + others));
            pile.retain(|thing| thing % 2 == 0);
            assert_eq!(pile.pop().map(|thing| thing % 2), (own + others > 0).then_some(0));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "thousands of things")]
    fn what_is_absorbed_stays_in_its_order() {
        let sizes = [0, 1, BUNDLE, BUNDLE + 1];
        let all = |n: usize| [n / 64 % 4, n / 16 % 4, n / 4 % 4, n % 4].map(|i| sizes[i]);
        for [own_bundle, own_loose, others_bundle, others_loose] in (0..256).map(all) {
            let pile = |from: usize, bundle: usize, loose: usize| {
                let mut pile: Pile<usize> = (from + bundle..from + bundle + loose).collect();
                pile.push_bundle((from..from + bundle).collect());
                pile
            };
            let mut one = pile(0, own_bundle, own_loose);
            let mut other = pile(1 << 20, others_bundle, others_loose);
            one.prepare(&mut other);
            one.absorb(&mut other);
            let is_own = |thing: &&usize| **thing < 1 << 20;
            assert!(one.iter().filter(is_own).copied().eq(0..own_bundle + own_loose));
            let others = one.iter().filter(|thing| !is_own(thing)).map(|thing| thing - (1 << 20));
            assert!(others.eq(0..others_bundle + others_loose));
        }
    }

    #[test]
    fn what_is_put_back_in_front_again_and_again_is_one_list() {
        let mut pile = Pile::default();
        for i in 0..100 {
            let before = core::mem::take(&mut pile);
            // It came meanwhile.
            pile.push(i);
            pile.put_front(before);
            assert!(pile.iter().copied().eq(0..=i));
            assert_eq!(pile.bundles.len(), 0);
        }
        // After a merge it is more.
        pile.push_bundle(vec![200]);
        let before = core::mem::take(&mut pile);
        pile.push_bundle(vec![201]);
        pile.push(202);
        pile.put_front(before);
        assert!(pile.iter().copied().eq([200].into_iter().chain(0..100).chain([201, 202])));
    }

    #[test]
    fn many_small_piles_make_few_vectors() {
        const COUNT: usize = if cfg!(miri) { 50 } else { 100 * BUNDLE };
        let mut pile = Pile::default();
        for i in 0..COUNT {
            let mut other = Pile::from_iter([i]);
            if i % 2 == 0 {
                core::mem::swap(&mut pile, &mut other);
            }
            pile.prepare(&mut other);
            pile.absorb(&mut other);
        }
        assert_eq!((pile.len(), pile.bundles.len()), (COUNT, 0));
    }
}
