//! Chains of ephemerons: is a collection linear in their number, whatever their order?
//!
//! ```text
//! cargo run --release -p cspace-benches --bin ephemeron
//! ```
//!
//! The value of each entry is the key of the next, and only the first key is a root. A marker that goes over the
//! entries until nothing changes needs as many rounds as the chain is out of order: with an order as bad as
//! `backward` it is quadratic. The baseline is the chain itself: the nanoseconds for each entry of a chain four
//! times as long are to be the same, but for what the caches no longer hold. Nothing hides their misses, as where the
//! chain goes on is known only when it has come there: so with `list`, the same objects as a linked list in random
//! order, which is the least that any marker has to do.

use std::time::Instant;

use clap::Parser;
use cspace::{CSpace, EphemeronMap, Gc, GcMode, GcRoot, OwnedRoot, Rootable, Slot};

use crate::random::Random;
use crate::size;
use crate::summary::Summary;
use crate::table::significant;

/// Measures collections of chains of ephemerons and prints a markdown table: medians and ranges of several
/// collections.
#[derive(Clone, Debug, Parser)]
#[command(name = "ephemeron")]
pub struct Options {
    /// Entries of a chain, such as `1M`.
    #[arg(long, value_delimiter = ',', default_value = "250k,1M", value_parser = size::parse)]
    pub sizes: Vec<u64>,

    /// Collections of each chain.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
}

/// The order in which entries are inserted, or no entries.
#[derive(Clone, Copy, Debug)]
enum Order {
    Forward,
    Backward,
    Shuffled,
    List,
}

/// One link: an object and what it refers to, if the chain is a list.
#[derive(cspace::IObject)]
struct Link<'gc> {
    next: Slot<'gc, Option<Gc<'gc, Link<'gc>>>>,
}

type Links<'gc> = EphemeronMap<'gc, Gc<'gc, Link<'gc>>, Gc<'gc, Link<'gc>>>;

struct Chain {
    space: CSpace,
    map: OwnedRoot<Rootable![Links<'_>]>,
    first: GcRoot<Rootable![Link<'_>]>,
}

impl Chain {
    fn new(count: usize, order: Order) -> Result<Chain, String> {
        let space = CSpace::builder().gc(GcMode::Manual).build();
        let space = space.map_err(|error| error.to_string())?;
        let mut map = space.exclusive(|cx| cx.own_root(Links::new()));
        let mut at: Vec<usize> = (0..count).collect();
        match order {
            Order::Forward => {}
            Order::Backward => at.reverse(),
            Order::Shuffled | Order::List => {
                let mut random = Random::new(1);
                for last in (1..count).rev() {
                    at.swap(last, random.below(last as u64 + 1) as usize);
                }
            }
        }
        let first = space.exclusive(|cx| {
            let links: Vec<_> =
                (0..=count).map(|_| cx.alloc(Link { next: Slot::new(None) })).collect();
            let map = map.get_mut(cx);
            if let Order::List = order {
                at.push(count);
                for pair in at.windows(2) {
                    links[pair[0]].next.set(cx, Some(links[pair[1]]));
                }
                return cx.root(links[at[0]]);
            }
            for at in at {
                map.insert(cx, links[at], links[at + 1]);
            }
            cx.root(links[0])
        });
        Ok(Chain { space, map, first })
    }
}

/// What the collections of one chain took.
struct Taken {
    /// The whole of each collection, while all of the chain lived.
    alive_ns: Summary,
    /// The longest finish of these.
    finish_us: f64,
    /// The collection that found all of it dead, and its finish.
    dead_ns: f64,
    dead_finish_us: f64,
}

fn measure(count: u64, order: Order, runs: u32) -> Result<Taken, String> {
    let chain = Chain::new(count as usize, order)?;
    let collect = || {
        let begun = Instant::now();
        let report = chain.space.collect().map_err(|error| error.to_string())?;
        Ok::<_, String>((begun.elapsed().as_nanos() as f64 / count as f64, report))
    };
    let mut alive = Vec::new();
    let mut finish_us = 0.0_f64;
    for _ in 0..runs {
        let (ns, report) = collect()?;
        if report.objects_live as u64 != count + 1 {
            return Err(format!("{} of {count} links are alive", report.objects_live));
        }
        alive.push(ns);
        finish_us = finish_us.max(report.finish.as_nanos() as f64 / 1e3);
    }
    drop(chain.first);
    let (dead_ns, report) = collect()?;
    if report.objects_live != 0 {
        return Err(format!("{} dead links are alive", report.objects_live));
    }
    drop(chain.map);
    Ok(Taken {
        alive_ns: Summary::of(alive).ok_or("nothing ran")?,
        finish_us,
        dead_ns,
        dead_finish_us: report.finish.as_nanos() as f64 / 1e3,
    })
}

/// The main function of the command.
///
/// # Errors
///
/// Says what went wrong, for the user.
pub fn main(options: &Options) -> Result<(), String> {
    println!("| chain | entries | ns per entry, alive | min–max | finish µs | ns per entry, dead | finish µs |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for order in [Order::Forward, Order::Backward, Order::Shuffled, Order::List] {
        for &count in &options.sizes {
            let taken = measure(count, order, options.runs)?;
            let Summary { median, min, max } = taken.alive_ns;
            println!(
                "| {} | {} | {} | {}–{} | {} | {} | {} |",
                format!("{order:?}").to_lowercase(),
                size::display(count),
                significant(median),
                significant(min),
                significant(max),
                significant(taken.finish_us),
                significant(taken.dead_ns),
                significant(taken.dead_finish_us),
            );
        }
    }
    Ok(())
}
