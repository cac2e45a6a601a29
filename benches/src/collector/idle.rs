//! What many idle spaces with one pool cost.

use std::time::{Duration, Instant};

use cspace::{CSpace, GcPool};

use super::case::{Case, Figure};
use super::graph;
use super::options::{Part, Sizes};
use crate::measure::{rss_bytes, thread_count};

const POOL_THREADS: usize = 2;

const KIB_TARGET: f64 = 32.0;
const THREADS_TARGET: f64 = 8.0;
const MICROS_TARGET: f64 = 50.0;

pub(super) static CASES: &[Case] = &[
    Case {
        name: "idle-empty",
        part: Part::Idle,
        question: "Many spaces with nothing in them, served by one pool of two threads. What does each cost?",
        run: |sizes| idle(sizes, Content::Nothing),
    },
    Case {
        name: "idle-object",
        part: Part::Idle,
        question: "The same with one object of 32 bytes and a root in each space.",
        run: |sizes| idle(sizes, Content::Object),
    },
    Case {
        name: "idle-collected",
        part: Part::Idle,
        question: "The same after a collection of each.",
        run: |sizes| idle(sizes, Content::Collected),
    },
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Nothing,
    Object,
    Collected,
}

fn idle(sizes: &Sizes, content: Content) -> Result<Vec<Figure>, String> {
    let count = sizes.spaces.max(1);
    let pool = GcPool::new(POOL_THREADS).map_err(|error| error.to_string())?;
    let build = || CSpace::builder().gc_pool(&pool).build().map_err(|error| error.to_string());
    // What a process needs for its first space is not what each space costs.
    graph::build(&build()?, 1, 1);
    let mut spaces = Vec::with_capacity(count as usize);
    let mut roots = Vec::with_capacity(count as usize);
    let rss_before = rss_bytes();

    let mut create = Duration::ZERO;
    for _ in 0..count {
        let begun = Instant::now();
        let space = build()?;
        if content != Content::Nothing {
            roots.push(space.exclusive(|cx| cx.root(graph::node(cx, 1))));
        }
        create += begun.elapsed();
        if content == Content::Collected {
            space.collect().map_err(|error| error.to_string())?;
        }
        spaces.push(space);
    }
    let (rss, threads) = (rss_bytes(), thread_count());
    for (space, root) in spaces.iter().zip(&roots) {
        assert_eq!(space.shared(|cx| root.get(cx).key), 1);
    }
    let begun = Instant::now();
    drop(roots);
    drop(spaces);
    let destroy = begun.elapsed();

    let each = |total: f64| total / count as f64;
    let [create, destroy] = [create, destroy].map(|time| each(time.as_secs_f64() * 1e6));
    let mut figures = Vec::new();
    if let (Some(before), Some(rss)) = (rss_before, rss) {
        let kib = each((rss as f64 - before as f64) / 1024.0);
        figures.push(Figure::new("resident memory per space, KiB", kib).at_most(KIB_TARGET));
    }
    if let Some(threads) = threads {
        figures.push(Figure::new("threads", threads as f64).at_most(THREADS_TARGET));
    }
    figures.extend([
        Figure::new("to create one, µs", create),
        Figure::new("to destroy one, µs", destroy),
        Figure::new("both, µs", create + destroy).at_most(MICROS_TARGET),
    ]);
    Ok(figures)
}
