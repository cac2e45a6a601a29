//! Access: what do the operations cost that every use of the heap pays for?
//!
//! The size is how many times an operation is done; one thread, nobody contends.
//!
//! | workload | operation | read it against |
//! |---|---|---|
//! | `access-exclusive` | enter and leave an exclusive access | `mutex` and `rwlock`: the bare lock and unlock |
//! | `access-shared` | enter and leave a shared access | `rwlock`: the bare read lock and unlock |
//! | `access-scope` | in a held lock: a scope, then a safepoint that finds nothing to do | `plain`: one load of a flag |
//! | `access-root-get` | from a root handle to the object | `plain`: the address from a `Box` |
//! | `access-slot-get` | read a slot that holds a reference | `plain`: read a `Cell` of a reference |
//! | `access-slot-set` | store a reference to a slot, no collection running | `plain`: store to a `Cell` |
//!
//! Each loop hides the operands and the outcome from the compiler, so `plain` is the cost of the
//! loop and of one load or store. The checksum is the number of operations that had their effect.

use crate::workload::{Implementation, Workload};

mod cspace;
mod lock;
mod plain;

const SIZE: u64 = 50_000_000;

/// Enter and leave an exclusive access.
pub static EXCLUSIVE: Workload = Workload {
    name: "access-exclusive",
    base: "rwlock",
    implementations: &[
        Implementation::on_system("cspace", cspace::exclusive),
        Implementation::on_system("mutex", lock::mutex),
        Implementation::on_system("rwlock", lock::write),
    ],
    ..WORKLOAD
};

/// Enter and leave a shared access.
pub static SHARED: Workload = Workload {
    name: "access-shared",
    base: "rwlock",
    implementations: &[
        Implementation::on_system("cspace", cspace::shared),
        Implementation::on_system("rwlock", lock::read),
    ],
    ..WORKLOAD
};

/// A scope and a safepoint in a held lock.
pub static SCOPE: Workload = Workload {
    name: "access-scope",
    implementations: &[
        Implementation::on_system("cspace", cspace::scope),
        Implementation::on_system("plain", plain::poll),
    ],
    ..WORKLOAD
};

/// From a root handle to the object.
pub static ROOT_GET: Workload = Workload {
    name: "access-root-get",
    implementations: &[
        Implementation::on_system("cspace", cspace::root_get),
        Implementation::on_system("plain", plain::root_get),
    ],
    ..WORKLOAD
};

/// Read a slot.
pub static SLOT_GET: Workload = Workload {
    name: "access-slot-get",
    implementations: &[
        Implementation::on_system("cspace", cspace::slot_get),
        Implementation::on_system("plain", plain::cell_get),
    ],
    ..WORKLOAD
};

/// Store to a slot.
pub static SLOT_SET: Workload = Workload {
    name: "access-slot-set",
    implementations: &[
        Implementation::on_system("cspace", cspace::slot_set),
        Implementation::on_system("plain", plain::cell_set),
    ],
    ..WORKLOAD
};

const WORKLOAD: Workload = Workload {
    name: "access",
    size_unit: "operations",
    sizes: &[SIZE],
    size_max: 1 << 40,
    size_tiny: 1000,
    operation: "operation",
    base: "plain",
    expected: |size| size,
    implementations: &[],
};
