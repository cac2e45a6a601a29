//! Checking a heap: every object, every edge, and a report of all that is wrong.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use std::collections::HashSet;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use crate::batch::{panic_message, run_deferred};
use crate::chunk::{info_of, is_marked, page_info, SpanRef, GRANULE};
use crate::claim::CycleClaim;
use crate::collector::ForCollectors as _;
use crate::error::{CollectError, LockError};
use crate::held;
use crate::pool;
use crate::space::lock::{Attempts, Hold, Inspect};
use crate::space::Space;
use crate::type_info::TypeInfo;
use crate::visitor::Visitor;

/// How long the lock is waited for before it is looked whether it was leaked.
const LEAK_CHECK: Duration = Duration::from_millis(50);

/// What is wrong with an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It leads to memory that holds no object.
    Dangling,
    /// It leads to an object of another space.
    OtherSpace,
    /// It was visited once and not the next time, though nothing changed: `visit_objects` leaves it
    /// out at times.
    Unvisited,
    /// It was not there when the object that it starts from was marked, though the object's type says that its
    /// edges do not change: `MAY_CHANGE` or `CHANGES_UNSEEN` is not true.
    Changed,
}

/// An edge that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEdge {
    /// The type that the edge starts from; `None` for a root.
    pub from: Option<&'static str>,
    /// The address of the object that the edge starts from; 0 for a root.
    pub from_address: usize,
    /// The address that the edge leads to.
    pub to_address: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What [`Space::verify`](crate::Space) found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Objects that were looked at.
    pub objects: usize,
    /// Edges that were looked at.
    pub edges: usize,
    /// Edges that should not be.
    pub bad_edges: Vec<BadEdge>,
    /// Messages of `visit_objects` that panicked, and of bookkeeping that does not add up.
    pub problems: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.bad_edges.is_empty() && self.problems.is_empty()
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} objects, {} edges", self.objects, self.edges)?;
        if self.is_clean() {
            return f.write_str(", all sound");
        }
        for edge in &self.bad_edges {
            let from = edge.from.unwrap_or("a root");
            let what = match edge.fault {
                Fault::Dangling => "to memory that holds no object",
                Fault::OtherSpace => "to an object of another space",
                Fault::Unvisited => "is left out by `visit_objects` at times",
                Fault::Changed => "appeared though the type says that its edges do not change",
            };
            write!(
                f,
                "\n{from} at {:#x}: edge {what} ({:#x})",
                edge.from_address, edge.to_address
            )?;
        }
        for problem in &self.problems {
            write!(f, "\n{problem}")?;
        }
        Ok(())
    }
}

/// What the mark bits of the space say.
enum Marks {
    /// Nothing: they were cleared, or are of two spaces.
    Nothing,
    /// What was alive in the last cycle (K1).
    Old,
    /// What an incremental mark reached. Some objects are gray (I2), some are to be marked (I3).
    UnderWay { gray: HashSet<usize>, noted: HashSet<usize> },
}

impl Marks {
    /// Whether all that an object refers to is marked, if the object is as its type says.
    ///
    /// # Safety
    ///
    /// `object` is an object of the space.
    unsafe fn vouch_for(&self, object: *const u8) -> bool {
        // SAFETY: the caller's promise.
        let (marked, info) = unsafe { (is_marked(object), info_of(object)) };
        marked
            && match self {
                Marks::Nothing => false,
                Marks::Old => !info.may_change,
                Marks::UnderWay { gray, .. } => {
                    !info.changes_unseen && !gray.contains(&object.addr())
                }
            }
    }

    /// Whether an object is marked, or about to be.
    ///
    /// # Safety
    ///
    /// As [`vouch_for`](Marks::vouch_for).
    unsafe fn have(&self, object: *const u8) -> bool {
        // SAFETY: the caller's promise.
        (unsafe { is_marked(object) })
            || matches!(self, Marks::UnderWay { noted, .. } if noted.contains(&object.addr()))
    }
}

/// Looks at one space.
struct Verifier<'s> {
    allocated: HashSet<usize>,
    /// Where the space's spans begin and end, in order.
    extents: Vec<(usize, usize)>,
    marks: Marks,
    visitor: Visitor<'s>,
    report: VerifyReport,
}

impl Verifier<'_> {
    /// The edges of one object or owned value, shown twice to catch a visit that varies.
    fn edges(
        &mut self,
        from: Option<&'static TypeInfo>,
        address: usize,
        all_marked: bool,
        show: impl Fn(&mut Visitor<'_>),
    ) {
        let visitor = &mut self.visitor;
        let shown = catch_unwind(AssertUnwindSafe(|| {
            visitor.take_recorded();
            visitor.forget_nesting();
            show(visitor);
            let first = visitor.take_recorded();
            show(visitor);
            (first, visitor.take_recorded())
        }));
        let name = from.map(TypeInfo::name);
        let (first, second) = match shown {
            Ok(shown) => shown,
            Err(panic) => {
                let message = panic_message(panic);
                self.report.problems.push(format!(
                    "{}: `visit_objects` panicked: {message}",
                    name.unwrap_or("a root")
                ));
                return;
            }
        };
        if first != second {
            let (first_set, second_set): (HashSet<_>, HashSet<_>) =
                (first.iter().collect(), second.iter().collect());
            for target in first_set.symmetric_difference(&second_set) {
                self.bad(name, address, target.addr(), Fault::Unvisited);
            }
        }
        for target in first {
            self.report.edges += 1;
            if let Some(fault) = self.fault_of(target, all_marked) {
                self.bad(name, address, target.addr(), fault);
            }
        }
    }

    fn bad(
        &mut self,
        from: Option<&'static str>,
        from_address: usize,
        to_address: usize,
        fault: Fault,
    ) {
        self.report.bad_edges.push(BadEdge { from, from_address, to_address, fault });
    }

    fn fault_of(&self, target: *const u8, should_be_marked: bool) -> Option<Fault> {
        if self.allocated.contains(&target.addr()) {
            // SAFETY: an object of the space.
            let missed = should_be_marked && unsafe { !self.marks.have(target) };
            return missed.then_some(Fault::Changed);
        }
        if !pool::is_mapped(target.addr()) {
            return Some(Fault::Dangling);
        }
        // SAFETY: the address lies in a mapped chunk; handles carry its provenance. The types of other spaces' pages
        // are atomics.
        let is_in_span =
            unsafe { !page_info(target).load(Relaxed).is_null() } && !pool::is_free_share(target);
        let elsewhere = is_in_span && !self.is_own(target.addr());
        Some(if elsewhere { Fault::OtherSpace } else { Fault::Dangling })
    }

    /// Whether the address lies in a span of the space.
    fn is_own(&self, address: usize) -> bool {
        let next = self.extents.partition_point(|(begin, _)| *begin <= address);
        next > 0 && address < self.extents[next - 1].1
    }
}

/// The allocated cells of a span.
///
/// # Safety
///
/// The caller holds the space, and all gaps are retired.
unsafe fn allocated_cells(span: SpanRef) -> Vec<*const u8> {
    // SAFETY: the caller's promise.
    let allocs = unsafe { span.bits() }.1;
    let mut cells = Vec::new();
    for (word, mut bits) in allocs.iter().enumerate() {
        while bits != 0 {
            let granule = word * 64 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            cells.push(span.base().cast_const().wrapping_add(granule * GRANULE));
        }
    }
    cells
}

/// Bytes of the allocated cells of a span.
///
/// # Safety
///
/// As [`allocated_cells`].
unsafe fn allocated_bytes(span: SpanRef) -> usize {
    // SAFETY: the caller's promise.
    unsafe { allocated_cells(span).len() * span.cell_bytes() }
}

/// Walks the whole heap and checks every edge. The claim keeps cycles out.
///
/// # Errors
///
/// If this thread is inside of the space, the lock was leaked, or there is no memory.
pub fn verify(claim: &CycleClaim) -> Result<VerifyReport, CollectError> {
    let space = claim.space();
    let inner = &space.inner;
    // For the lock of another space somebody may wait who has this one.
    let patience = if held::count() == 0 { LEAK_CHECK } else { Duration::ZERO };
    // A poisoned space can be looked at; a leaked lock cannot be had.
    let mut attempts = Attempts::new(inner);
    let _hold: Hold<_, Inspect> = loop {
        let attempted = attempts.attempt(patience, || &**inner).map_err(|error| match error {
            LockError::Reentry { space } => CollectError::InsideAccess { space },
            error => error.into(),
        })?;
        if let Some(hold) = attempted {
            break hold;
        }
        if inner.is_leaked() {
            return Err(LockError::LockLeaked { space: inner.name() }.into());
        }
        if patience.is_zero() {
            return Err(CollectError::Busy { space: inner.name() });
        }
    };
    drop(attempts);
    inner.settle_want();
    // Whatever this thread left to do waits until the claim is given up: a listener in it may collect the space.
    if !claim.begin() {
        return Err(CollectError::Transferred { space: inner.name() });
    }
    let mut verifier = Verifier {
        allocated: HashSet::new(),
        extents: Vec::new(),
        marks: Marks::Nothing,
        visitor: Visitor::recording(),
        report: VerifyReport::default(),
    };
    // SAFETY: the space is held exclusively and the claim keeps sweeps out, so all spans and owned values are this
    // function's to read. In spans with dead that wait (B3) what may be written meanwhile is the dead's cells, whose
    // allocation bits are clear, and the count of waits, so nobody refers to a whole record.
    unsafe {
        let count = inner.count_objects();
        let under_way = inner.incremental().with(|mark| Marks::UnderWay {
            gray: mark.visitor.gray_objects().map(<*const u8>::addr).collect(),
            noted: mark.visitor.noted().iter().map(|object| object.addr()).collect(),
        });
        verifier.marks = match under_way {
            Some(marks) => marks,
            None if inner.counters().old.is_known.load(Relaxed) => Marks::Old,
            None => Marks::Nothing,
        };
        (*inner.heap()).retire_gaps();
        let spans = (*inner.heap()).spans();
        let extent = |span: &SpanRef| (span.base().addr(), span.base().addr() + span.bytes());
        verifier.extents = spans.iter().map(extent).collect();
        verifier.extents.sort_unstable();
        let cells: Vec<*const u8> = spans.iter().flat_map(|span| allocated_cells(*span)).collect();
        verifier.allocated = cells.iter().map(|cell| cell.addr()).collect();
        if cells.len() != count {
            let problem = format!("{} objects are allocated, but {count} are counted", cells.len());
            verifier.report.problems.push(problem);
        }
        // What waits to be swept counts too.
        let bytes: usize = spans.iter().map(|span| allocated_bytes(*span)).sum();
        let counted = inner.counters().allocated();
        if bytes > counted {
            let problem = format!("{bytes} bytes are allocated, but {counted} are counted");
            verifier.report.problems.push(problem);
        }
        for span in &spans {
            let (marks, allocs) = span.bits();
            let mut words = marks.iter().zip(allocs.iter());
            if words.any(|(mark, alloc)| mark & !alloc != 0) {
                let problem = format!("mark bits are set where no object is at {:p}", span.base());
                verifier.report.problems.push(problem);
            }
            debug_assert_eq!(marks.len(), allocs.len());
        }
        for cell in &cells {
            verifier.report.objects += 1;
            let all_marked = verifier.marks.vouch_for(*cell);
            verifier.edges(Some(info_of(*cell)), cell.addr(), all_marked, |visitor| {
                visitor.trace(*cell);
            });
        }
        let handles = inner.handles();
        let (roots, owned) =
            (handles.roots.lock().snapshot(), handles.owned.lock().live(inner.home().id()));
        let (Some(roots), Some(owned)) = (roots, owned) else {
            return Err(CollectError::NoMemory { what: "the roots" });
        };
        // Read once: other threads drop handles meanwhile.
        let mut objects: Vec<*const u8> = inner.root_set().iter().collect();
        roots.for_each(|object| objects.push(object));
        verifier.edges(None, 0, false, |visitor| {
            objects.iter().for_each(|object| visitor.edge_any(*object));
        });
        inner.counters().cleanups.for_each(|target| {
            if !verifier.allocated.contains(&target.addr()) {
                let problem =
                    format!("a cleaner waits at {:#x}, where there is no object", target.addr());
                verifier.report.problems.push(problem);
            }
        });
        for cell in owned {
            verifier.edges(None, 0, false, |visitor| cell.visit(visitor));
        }
    }
    if verifier.visitor.has_failed() {
        return Err(CollectError::NoMemory { what: "the edges" });
    }
    Ok(verifier.report)
}

impl Space {
    /// Walks the whole heap and reports every bad edge, instead of stopping at the first: dangling,
    /// into another space, left out by a `visit_objects` at times.
    ///
    /// Safe code cannot make one; the tool is for `unsafe impl IObject` and for tests. Slow.
    ///
    /// # Errors
    ///
    /// As [`synchronous_gc`](Space::synchronous_gc). A thread that holds another space does not wait for the lock.
    pub fn verify(&self) -> Result<VerifyReport, CollectError> {
        loop {
            if self.is_inside() {
                return Err(CollectError::InsideAccess { space: self.inner.name() });
            }
            if let Some(claim) = self.try_claim_cycle() {
                let verified = verify(&claim);
                drop(claim);
                run_deferred();
                match verified {
                    Err(CollectError::Transferred { .. }) => continue,
                    verified => return verified,
                }
            }
            if !Space::may_wait_for_cycle() {
                return Err(CollectError::Busy { space: self.inner.name() });
            }
            self.wait_for_cycle(None, &|| true);
        }
    }
}
