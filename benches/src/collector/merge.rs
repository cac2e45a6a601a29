//! How long `transfer_from` takes.

use std::thread;
use std::time::{Duration, Instant};

use cspace::collector::ForCollectors;
use cspace::{CSpace, Category, CollectError, GcMode, IObject};

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
    Case {
        name: "merge-requests",
        part: Part::Merge,
        question: "A server merges a space for each request, of which one root is kept: how long do the merges take, and \
                   how long does a collection of the server then keep others out? The targets are those of a merge, and \
                   some times what a server takes that made the objects itself.",
        run: merge_requests,
    },
    Case {
        name: "merge-to-and-fro",
        part: Part::Merge,
        question: "Two spaces are merged to and fro, beside a root and a charge of each: how long do the first tenth of the \
                   merges and the last tenth take?",
        run: merge_to_and_fro,
    },
];

/// The finish of a collection does not depend on how many requests were merged.
const FINISH_MICROS_TARGET: f64 = 100.0;
/// A request with one object has a share of 256 bytes, its record, and a root.
const REQUEST_KIB_TARGET: f64 = 0.6;

fn merge_requests(sizes: &Sizes) -> Result<Vec<Figure>, String> {
    let server = space()?;
    let mut times = Waits::default();
    let mut roots = Vec::new();
    let resident = resident_kib();
    for key in 0..sizes.requests {
        let request = space()?;
        roots.push(request.exclusive(|cx| cx.root(cx.alloc(key))));
        let begun = Instant::now();
        let report = server.transfer_from(&request);
        times.push(begun.elapsed());
        report.map_err(|error| error.to_string())?;
    }
    let grown = resident_kib() - resident;
    let mut finish = Waits::default();
    let mut pauses = Waits::default();
    for _ in 0..5 {
        let report = server.synchronous_gc().map_err(|error| error.to_string())?;
        finish.push(report.finish);
        pauses.push(report.pause);
    }
    let sum: u64 = server.shared(|cx| roots.iter().map(|root| *root.get(cx)).sum());
    assert_eq!(sum, (0..sizes.requests).sum::<u64>());
    let [p50, p99, _] = times.figures("the call");
    let [finish, ..] = finish.figures("everybody out");
    let [pause, ..] = pauses.figures("writers out");
    Ok(vec![
        Figure::new("requests", sizes.requests as f64),
        p50.at_most(MICROS_TARGET),
        p99.at_most(MICROS_TARGET),
        finish.at_most(FINISH_MICROS_TARGET),
        pause,
        Figure::new("resident, KiB for each", grown / sizes.requests as f64)
            .at_most(REQUEST_KIB_TARGET),
    ])
}

/// What of this process is in memory; 0 where the system does not say.
fn resident_kib() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|pages| pages.split(' ').nth(1)?.parse::<f64>().ok());
    pages.map_or(0.0, |pages| pages * 4.0)
}

fn merge_to_and_fro(sizes: &Sizes) -> Result<Vec<Figure>, String> {
    let (a, b) = (space()?, space()?);
    let handles = [&a, &b].map(|space| {
        let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
        let charge = space.ledger().try_charge(Category::External, 1).expect("there is no limit");
        (root, charge)
    });
    let (mut first, mut last) = (Waits::default(), Waits::default());
    for merge in 0..sizes.requests {
        let (from, into) = if merge % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let begun = Instant::now();
        let report = into.transfer_from(from);
        let time = begun.elapsed();
        report.map_err(|error| error.to_string())?;
        if merge < sizes.requests / 10 {
            first.push(time);
        } else if merge >= sizes.requests / 10 * 9 {
            last.push(time);
        }
    }
    let into = if sizes.requests % 2 == 1 { &b } else { &a };
    into.shared(|cx| assert!(handles.iter().all(|(root, _)| *root.get(cx) == 1)));
    let [first, ..] = first.figures("the first");
    let [last, ..] = last.figures("the last");
    let target = first.value.max(1.0) * 3.0;
    Ok(vec![Figure::new("merges", sizes.requests as f64), first, last.at_most(target)])
}

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
