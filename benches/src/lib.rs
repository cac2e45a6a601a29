//! How fast cspace is, beside the heaps one would use instead.
//!
//! ```text
//! cargo run --release -p cspace-benches --features peers
//! cargo run --release -p cspace-benches --features peers -- binary-trees --sizes 16,18 --runs 5
//! ```
//!
//! The first runs everything, which takes hours; `-- --help` says how to run less. Each
//! [workload](workloads) documents the question it asks and the baseline to read it against. The runner
//! starts one process for each measurement, one at a time, in turn between the implementations and
//! pinned to one processor, so that no heap inherits another's fragmentation and a noisy minute hurts
//! all of them alike. It reports the wall and processor time of the measured part, the peak resident
//! set, pauses where an implementation notes them, and a checksum; the runner refuses a figure whose
//! checksum is not the analytic one. Peers in [other languages](foreign) take part where they are
//! installed.
//!
//! # What is a pause?
//!
//! What the program waits at a safepoint that has something to do: the whole of it, whatever the
//! collector does in it and whoever it waits for. Only cspace notes them; the others stop inside of
//! allocations and barriers, where a clock would cost more than what it measures.
//!
//! How the collector gets along with a program is measured apart, by the command
//! [`collector`](mod@collector); what eviction costs, by [`evict`](mod@evict); what memory that is not
//! objects costs, by [`native`](mod@native).
//!
//! # When is a figure not about the heap?
//!
//! When most of it is system time. Touching memory for the first time costs whatever the kernel,
//! and under it a hypervisor, takes to find that memory, above all with huge pages: the same run
//! of a heap that never reuses anything takes 80 ms or two seconds. Subtract the system time or
//! look at the minimum before concluding anything from such a row.
//!
//! # Which allocator does an implementation run on?
//!
//! The global allocator is a property of a binary, so there are two children from this one library:
//! `child_sys` on the system's allocator and `child_mi` on mimalloc. A switch inside one binary
//! would need unsafe code and would cost the peers a branch per allocation. A label that ends in
//! `-sys` runs on the system's allocator, one that ends in `-mi` on mimalloc; cspace runs on the
//! system's allocator, which it needs only for its bookkeeping.
//!
//! # What is in a label?
//!
//! | label, without `-sys` and `-mi` | what it is |
//! | --- | --- |
//! | `cspace` | this workspace |
//! | `box` | `Box`, freed by hand: no collector at all |
//! | `rc` | `Rc`: counts, and cycles broken by hand |
//! | `bumpalo` | a bump arena that never frees: the floor for allocation, and no memory manager |
//! | `gc-arena` | gc-arena with its default, incremental pacing |
//! | `gc-arena-stw` | gc-arena with the best pacing found for these workloads, see [`PACING`] |
//! | `boa` | boa_gc, the mark-sweep collector of the Boa JavaScript engine, as it comes |
//! | `dumpster` | dumpster's collector for one thread: counts, and a search for cycles now and then |
//! | `safe-gc` | safe-gc: mark-sweep with indices for references and no unsafe code |
//! | `hand` | what one would write by hand for this one question |
//! | `mutex`, `rwlock` | a bare parking_lot lock |
//! | `plain` | the same operation on ordinary Rust memory |
//!
//! Those of the peers in other languages are [there](foreign).
//!
//! [`PACING`]: workloads#gc-arenas-pacing

#![forbid(unsafe_code)]

pub mod child;
pub mod children;
pub mod collector;
pub mod contender;
pub mod counted;
pub mod ephemeron;
pub mod evict;
pub mod foreign;
pub mod measure;
pub mod native;
pub mod options;
pub mod pause;
pub mod pin;
pub mod random;
pub mod report;
pub mod runner;
pub mod size;
pub mod soak;
pub mod summary;
pub mod table;
pub mod tool;
pub mod workload;
pub mod workloads;
