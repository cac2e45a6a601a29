//! How long `transfer_from` takes.

use std::thread;
use std::time::{Duration, Instant};

use cspace::{CSpace, CollectError, GcMode, IObject};

use super::case::{Case, Figure};
use super::graph;
use super::options::{Part, Sizes};
use super::waits::Waits;

const MICROS_TARGET: f64 = 100.0;
/// For each of the objects that live, so many are garbage whose drops the sweep runs.
const GARBAGE: u64 = 1;

pub(super) static CASES: &[Case] = &[
    Case {
        name: "merge",
        part: Part::Merge,
        question: "How long does `transfer_from` take of a space with many objects and some roots?",
        run: |sizes| merge(sizes.objects, sizes.roots, sizes.merges),
    },
    Case {
        name: "merge-large",
        part: Part::Merge,
        question: "The same with ten times as many objects.",
        run: |sizes| merge(sizes.objects_large, sizes.roots, merges_large(sizes)),
    },
    Case {
        name: "merge-large-roots",
        part: Part::Merge,
        question: "The same with very many roots.",
        run: |sizes| merge(sizes.objects_large, sizes.roots_many, merges_large(sizes)),
    },
    Case {
        name: "merge-sweep",
        part: Part::Merge,
        question: "The same of the smaller space, while a sweep of it is under way that runs as many drops \
                   as there are live objects; of merges that came before its end.",
        run: merge_during_sweep,
    },
];

fn merges_large(sizes: &Sizes) -> u32 {
    sizes.merges.div_ceil(5)
}

/// Collected by explicit calls only, so that nothing but the merge runs while it is timed.
fn space() -> Result<CSpace, String> {
    CSpace::builder().gc(GcMode::Manual).build().map_err(|error| error.to_string())
}

fn figures(times: Waits) -> Vec<Figure> {
    let count = Figure::new("merges", times.len() as f64);
    let [p50, _, worst] = times.figures("the call");
    vec![count, p50.at_most(MICROS_TARGET), worst.at_most(MICROS_TARGET)]
}

fn merge(objects: u64, roots: u64, merges: u32) -> Result<Vec<Figure>, String> {
    let mut times = Waits::default();
    for _ in 0..merges {
        let (source, target) = (space()?, space()?);
        let roots = graph::build(&source, objects, roots);
        let _own = graph::build(&target, 1, 1);
        let begun = Instant::now();
        let report = target.transfer_from(&source);
        times.push(begun.elapsed());
        report.map_err(|error| error.to_string())?;
        check(&source, &target, objects + 1)?;
        assert_eq!(target.shared(|cx| roots[0].get(cx).key), 0);
    }
    Ok(figures(times))
}

fn check(source: &CSpace, target: &CSpace, objects: u64) -> Result<(), String> {
    let counts = (source.num_objects(), target.num_objects());
    if counts == (0, objects as usize) {
        Ok(())
    } else {
        Err(format!("after the merge of {objects} objects there are {counts:?}"))
    }
}

/// Garbage whose drop takes a moment.
#[derive(IObject)]
struct Garbage(#[allow(dead_code)] Box<u64>);

fn merge_during_sweep(sizes: &Sizes) -> Result<Vec<Figure>, String> {
    let mut times = Waits::default();
    // A sweep may be over before this thread gets a processor.
    for _ in 0..sizes.merges * 5 {
        if times.len() == sizes.merges as usize {
            break;
        }
        let (source, target) = (space()?, space()?);
        let _roots = graph::build(&source, sizes.objects, sizes.roots);
        let _own = graph::build(&target, 1, 1);
        source.exclusive(|cx| {
            for number in 0..sizes.objects * GARBAGE {
                cx.alloc(Garbage(Box::new(number)));
            }
        });
        if let Some(time) = merge_once_swept(&source, &target)? {
            times.push(time);
        }
        check(&source, &target, sizes.objects + 1)?;
    }
    Ok(figures(times))
}

/// Merges once the finish of a cycle is over; none if the sweep was over as well.
fn merge_once_swept(source: &CSpace, target: &CSpace) -> Result<Option<Duration>, String> {
    thread::scope(|scope| {
        let begun_before = source.cycles_begun();
        let collection = scope.spawn(|| source.collect());
        while source.cycles_begun() == begun_before && !collection.is_finished() {
            thread::yield_now();
        }
        // Waits for the mark and the finish.
        source.exclusive(|_| ());
        let begun = Instant::now();
        let report = target.transfer_from(source);
        let time = begun.elapsed();
        let report = report.map_err(|error| error.to_string())?;
        match collection.join() {
            Ok(Ok(_) | Err(CollectError::Transferred { .. })) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the collection panicked".to_owned()),
        }
        Ok(report.sweep_under_way.then_some(time))
    })
}
