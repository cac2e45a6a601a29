//! Regions that must not unwind.
//!
//! A finish, a merge and a destruction each take a space apart and put it together again. A panic in between would
//! leave objects that are in no list, or marks that nobody clears, and so memory that is freed while it is used.
//! Everything that can fail or is the user's is done before such a region: growth of vectors, user code, arithmetic
//! on what users say. What is left cannot panic, and if it does, which is a bug of this library, the process ends
//! with a message rather than with memory that is not what it seems.

/// Aborts when it is dropped: only a panic gets that far.
struct NoUnwind {
    region: &'static str,
}

impl Drop for NoUnwind {
    #[cold]
    fn drop(&mut self) {
        eprintln!(
            "cspace: a panic in {}, which cannot be undone; aborting. This is a bug of cspace: please report it.",
            self.region
        );
        std::process::abort();
    }
}

/// Runs a region that cannot be undone half-way; a panic in it aborts the process. `region` completes the sentence
/// "a panic in …".
#[inline]
pub(crate) fn no_unwind<R>(region: &'static str, f: impl FnOnce() -> R) -> R {
    let guard = NoUnwind { region };
    let result = f();
    core::mem::forget(guard);
    result
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::no_unwind;

    #[test]
    fn a_region_gives_its_result() {
        assert_eq!(no_unwind("a test", || 5), 5);
    }

    /// Runs itself in a process of its own, which ends.
    #[test]
    #[cfg_attr(miri, ignore = "Miri starts no processes")]
    fn a_panic_in_a_region_aborts_with_a_message() {
        const CHILD: &str = "CSPACE_TEST_NO_UNWIND";
        if std::env::var_os(CHILD).is_some() {
            no_unwind("a test's region", || panic!("on purpose"));
        }
        let name = "no_unwind::tests::a_panic_in_a_region_aborts_with_a_message";
        let ran = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(!ran.status.success());
        assert!(String::from_utf8_lossy(&ran.stderr).contains("a panic in a test's region"));
    }
}
