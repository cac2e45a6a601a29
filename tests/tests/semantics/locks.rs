//! Taking the lock: re-entry, poisoning, forms that try, forms that wait for a while, order.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cspace::*;

use crate::watchdog::{panic_of, within};

fn named(name: &str) -> CSpace {
    CSpace::builder().name(name).build().unwrap()
}

#[test]
fn re_entry_is_an_error_in_every_form_and_mode() {
    within(|| {
        let space = named("mine");
        let reentry = LockError::Reentry { space: "mine".to_string() };
        let check = || {
            assert_eq!(space.try_exclusive(|_| ()).unwrap_err(), reentry);
            assert_eq!(space.try_shared(|_| ()).unwrap_err(), reentry);
            assert_eq!(space.try_transaction(|_| ()).unwrap_err(), reentry);
            let hour = Duration::from_secs(3600);
            assert_eq!(space.exclusive_for(hour, |_| ()).unwrap_err(), reentry);
            assert_eq!(space.shared_for(hour, |_| ()).unwrap_err(), reentry);
            assert_eq!(space.transaction_for(hour, |_| ()).unwrap_err(), reentry);
            assert_eq!(space.try_lock_mode(LockMode::Shared).err(), Some(reentry.clone()));
            let message = panic_of(|| space.exclusive(|_| ()));
            assert!(message.contains("`mine` is held by this thread already"), "{message}");
            assert_eq!(panic_of(|| space.shared(|_| ())), message);
            assert_eq!(panic_of(|| drop(space.lock_transaction())), message);
        };
        space.exclusive(|_| check());
        space.shared(|_| check());
        space.transaction(|_| check());
        assert!(!space.is_poisoned(), "an error of a lock leaves the objects whole");
    });
}

#[test]
fn re_entry_through_another_handle_is_re_entry() {
    let space = named("one");
    let other = space.clone();
    let error = space.shared(|_| other.try_shared(|_| ()).unwrap_err());
    assert_eq!(error, LockError::Reentry { space: "one".to_string() });
}

#[test]
fn the_space_is_usable_after_a_refused_re_entry() {
    let space = CSpace::new();
    space.exclusive(|_| assert!(space.try_lock().is_err()));
    space.exclusive(|cx| cx.alloc(1u64).addr());
    assert_eq!(space.num_objects(), 1);
}

#[test]
fn a_panic_in_an_exclusive_access_poisons() {
    let space = named("half done");
    panic_of(|| space.exclusive(|_| panic!("half way")));
    assert!(space.is_poisoned());
    let poisoned = LockError::Poisoned { space: "half done".to_string() };
    assert_eq!(space.try_exclusive(|_| ()).unwrap_err(), poisoned);
    assert_eq!(space.try_shared(|_| ()).unwrap_err(), poisoned);
    assert_eq!(space.shared_for(Duration::ZERO, |_| ()).unwrap_err(), poisoned);
    let message = panic_of(|| space.exclusive(|_| ()));
    assert!(message.contains("clear_poison"), "the message says what to do: {message}");
}

#[test]
fn every_exclusive_form_poisons() {
    let forms: [fn(&CSpace); 6] = [
        |space| space.transaction(|_| panic!("half way")),
        |space| drop(space.try_exclusive(|_| panic!("half way"))),
        |space| drop(space.exclusive_for(Duration::from_secs(60), |_| panic!("half way"))),
        |space| space.lock().scope(|_| panic!("half way")),
        |space| {
            let _lock = space.lock();
            panic!("while it is held")
        },
        |space| {
            let mut lock = space.lock();
            make_guard!(brand);
            let _cx = lock.enter(brand);
            panic!("half way")
        },
    ];
    for (i, form) in forms.iter().enumerate() {
        let space = CSpace::new();
        panic_of(|| form(&space));
        assert!(space.is_poisoned(), "form {i}");
    }
}

#[test]
fn clear_poison_makes_the_space_usable() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.root(cx.alloc(7u64)));
    panic_of(|| space.exclusive(|_| panic!("half way")));
    space.clear_poison();
    assert!(!space.is_poisoned());
    assert_eq!(space.exclusive(|cx| *root.get(cx)), 7);
}

#[test]
fn a_panic_in_a_shared_access_does_not_poison() {
    let space = CSpace::new();
    panic_of(|| space.shared(|_| panic!("only looking")));
    panic_of(|| space.lock_shared().scope(|_| panic!("only looking")));
    assert!(!space.is_poisoned());
    space.exclusive(|_| ());
}

#[test]
fn a_lock_taken_while_a_panic_unwinds_does_not_poison() {
    struct Cleanup(CSpace);
    impl Drop for Cleanup {
        fn drop(&mut self) {
            assert!(thread::panicking());
            self.0.exclusive(|cx| cx.alloc(1u64).addr());
        }
    }
    let space = CSpace::new();
    panic_of(|| {
        let _cleanup = Cleanup(space.clone());
        panic!("elsewhere");
    });
    assert!(!space.is_poisoned());
    assert_eq!(space.num_objects(), 1);
}

#[test]
fn a_caught_panic_inside_an_access_does_not_poison() {
    let space = CSpace::new();
    space.exclusive(|_| assert_eq!(panic_of(|| panic!("caught")), "caught"));
    assert!(!space.is_poisoned());
}

#[test]
fn a_poisoned_space_is_collected_verified_and_counted() {
    let space = CSpace::new();
    panic_of(|| {
        space.exclusive(|cx| {
            cx.alloc("garbage".to_string());
            panic!("half way");
        })
    });
    assert!(space.verify().unwrap().is_clean());
    assert_eq!(space.num_objects(), 1);
    assert_eq!(space.collect().unwrap().objects_reclaimed, 1);
    assert_eq!(space.num_objects(), 0);
    assert!(space.is_poisoned());
}

#[test]
fn try_forms_do_not_wait_for_another_thread() {
    within(|| {
        let space = named("busy");
        let (entered, wait_entered) = channel();
        let (leave, wait_leave) = channel::<()>();
        let holder = {
            let space = space.clone();
            thread::spawn(move || {
                space.exclusive(|_| {
                    entered.send(()).unwrap();
                    let _ = wait_leave.recv();
                })
            })
        };
        wait_entered.recv().unwrap();
        let busy = LockError::WouldBlock { space: "busy".to_string() };
        assert_eq!(space.try_exclusive(|_| ()).unwrap_err(), busy);
        assert_eq!(space.try_shared(|_| ()).unwrap_err(), busy);
        assert_eq!(space.try_transaction(|_| ()).unwrap_err(), busy);
        assert_eq!(space.try_lock().err(), Some(busy.clone()));
        let moment = Duration::from_millis(1);
        let late = LockError::Timeout { space: "busy".to_string(), timeout: moment };
        assert_eq!(space.exclusive_for(moment, |_| ()).unwrap_err(), late);
        assert_eq!(space.shared_for(moment, |_| ()).unwrap_err(), late);
        assert_eq!(space.transaction_for(moment, |_| ()).unwrap_err(), late);
        assert_eq!(space.try_lock_mode_for(LockMode::Shared, moment).err(), Some(late));
        drop(leave);
        holder.join().unwrap();
        assert!(space.try_exclusive(|_| ()).is_ok());
        assert!(space.exclusive_for(moment, |_| ()).is_ok());
    });
}

/// A way to take the lock that waits as it is told, and says which it took.
type Within = fn(&CSpace, Wait) -> Result<LockMode, LockError>;

const WITHIN: [(LockMode, Within); 8] = [
    (LockMode::Exclusive, |space, wait| space.try_exclusive_within(wait, |_| LockMode::Exclusive)),
    (LockMode::Shared, |space, wait| space.try_shared_within(wait, |_| LockMode::Shared)),
    (LockMode::Transaction, |space, wait| {
        space.try_transaction_within(wait, |_| LockMode::Transaction)
    }),
    (LockMode::Exclusive, |space, wait| Ok(space.try_lock_within(wait)?.mode())),
    (LockMode::Shared, |space, wait| {
        Ok(space.try_lock_shared_within(wait)?.scope(|_| LockMode::Shared))
    }),
    (LockMode::Shared, |space, wait| {
        Ok(space.try_lock_mode_within(LockMode::Shared, wait)?.mode())
    }),
    (LockMode::Exclusive, |space, wait| {
        Ok(space.try_lock_mode_within(LockMode::Exclusive, wait)?.mode())
    }),
    (LockMode::Transaction, |space, wait| {
        Ok(space.try_lock_mode_within(LockMode::Transaction, wait)?.mode())
    }),
];

const MOMENT: Duration = Duration::from_millis(1);
const WAITS: [Wait; 4] = [Wait::No, Wait::For(MOMENT), Wait::For(Duration::MAX), Wait::Forever];

#[test]
fn every_form_within_takes_a_free_lock_in_its_mode_however_it_may_wait() {
    let (space, begun) = (CSpace::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&begun);
    space.on_transaction_begin(move |_| _ = counted.fetch_add(1, Relaxed));
    for (i, (mode, take)) in WITHIN.iter().enumerate() {
        for wait in WAITS {
            begun.store(0, Relaxed);
            assert_eq!(take(&space, wait), Ok(*mode), "form {i}, {wait:?}");
            let callbacks = usize::from(*mode == LockMode::Transaction);
            assert_eq!(begun.load(Relaxed), callbacks, "form {i}, {wait:?}");
        }
    }
    assert!(space.try_lock().is_ok());
}

#[test]
fn every_form_within_that_may_not_wait_for_long_says_why_it_ended() {
    within(|| {
        let space = named("busy");
        let lock = space.lock();
        thread::scope(|threads| {
            let waiter = threads.spawn(|| {
                for (i, (_, take)) in WITHIN.iter().enumerate() {
                    let busy = LockError::WouldBlock { space: "busy".to_string() };
                    assert_eq!(take(&space, Wait::No), Err(busy), "form {i}");
                    let late = LockError::Timeout { space: "busy".to_string(), timeout: MOMENT };
                    assert_eq!(take(&space, Wait::For(MOMENT)), Err(late), "form {i}");
                }
            });
            waiter.join().unwrap();
        });
        drop(lock);
        assert!(space.try_lock().is_ok());
    });
}

#[test]
fn every_form_within_waits_for_ever() {
    within(|| {
        for (mode, take) in WITHIN {
            let space = CSpace::new();
            let mut lock = space.lock();
            thread::scope(|threads| {
                let waiter = threads.spawn(|| take(&space, Wait::Forever));
                // It says that it waits when the holder has had its turn.
                while !lock.should_yield() {
                    thread::yield_now();
                }
                assert!(!waiter.is_finished());
                lock.safepoint();
                drop(lock);
                assert_eq!(waiter.join().unwrap(), Ok(mode));
            });
        }
    });
}

#[test]
fn every_form_within_refuses_what_waiting_does_not_help() {
    within(|| {
        let (older, younger) = (named("older"), named("younger"));
        let poisoned = named("half done");
        panic_of(|| poisoned.exclusive(|_| panic!("half way")));
        for (i, (mode, take)) in WITHIN.iter().enumerate() {
            for wait in WAITS {
                let reentry = Err(LockError::Reentry { space: "older".to_string() });
                let inside = older.exclusive(|_| take(&older, wait));
                assert_eq!(inside, reentry, "form {i}, {wait:?}");
                let inside = older.shared(|_| take(&older, wait));
                assert_eq!(inside, reentry, "form {i}, {wait:?}");
                let refused = take(&poisoned, wait);
                let is_poisoned = LockError::Poisoned { space: "half done".to_string() };
                assert_eq!(refused, Err(is_poisoned), "form {i}, {wait:?}");
                let out_of_order = younger.exclusive(|_| take(&older, wait));
                // What does not wait may break the order.
                let is_refused = cfg!(debug_assertions) && wait != Wait::No;
                let order = LockError::LockOrder { space: "older".to_string() };
                let expected = if is_refused { Err(order) } else { Ok(*mode) };
                assert_eq!(out_of_order, expected, "form {i}, {wait:?}");
            }
        }
        for space in [&older, &younger] {
            assert!(space.try_lock().is_ok());
        }
        poisoned.clear_poison();
        assert!(poisoned.try_lock().is_ok(), "a refusal leaves nothing held");
    });
}

#[test]
fn a_merge_waits_as_it_is_told() {
    within(|| {
        let (target, source) = (named("target"), named("source"));
        source.exclusive(|cx| cx.alloc(1u64).addr());
        let lock = source.lock();
        thread::scope(|threads| {
            let merge = |wait| target.try_transfer_from_within(&source, wait);
            let refused = threads.spawn(move || {
                let busy = LockError::WouldBlock { space: "source".to_string() };
                assert_eq!(merge(Wait::No), Err(TransferError::Lock(busy)));
                let late = LockError::Timeout { space: "source".to_string(), timeout: MOMENT };
                assert_eq!(merge(Wait::For(MOMENT)), Err(TransferError::Lock(late)));
            });
            refused.join().unwrap();
            let merged = threads.spawn(move || merge(Wait::Forever));
            while !lock.should_yield() {
                thread::yield_now();
            }
            drop(lock);
            assert_eq!(merged.join().unwrap().unwrap().objects, 1);
        });
    });
}

#[test]
fn a_wait_that_ended_leaves_nothing_held() {
    within(|| {
        let space = CSpace::new();
        thread::scope(|threads| {
            let lock = space.lock();
            let waiter = threads.spawn(|| {
                let moment = Duration::from_millis(1);
                assert!(matches!(
                    space.exclusive_for(moment, |_| ()),
                    Err(LockError::Timeout { .. })
                ));
                // Not a re-entry: the thread holds nothing.
                assert!(matches!(space.try_shared(|_| ()), Err(LockError::WouldBlock { .. })));
            });
            while !waiter.is_finished() {
                thread::yield_now();
            }
            drop(lock);
        });
    });
}

#[test]
fn an_endless_timeout_waits() {
    within(|| {
        let space = CSpace::new();
        thread::scope(|threads| {
            let (entered, wait_entered) = channel();
            let (space, lock) = (&space, space.lock());
            threads.spawn(move || {
                entered.send(()).unwrap();
                assert_eq!(space.exclusive_for(Duration::MAX, |_| 7), Ok(7));
            });
            wait_entered.recv().unwrap();
            drop(lock);
        });
    });
}

#[test]
fn readers_are_inside_together() {
    within(|| {
        let space = CSpace::new();
        let barrier = std::sync::Barrier::new(3);
        thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| space.shared(|_| barrier.wait().is_leader()));
            }
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "500 rounds on four threads")]
fn a_writer_waits_for_readers_and_they_for_it() {
    within(|| {
        let space = CSpace::new();
        let root = space.exclusive(|cx| cx.root(cx.alloc(Slot::new(0u64))));
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    for _ in 0..500 {
                        space.exclusive(|cx| {
                            let slot = root.get(cx);
                            let value = slot.get(cx);
                            slot.set(cx, value + 1);
                            slot.set(cx, value + 2);
                        });
                    }
                });
                threads.spawn(|| {
                    for _ in 0..500 {
                        assert_eq!(space.shared(|cx| root.get(cx).get(cx)) % 2, 0);
                    }
                });
            }
        });
        assert_eq!(space.shared(|cx| root.get(cx).get(cx)), 2000);
    });
}

#[test]
fn two_spaces_are_locked_older_outside() {
    let (older, younger) = (named("older"), named("younger"));
    older.exclusive(|_| younger.exclusive(|_| ()));
    older.shared(|_| younger.shared(|_| ()));
}

#[test]
fn locking_an_older_space_inside_is_an_order_error_in_debug() {
    let (older, younger) = (named("older"), named("younger"));
    let result = younger.exclusive(|_| older.exclusive_for(Duration::from_secs(60), |_| ()));
    if cfg!(debug_assertions) {
        assert_eq!(result, Err(LockError::LockOrder { space: "older".to_string() }));
        let message = panic_of(|| younger.shared(|_| older.shared(|_| ())));
        assert!(message.contains("lock_multiple"), "{message}");
    } else {
        assert_eq!(result, Ok(()));
    }
}

#[test]
fn lock_order_is_checked_under_stress_in_every_build() {
    let older = CSpace::builder().name("older").stress(true).build().unwrap();
    let younger = named("younger");
    let result = younger.exclusive(|_| older.exclusive_for(Duration::from_secs(60), |_| ()));
    assert_eq!(result, Err(LockError::LockOrder { space: "older".to_string() }));
}

#[test]
fn a_try_form_may_break_the_order_since_it_never_waits() {
    let (older, younger) = (CSpace::new(), CSpace::new());
    assert!(younger.exclusive(|_| older.try_exclusive(|_| ())).is_ok());
}

#[test]
fn a_thread_holds_at_most_sixteen_spaces() {
    let spaces: Vec<CSpace> = (0..17).map(|_| CSpace::new()).collect();
    let mut guards: Vec<_> = spaces[..16].iter().map(|space| space.lock()).collect();
    assert_eq!(spaces[16].try_lock().err(), Some(LockError::TooMany { max: 16 }));
    drop(guards.swap_remove(3));
    assert!(spaces[16].try_lock().is_ok());
    assert!(spaces[3].try_lock().is_ok());
    for (i, space) in spaces[..16].iter().enumerate() {
        assert_eq!(space.try_lock().is_ok(), i == 3, "{i}");
    }
}

#[test]
fn spaces_are_released_in_any_order() {
    let spaces: Vec<CSpace> = (0..5).map(|_| CSpace::new()).collect();
    let mut guards: Vec<_> = spaces.iter().map(|space| Some(space.lock())).collect();
    for i in [2, 0, 4, 1, 3] {
        assert!(matches!(spaces[i].try_lock(), Err(LockError::Reentry { .. })));
        guards[i] = None;
        assert!(spaces[i].try_lock().is_ok());
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn the_abort_policy_ends_the_process() {
    const CHILD: &str = "CSPACE_ABORT_POLICY_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let space =
            CSpace::builder().name("strict").panic_policy(PanicPolicy::Abort).build().unwrap();
        panic_of(|| space.shared(|_| panic!("only looking")));
        println!("alive");
        panic_of(|| space.exclusive(|_| panic!("half way")));
        println!("not reached");
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "locks::the_abort_policy_ends_the_process", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success());
    assert!(stdout.contains("alive") && !stdout.contains("not reached"), "{stdout}");
    assert!(stderr.contains("`strict`: a panic left an exclusive access; aborting"), "{stderr}");
}

#[test]
fn request_yield_raises_should_yield_until_the_next_safepoint() {
    let space = CSpace::new();
    let mut lock = space.lock();
    assert!(!lock.should_yield());
    space.request_yield();
    assert!(lock.should_yield());
    assert!(lock.scope(|cx| cx.should_yield()));
    lock.safepoint();
    assert!(!lock.should_yield());
}

#[test]
fn a_waiting_writer_raises_should_yield() {
    within(|| {
        let space = CSpace::new();
        thread::scope(|threads| {
            let mut lock = space.lock();
            let writer = threads.spawn(|| space.exclusive(|cx| cx.alloc(1u64).addr()));
            while !lock.should_yield() {
                thread::yield_now();
            }
            while !writer.is_finished() {
                lock.safepoint();
            }
            assert_eq!(lock.scope(|cx| cx.num_objects()), 1);
        });
    });
}

#[test]
fn a_waiting_reader_raises_should_yield() {
    within(|| {
        let space = CSpace::new();
        thread::scope(|threads| {
            let mut lock = space.lock();
            let reader = threads.spawn(|| space.shared(|cx| cx.num_objects()));
            while !reader.is_finished() {
                lock.safepoint();
            }
        });
    });
}

#[test]
fn build_refuses_settings_that_make_no_sense() {
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = CSpace::builder().gc_budget_factor(factor).build().unwrap_err();
        assert!(matches!(error, BuildError::Setting(SettingError::BudgetFactor(_))), "{error}");
    }
    let error = CSpace::builder().name("x".repeat(65)).build().unwrap_err();
    let too_long = SettingError::NameTooLong { len: 65, max: 64 };
    assert!(matches!(error, BuildError::Setting(error) if error == too_long));
    assert_eq!(named(&"x".repeat(64)).name().len(), 64);
}
