//! A graph full of cycles, and what keeps a part of it alive.
//!
//! Two islands of towns: a road goes both ways, so every road is a cycle. Nothing is counted: what a root reaches
//! lives, and what no root reaches any more goes in the next collection, cycles and all.

use std::collections::HashSet;
use std::error::Error;

use cspace::{CSpace, Exclusive, Gc, GcCell, GcRoot, IObject, Rootable, Shared};

#[derive(IObject)]
struct Town<'gc> {
    roads: GcCell<'gc, Vec<Gc<'gc, Town<'gc>>>>,
}

/// A town that is kept between accesses, and with it every town that roads lead to.
type TownRoot = GcRoot<Rootable![Town<'_>]>;

fn build_road<'gc>(cx: &mut Exclusive<'gc>, a: Gc<'gc, Town<'gc>>, b: Gc<'gc, Town<'gc>>) {
    a.roads.borrow_mut(cx).push(b);
    b.roads.borrow_mut(cx).push(a);
}

/// Makes `count` towns, a road along the coast through all of them, and roads across. Returns the first and the last.
fn settle<'gc>(cx: &mut Exclusive<'gc>, count: usize) -> (Gc<'gc, Town<'gc>>, Gc<'gc, Town<'gc>>) {
    let towns: Vec<_> =
        (0..count).map(|_| cx.alloc(Town { roads: GcCell::new(Vec::new()) })).collect();
    for i in 1..count {
        build_road(cx, towns[i - 1], towns[i]);
        build_road(cx, towns[i / 2], towns[i]);
    }
    (towns[0], towns[count - 1])
}

/// How many towns one can drive to. By a list of those that are still ahead rather than by recursion.
fn count_from<'gc>(cx: &Shared<'gc>, start: Gc<'gc, Town<'gc>>) -> usize {
    let (mut seen, mut ahead) = (HashSet::from([start]), vec![start]);
    while let Some(town) = ahead.pop() {
        ahead.extend(town.roads.borrow(cx).iter().copied().filter(|&next| seen.insert(next)));
    }
    seen.len()
}

fn main() -> Result<(), Box<dyn Error>> {
    let space = CSpace::builder().name("islands").build()?;
    // A `Gc` cannot leave the access it was got in, a root can.
    let (north, harbour, south): (TownRoot, TownRoot, TownRoot) = space.exclusive(|cx| {
        let (north, harbour) = settle(cx, 1000);
        let (south, _) = settle(cx, 500);
        build_road(cx, harbour, south); // a bridge between the islands
        (cx.root(north), cx.root(harbour), cx.root(south))
    });
    let count = || space.shared(|cx| count_from(cx, north.get(cx)));

    println!("{} towns can be reached from the north", count());
    println!("collected while all are in use: {}", space.synchronous_gc()?.objects_reclaimed);

    drop(south); // on any thread, without the lock
    println!("collected without the southern root: {}", space.synchronous_gc()?.objects_reclaimed);

    // One way is closed. The other one leads from the south to the north, which keeps nothing in the south.
    space.exclusive(|cx| harbour.get(cx).roads.borrow_mut(cx).pop().is_some());
    println!("{} towns can be reached from the north now", count());
    println!("collected without the bridge: {}", space.synchronous_gc()?.objects_reclaimed);
    Ok(())
}
