//! One cycle: claim, mark, finish, reclaim.

use std::sync::mpsc::{channel, Sender};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace_core::collector::{
    defer, has_deferred, run_deferred, Batch, BatchTicket, Collector, CycleClaim, Extent,
    FinishPhase, ForCollectors, LeftUntil, LockWait, MarkPhase, Reclaimed, Remains,
};
use cspace_core::{CollectError, CollectReport, Space};

use crate::control::GcControl;

/// How a finish is entered while readers come and go.
///
/// Insisting at once would stop every new reader for as long as the slowest one stays, and hang two
/// that wait for each other. So the finish is tried for a moment, readers are let in, and it is tried
/// again; when the debt is due, the attempts become long ones. No attempt is without an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How long one attempt waits for readers to leave. New readers wait that long at most.
    pub attempt: Duration,
    /// The pause after an attempt that failed; doubles up to thirty-two times itself.
    pub back_off: Duration,
    /// When to begin with long attempts, counted from the end of marking. Writers wait for as long.
    pub debt: Duration,
    /// How long one long attempt waits for readers to leave, and so new readers at most.
    pub insistence: Duration,
}

impl Default for Patience {
    /// 200 µs attempts, 50 µs pauses, and after 100 ms attempts of 50 ms.
    fn default() -> Self {
        Patience {
            attempt: Duration::from_micros(200),
            back_off: Duration::from_micros(50),
            debt: Duration::from_millis(100),
            insistence: Duration::from_millis(50),
        }
    }
}

/// Attempts that a thread makes which holds another space: readers may wait for that one.
const ATTEMPTS_INSIDE: usize = 64;

/// How long a mutator at a safepoint waits for another thread's cycle before it goes on over budget.
const THROTTLE: Duration = Duration::from_millis(10);

/// How long the lock is waited for to deliver evicted objects before it is looked whether to go on.
const DELIVERY_SLICE: Duration = Duration::from_millis(10);
/// After deliveries that failed the first such wait is this many times as long at most.
const DELIVERY_FACTOR_MAX: u32 = 32;

/// How many collections more an explicit one makes to free what was delivered. Each of them may evict in its turn: what
/// a callback linked back and made evictable again, say, which may have no end.
const FOLLOW_UPS_MAX: usize = 8;

/// The user code of a cycle, for another thread: cleaners and drops of the dead, listeners.
pub(crate) struct Rest {
    pub(crate) ticket: Option<BatchTicket>,
    pub(crate) work: Work,
    /// If there is nothing to run but listeners: how many events they are told.
    pub(crate) news: Option<u64>,
}

type Work = Box<dyn FnOnce() + Send>;

/// A place in the driver's queue for the rest of a cycle, which is to come at once: whose turn it is waits for it. Taken with
/// the claim held, so that the rests are in the order of their cycles.
struct Place(Sender<Work>);

impl Place {
    /// None if there is nobody to hand over to.
    fn take(drive: Drive<'_>, ticket: BatchTicket, news: Option<u64>) -> Option<Place> {
        let (fill, filled) = channel::<Work>();
        let work = Box::new(move || {
            // An error if the thread that was to fill it panicked.
            if let Ok(work) = filled.recv() {
                work();
            }
        });
        let rest = Rest { ticket: Some(ticket), work, news };
        (drive.hand_over)(rest).is_ok().then_some(Place(fill))
    }

    fn fill(self, work: Work) {
        // If that fails the place was given away, as there are too many: nobody is to be told.
        let _ = self.0.send(work);
    }
}

/// Who runs the user code of a cycle that is not part of the mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UserCodeBy {
    /// The thread that runs the cycle, if it may: it drives the space, or was told to collect.
    Caller,
    /// The space's driver, if there is one: the thread is a mutator's, that came to a safepoint in the middle of
    /// whatever its program does.
    Driver,
    /// The space's driver, and on no account the thread that runs the cycle: it is the driver's stand-in.
    DriverAlone,
}

/// By whom, and for how long, a cycle is driven.
#[derive(Clone, Copy)]
pub(crate) struct Drive<'a> {
    /// How much it has to look at.
    pub(crate) extent: Extent,
    /// How to wait for the lock.
    pub(crate) wait: LockWait<'a>,
    /// Whether to go on waiting for readers to leave; asked after each attempt.
    pub(crate) stay: &'a dyn Fn() -> bool,
    /// Who runs the user code.
    pub(crate) user_code: UserCodeBy,
    /// Whether the driver is busy with user code: then a cycle whose user code is left to it counts as complete.
    pub(crate) is_driver_busy: &'a dyn Fn() -> bool,
    /// What the driver that runs the cycle drives: told while it runs user code.
    pub(crate) driven: Option<&'a GcControl>,
    /// Takes the user code of a cycle that this thread is not to run, or gives it back.
    pub(crate) hand_over: &'a dyn Fn(Rest) -> Result<(), Rest>,
}

impl Drive<'_> {
    /// By a thread that has all the time and nobody to hand over to.
    pub(crate) const ALONE: Drive<'static> = Drive {
        extent: Extent::Full,
        wait: LockWait::FOREVER,
        stay: &|| true,
        user_code: UserCodeBy::Caller,
        is_driver_busy: &|| false,
        driven: None,
        hand_over: &Err,
    };

    /// Whether this thread runs user code: it may, and is to, or there is nobody else.
    fn runs_user_code(&self) -> bool {
        self.user_code == UserCodeBy::Caller && Batch::can_reclaim()
    }

    /// Whether this thread may wait for another one's cycle, or insist on a finish.
    pub(crate) fn may_wait(&self) -> bool {
        // A stand-in holds nothing that anybody could want, though it runs no user code.
        self.user_code == UserCodeBy::DriverAlone || Space::may_wait_for_cycle()
    }

    /// Has user code run by whoever is to: `ticket` names the space whose drops are among it.
    fn leave(&self, rest: Rest) {
        let Err(rest) = (self.hand_over)(rest) else { return };
        if Batch::can_reclaim() {
            (rest.work)();
        } else {
            defer(rest.ticket, rest.work);
        }
    }
}

/// The collector of a space: mark and sweep, run by mutators at their safepoints.
///
/// A cycle that is asked for is a full one. One that comes of allocation may be minor, or a part of a mark.
///
/// Given to the space by `Builder::collector`. With a thread of its own, a period and more it is
/// [`GcControl`](crate::GcControl), which the facade `cspace` wires up.
///
/// ```
/// use cspace_core::Space;
/// use cspace_gc::MarkSweep;
///
/// let space = Space::builder().collector(MarkSweep::new()).build()?;
/// space.exclusive(|cx| {
///     cx.alloc("garbage".to_string());
/// });
/// let report = space.synchronous_gc()?;
/// assert_eq!(report.objects_reclaimed, 1);
/// assert_eq!(space.num_objects(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct MarkSweep {
    patience: Patience,
}

impl MarkSweep {
    /// A collector with default patience.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Arc<dyn Collector> {
        MarkSweep::with_patience(Patience::default())
    }

    /// A collector that enters its finishes as told.
    pub fn with_patience(patience: Patience) -> Arc<dyn Collector> {
        Arc::new(MarkSweep { patience })
    }

    pub(crate) fn from_patience(patience: Patience) -> MarkSweep {
        MarkSweep { patience }
    }

    /// Runs a claimed cycle.
    pub(crate) fn run(
        &self,
        space: &Space,
        claim: CycleClaim,
        drive: Drive<'_>,
    ) -> Result<CollectReport, CollectError> {
        let may_insist = drive.may_wait();
        self.run_begun(space, MarkPhase::begin(claim, drive.wait)?, drive, may_insist)
    }

    /// Runs a claimed cycle that comes of allocation, or a part of its mark only: then there is no report.
    pub(crate) fn run_part(
        &self,
        space: &Space,
        claim: CycleClaim,
        drive: Drive<'_>,
    ) -> Result<Option<CollectReport>, CollectError> {
        let drive = Drive { extent: Extent::MinorWillDo, ..drive };
        let may_insist = drive.may_wait();
        let phase = MarkPhase::begin(claim, drive.wait)?.try_increment();
        match phase.inspect_err(|error| note_abandoned(space, error, drive))? {
            Some(phase) => self.run_begun(space, phase, drive, may_insist).map(Some),
            None => {
                run_deferred_as(space, drive);
                Ok(None)
            }
        }
    }

    /// Goes on with a cycle. `may_insist`: the thread held nothing when it began.
    fn run_begun(
        &self,
        space: &Space,
        phase: MarkPhase,
        drive: Drive<'_>,
        may_insist: bool,
    ) -> Result<CollectReport, CollectError> {
        let mut insisted = None;
        let condemned =
            self.mark(phase, drive, may_insist, &mut insisted).and_then(FinishPhase::condemn);
        // Told when neither the lock nor the claim is held any more: a listener is the user's, and may collect.
        let (batch, mut report) = match condemned {
            Ok(condemned) => condemned,
            Err(error) => {
                tell_insistence(space, insisted, drive);
                note_abandoned(space, &error, drive);
                return Err(error);
            }
        };
        let runs_user_code = drive.runs_user_code();
        let (mut place, mut left_before) = (None, None);
        // With the claim held: what is left by cycles before this one is there, and by later ones is not.
        let remains = batch.sweep_recording_then(&mut report, |remains| {
            if runs_user_code {
                left_before = drive.driven.map(|control| (control, LeftUntil::now()));
            } else if let Some(news) = leaves(space, remains, insisted, drive) {
                place = Place::take(drive, remains.ticket().keeping(space), news);
            }
        });
        if runs_user_code {
            let is_any = !remains.is_empty()
                || space.has_listeners()
                || space.has_evicted()
                || has_deferred()
                || left_before.is_some_and(|(control, _)| control.has_rests());
            let running = drive.driven.filter(|_| is_any).map(|it| it.begin_user_code(space));
            if let Some((control, until)) = left_before {
                if control.run_rests_until(until) {
                    control.begin_own_rest();
                }
            }
            report = run_remains(space, remains, report, insisted);
            self.deliver(space, drive.stay, 0);
            match running {
                Some(_running) => run_deferred(),
                None => run_deferred_as(space, drive),
            }
            return Ok(report);
        }
        self.leave_remains(space, remains, &mut report, insisted, drive, place);
        Ok(report)
    }

    /// Leaves the user code of a cycle to whoever is to run it, in its place if it has one.
    fn leave_remains(
        &self,
        space: &Space,
        remains: Remains,
        report: &mut CollectReport,
        insisted: Option<Duration>,
        drive: Drive<'_>,
        place: Option<Place>,
    ) {
        let Some(news) = leaves(space, &remains, insisted, drive) else { return };
        let (for_later, ticket) = (space.collector_handle(), remains.ticket().keeping(space));
        // Memory is reclaimed; for what else there is to do nobody waits who waits for the collection, if it may take
        // for ever.
        report.sweep_deferred = !remains.is_empty();
        if report.sweep_deferred && (drive.is_driver_busy)() {
            space.note_cycle(report, remains.reclaimed());
        }
        let later = report.clone();
        let work = Box::new(move || {
            run_remains(&for_later, remains, later, insisted);
            for_later.deliver_evicted(LockWait::NONE);
        });
        match place {
            Some(place) => place.fill(work),
            None => drive.leave(Rest { ticket: Some(ticket), work, news }),
        }
    }

    /// Has the callback for evicted objects called by this thread, if it gets the lock in time: else by the driver,
    /// which tries again, or without one by whoever comes to a safepoint. Whether none is left to be told. After so many
    /// tries that failed, readers who come wait for longer: there may be some who stay for long.
    pub(crate) fn deliver(&self, space: &Space, stay: &dyn Fn() -> bool, failures: u32) -> bool {
        let begun = Instant::now();
        let go_on = || stay() && begun.elapsed() < self.patience.debt;
        let factor = 1u32.checked_shl(failures).unwrap_or(DELIVERY_FACTOR_MAX);
        let slice = DELIVERY_SLICE * factor.min(DELIVERY_FACTOR_MAX);
        space.deliver_evicted(LockWait { slice, go_on: &go_on })
    }

    /// Marks, and gets everybody out.
    fn mark(
        &self,
        mut phase: MarkPhase,
        drive: Drive<'_>,
        may_insist: bool,
        insisted: &mut Option<Duration>,
    ) -> Result<FinishPhase, CollectError> {
        phase.mark_as(drive.extent)?;
        let marked = Instant::now();
        let mut back_off = self.patience.back_off;
        let mut attempts = 0;
        loop {
            phase.drain_late()?;
            let waited = marked.elapsed();
            let due = may_insist && waited >= self.patience.debt;
            if due && insisted.is_none() {
                *insisted = Some(waited);
            }
            let patience = if due { self.patience.insistence } else { self.patience.attempt };
            phase = match phase.try_finish(patience) {
                Ok(finish) => return Ok(finish),
                Err(phase) => phase,
            };
            attempts += 1;
            let give_up = phase.is_leaked()
                || (!may_insist && attempts == ATTEMPTS_INSIDE)
                || !(drive.stay)();
            if give_up {
                return Err(phase.give_up());
            }
            std::thread::sleep(back_off);
            back_off = back_off.saturating_mul(2).min(self.patience.back_off.saturating_mul(32));
        }
    }

    /// A collection that begins after the call, by this thread or another; and as long as evicted objects were
    /// delivered, another one, which frees them. Returns the report of the last one, which counts what went in all.
    pub(crate) fn collect_now(
        &self,
        space: &Space,
        drive: Drive<'_>,
    ) -> Result<CollectReport, CollectError> {
        let mut report = self.collect_once(space, drive)?;
        for _ in 0..FOLLOW_UPS_MAX {
            if !Space::may_wait_for_cycle() {
                break;
            }
            // Of a cycle of another thread's, too, by which this one was served.
            if space.wants_delivery() {
                self.deliver(space, drive.stay, 0);
            }
            if !space.has_delivered() {
                break;
            }
            // The collection that was asked for is done. What this one comes to is in the events.
            let Ok(next) = self.collect_once(space, drive) else { break };
            report = report.followed_by(&next);
        }
        Ok(report)
    }

    /// A collection that begins after the call, by this thread or another.
    fn collect_once(&self, space: &Space, drive: Drive<'_>) -> Result<CollectReport, CollectError> {
        if space.is_inside() {
            return Err(CollectError::InsideAccess { space: space.name().to_string() });
        }
        if Space::is_sweeping() {
            space.request_gc();
            return Err(CollectError::InSweep { space: space.name().to_string() });
        }
        let begun = space.cycles_begun();
        loop {
            if let Some(claim) = space.try_claim_cycle() {
                let mut report = match self.run(space, claim, drive) {
                    Err(CollectError::Transferred { .. }) => continue,
                    result => result?,
                };
                // Of what died before, too, all is dropped when this returns, unless that takes for ever.
                report.sweep_deferred = report.sweep_deferred || !space.wait_for_drops();
                return Ok(report);
            }
            if !Space::may_wait_for_cycle() {
                space.request_gc();
                return Err(CollectError::Busy { space: space.name().to_string() });
            }
            if !space.wait_for_cycle(None, drive.wait.go_on) {
                return Err(CollectError::Busy { space: space.name().to_string() });
            }
            // Of many that ask at once one collects, for all: if it began after this one asked, and left nothing
            // dead. What a minor cycle leaves may be old; a mark that was done in increments began earlier.
            let serves = |report: &CollectReport| {
                report.begun > begun && !report.is_minor && report.increments == 0
            };
            if let Some(mut report) = space.last_report().filter(serves) {
                report.sweep_deferred |= !space.wait_for_drops();
                // With what cleaners and drops came to, if they have ended.
                let whole = space.last_report().filter(|last| last.begun == report.begun);
                return Ok(whole.unwrap_or(report));
            }
            // There may be more of that kind before this thread has the claim. One that was requested is full.
            space.request_gc();
        }
    }

    /// A collection by a mutator at a safepoint, unless another thread's serves.
    pub(crate) fn collect_at_safepoint(&self, space: &Space, drive: Drive<'_>) {
        if Space::is_sweeping() {
            return;
        }
        let mut waited = false;
        loop {
            if let Some(claim) = space.try_claim_cycle() {
                // A cycle that ended meanwhile may have served. Errors are in the events.
                if !space.wants_collection() {
                    return;
                }
                match self.run_part(space, claim, drive) {
                    Err(CollectError::Transferred { .. }) => continue,
                    _ => return,
                }
            }
            // Not for ever: its `visit_objects` may take long.
            if waited || !Space::may_wait_for_cycle() {
                return;
            }
            waited = true;
            space.wait_for_cycle(Some(THROTTLE), &|| true);
        }
    }
}

/// Runs what remains of a batch and counts its cycle, if that was not done before, then tells of it, and before of what
/// there was to tell earlier.
fn run_remains(
    space: &Space,
    remains: Remains,
    mut report: CollectReport,
    insisted: Option<Duration>,
) -> CollectReport {
    match remains.run_recording(&mut report) {
        Ok(reclaimed) => announce(space, &report, &reclaimed, insisted),
        // Another thread will; it has no report to fill in.
        Err(remains) => {
            drop(remains);
            report.sweep_deferred = true;
        }
    }
    report
}

/// Tells the listeners what there is to tell of a cycle.
fn announce(
    space: &Space,
    report: &CollectReport,
    reclaimed: &Reclaimed,
    insisted: Option<Duration>,
) {
    if let Some(waited) = insisted {
        space.announce_insistence(waited);
    }
    space.announce(report, reclaimed);
}

/// Whether a cycle leaves user code to do: then what is [news](Rest::news) of it.
fn leaves(
    space: &Space,
    remains: &Remains,
    insisted: Option<Duration>,
    drive: Drive<'_>,
) -> Option<Option<u64>> {
    let is_silent = insisted.is_none() && !space.has_listeners();
    // Where there is a driver it looks for what was evicted by itself.
    let is_delivery = space.has_evicted() && drive.user_code != UserCodeBy::DriverAlone;
    if !remains.is_empty() {
        return Some(None);
    }
    let events = 1 + u64::from(insisted.is_some());
    (!is_silent || is_delivery).then_some(Some(events))
}

/// Runs what this thread left for when it may; as the driver, if it is that.
fn run_deferred_as(space: &Space, drive: Drive<'_>) {
    let driven = drive.driven.filter(|_| has_deferred());
    let _running = driven.map(|control| control.begin_user_code(space));
    run_deferred();
}

/// Tells the listeners that a cycle insisted and came to nothing even so.
fn tell_insistence(space: &Space, insisted: Option<Duration>, drive: Drive<'_>) {
    if let Some(waited) = insisted {
        tell(space, drive, move |space| space.announce_insistence(waited));
    }
}

/// Counts a cycle that a panic ended, and tells the listeners.
fn note_abandoned(space: &Space, error: &CollectError, drive: Drive<'_>) {
    if let Some(message) = space.note_abandoned(error) {
        tell(space, drive, move |space| space.announce_abandoned(message));
    }
}

/// Tells the listeners of an event, or leaves that to whoever runs user code.
fn tell(space: &Space, drive: Drive<'_>, event: impl FnOnce(&Space) + Send + 'static) {
    if !space.has_listeners() {
        return;
    }
    if !drive.runs_user_code() {
        let (ticket, space) = (space.ticket(), space.collector_handle());
        let work = Box::new(move || event(&space));
        return drive.leave(Rest { ticket: Some(ticket), work, news: Some(1) });
    }
    let _running = drive.driven.map(|control| {
        let until = LeftUntil::now();
        let running = control.begin_user_code(space);
        // Of what was before, first.
        control.run_rests_until(until);
        running
    });
    event(space);
}

impl Collector for MarkSweep {
    fn collect(&self, space: &Space) -> Result<CollectReport, CollectError> {
        self.collect_now(space, Drive::ALONE)
    }

    fn at_safepoint(&self, space: &Space) {
        self.collect_at_safepoint(space, Drive::ALONE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use cspace_core::{GcRoot, Static};

    use super::*;
    use crate::control::GcSettings;

    /// Runs a phase to its end as a collector does that was not asked.
    fn finish(space: &Space, mut phase: MarkPhase) -> CollectReport {
        phase.mark_as(Extent::MinorWillDo).unwrap();
        let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
        let (batch, mut report) = finish.condemn().unwrap();
        let remains = batch.sweep_recording(&mut report);
        run_remains(space, remains, report, None)
    }

    /// The report that a thread gets which asks for a collection while another one has the claim of a cycle, which
    /// `run` runs once the thread waits for it.
    fn asked_meanwhile(
        space: &Space,
        claim: CycleClaim,
        run: impl FnOnce(CycleClaim) -> CollectReport,
    ) -> (CollectReport, CollectReport) {
        let (waits, waiting) = channel();
        std::thread::scope(|scope| {
            let asker = scope.spawn(move || {
                let go_on = || {
                    waits.send(()).unwrap();
                    true
                };
                let wait = LockWait { slice: Duration::from_millis(1), go_on: &go_on };
                MarkSweep::default().collect_now(space, Drive { wait, ..Drive::ALONE }).unwrap()
            });
            waiting.recv().unwrap();
            (run(claim), asker.join().unwrap())
        })
    }

    /// A space with an old object, and what keeps that alive.
    fn with_old_object(minor: bool) -> (Space, GcRoot<String>) {
        let space = Space::builder().stress(true).minor_collections(minor).build().unwrap();
        let root = space.exclusive(|cx| cx.root(cx.alloc("old".to_string())));
        assert!(!MarkSweep::default().collect_now(&space, Drive::ALONE).unwrap().is_minor);
        (space, root)
    }

    fn begin(claim: CycleClaim) -> MarkPhase {
        MarkPhase::begin(claim, LockWait::FOREVER).unwrap()
    }

    #[test]
    fn who_asks_for_a_collection_is_not_served_by_a_minor_one() {
        let (space, root) = with_old_object(true);
        drop(root);
        let claim = space.try_claim_cycle().unwrap();
        let (ran, asked) = asked_meanwhile(&space, claim, |claim| finish(&space, begin(claim)));
        assert!(ran.is_minor && ran.objects_reclaimed == 0);
        assert!(!asked.is_minor);
        assert_eq!((asked.objects_reclaimed, space.num_objects()), (1, 0));
    }

    #[test]
    fn who_asks_for_a_collection_is_not_served_by_the_end_of_a_mark() {
        let (space, root) = with_old_object(false);
        let claim = space.try_claim_cycle().unwrap();
        assert!(begin(claim).try_increment().unwrap().is_none());
        drop(root);
        let claim = space.try_claim_cycle().unwrap();
        let (ran, asked) = asked_meanwhile(&space, claim, |claim| finish(&space, begin(claim)));
        assert!(ran.increments == 1 && ran.objects_reclaimed == 0);
        assert_eq!((asked.increments, asked.objects_reclaimed, space.num_objects()), (0, 1, 0));
    }

    #[test]
    fn who_asks_for_a_collection_is_served_by_a_full_one_that_begins_later() {
        let (space, root) = with_old_object(false);
        drop(root);
        let claim = space.try_claim_cycle().unwrap();
        let (ran, asked) = asked_meanwhile(&space, claim, |claim| finish(&space, begin(claim)));
        assert_eq!((ran.objects_reclaimed, asked.cycle), (1, ran.cycle));
    }

    /// Garbage whose cleaner pushes a word.
    fn says(space: &Space, said: &Arc<Mutex<Vec<&'static str>>>, word: &'static str) {
        let said = Arc::clone(said);
        space.exclusive(|cx| {
            cx.register_cleaner(cx.alloc(1u64), move || said.lock().unwrap().push(word));
        });
    }

    #[test]
    fn what_a_cycle_leaves_is_in_the_queue_before_the_next_one_may_begin() {
        let space = Space::builder().on_event(|_| ()).build().unwrap();
        let said = Arc::default();
        for word in ["cleaner", ""] {
            if !word.is_empty() {
                says(&space, &said, word);
            }
            let left = Mutex::new(Vec::new());
            let hand_over = |rest: Rest| {
                assert!(space.try_claim_cycle().is_none(), "the next one may begin");
                left.lock().unwrap().push((rest.news, rest.work));
                Ok(())
            };
            let drive =
                Drive { hand_over: &hand_over, user_code: UserCodeBy::DriverAlone, ..Drive::ALONE };
            let claim = space.try_claim_cycle().unwrap();
            MarkSweep::default().run(&space, claim, drive).unwrap();
            let [(news, work)] = <[_; 1]>::try_from(left.into_inner().unwrap()).ok().unwrap();
            assert_eq!(news, word.is_empty().then_some(1));
            work();
        }
        assert_eq!(*said.lock().unwrap(), ["cleaner"]);
    }

    #[test]
    fn a_driver_runs_what_was_left_by_earlier_cycles_before_what_its_own_leaves() {
        let control = GcControl::new(GcSettings::default());
        let space = Space::builder().collector(control.clone()).build().unwrap();
        let (said, _seat) = (Arc::default(), control.driver(&space).unwrap());
        let ran = |drive: Drive<'_>| {
            let claim = space.try_claim_cycle().unwrap();
            control.mark_sweep.run(&space, claim, drive).unwrap();
        };
        says(&space, &said, "earlier");
        control.beside_driver(UserCodeBy::DriverAlone, ran);
        assert!(control.has_rests() && said.lock().unwrap().is_empty());
        says(&space, &said, "own");
        ran(Drive { driven: Some(&control), ..Drive::ALONE });
        assert_eq!(*said.lock().unwrap(), ["earlier", "own"]);
    }

    #[test]
    fn what_a_driver_left_for_later_is_noted_as_its_user_code() {
        let (space, _root) = with_old_object(false);
        let control = GcControl::new(GcSettings::default());
        let drive = Drive { driven: Some(&control), ..Drive::ALONE };
        for is_part in [true, false] {
            let (tell, told) = channel();
            let asked = Arc::clone(&control);
            defer(None, Box::new(move || tell.send(asked.runs_user_code()).unwrap()));
            let claim = space.try_claim_cycle().unwrap();
            if is_part {
                assert!(MarkSweep::default().run_part(&space, claim, drive).unwrap().is_none());
            } else {
                MarkSweep::default().run(&space, claim, drive).unwrap();
            }
            assert!(told.recv().unwrap(), "part: {is_part}");
            assert!(!control.runs_user_code());
        }
    }

    /// Each piece of user code is looked at as if the one before had begun at the beginning of time.
    #[test]
    fn each_piece_of_user_code_is_one_of_its_own_for_who_looks_whether_the_driver_is_late() {
        let control = GcControl::new(GcSettings::default());
        let seen: Arc<Mutex<Vec<(&str, bool)>>> = Arc::default();
        let piece = |what| {
            let (control, seen) = (Arc::clone(&control), Arc::clone(&seen));
            move || {
                let is_new = control.busy().begun_long_ago();
                seen.lock().unwrap().push((what, is_new));
            }
        };
        struct OnDrop<F: Fn()>(F);
        impl<F: Fn()> Drop for OnDrop<F> {
            fn drop(&mut self) {
                (self.0)();
            }
        }
        let (first, second) = (piece("listener"), piece("listener"));
        let space = Space::builder().on_event(move |_| first()).on_event(move |_| second());
        let space = space.build().unwrap();
        space.exclusive(|cx| {
            let object = cx.alloc(1u64);
            cx.register_cleaner(object, piece("cleaner"));
            cx.register_cleaner(object, piece("cleaner"));
            drop(cx.own_root(Static(OnDrop(piece("value")))));
            _ = cx.alloc(Static(OnDrop(piece("drop")))).addr();
        });
        let drive = Drive { driven: Some(&control), ..Drive::ALONE };
        MarkSweep::default().run(&space, space.try_claim_cycle().unwrap(), drive).unwrap();
        let seen = seen.lock().unwrap();
        assert!(seen.len() == 6 && seen.iter().all(|(_, is_new)| *is_new), "{seen:?}");
    }
}
