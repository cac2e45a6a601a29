//! A cache that gives way: what can be made again is kept while there is room for it.
//!
//! Pages are read from a slow disk, which is a function here. The space keeps them up to its threshold; above it a
//! collection lets go of those that were touched least recently, and `on_evict` sees each before it goes. Whoever asks
//! for one later loads it again.

use std::convert::Infallible;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

use cspace::{CSpace, EvictableCache, IObject};

const PAGE_BYTES: usize = 64 << 10;

/// A page, with a part outside of the heap that counts as well.
#[derive(IObject)]
struct Page {
    number: usize,
    text: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let gone = Arc::new(AtomicUsize::new(0));
    let loads = AtomicUsize::new(0);
    let count = Arc::clone(&gone);
    let space = CSpace::builder()
        .name("pages")
        .eviction_threshold(16 * (PAGE_BYTES + 1024)) // 16 pages and what they take themselves
        .on_evict(move |_, object| {
            // The place to write a page out that was changed.
            if object.downcast::<Page>().is_some_and(|page| page.number != 0) {
                count.fetch_add(1, Relaxed);
            }
        })
        .build()?;
    let cache = space.exclusive(|cx| EvictableCache::<usize, Page>::new(cx));

    // Loads with nothing locked, once for a key even if several threads ask.
    let read = |number: usize| {
        let load = || {
            loads.fetch_add(1, Relaxed);
            Ok::<_, Infallible>(format!("{number:02}").repeat(PAGE_BYTES / 2))
        };
        cache.get_or_load(&space, &number, load, |cx, text| cx.alloc(Page { number, text }))
    };
    for number in 0..64 {
        let page = read(number)?; // a root: the page stays as long as somebody has it
        let bytes = space.shared(|cx| page.get(cx).text.len());
        assert_eq!(bytes, PAGE_BYTES);
        read(0)?; // used all the time
    }
    space.synchronous_gc()?;
    let kept =
        || space.shared(|cx| (0..64).filter(|number| cache.get(cx, number).is_some()).count());
    println!("64 pages were loaded by {} loads", loads.load(Relaxed));
    println!("{} pages are kept, {} others are gone", kept(), gone.load(Relaxed));

    let before = loads.load(Relaxed);
    read(0)?;
    read(1)?;
    println!("page 0 was used all the time, page 1 once: {} load", loads.load(Relaxed) - before);

    // The system is short of memory: eight pages less.
    let evicted = space.try_evict(8 * PAGE_BYTES)?;
    println!("under pressure {} more went, {} KiB", evicted.objects, evicted.bytes >> 10);
    Ok(())
}
