//! Peers that are not written in Rust: programs in the directory `foreign`, compiled when they are first
//! used.
//!
//! A program runs the same workloads as the children, takes `<workload> <size>` as they do and prints
//! the same line. What is not installed is skipped, and said to be.
//!
//! | label | what it is |
//! | --- | --- |
//! | `boehm` | C on the Boehm-Demers-Weiser collector, as it comes |
//! | `boehm-fsd1` | the same with a free space divisor of 1: more memory, fewer collections |
//! | `java-serial`, `java-zgc` | Java on two of its collectors |
//! | `ocaml` | OCaml, as it comes |
//! | `ocaml-32m` | the same with a nursery of 32 MiB |
//! | `go` | Go, as it comes |
//!
//! Java's compiler works during the measured part, as it does in any program; with one processor it
//! shares that, as collectors with threads of their own do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use crate::child::ChildReport;
use crate::children;
use crate::pin::Pin;
use crate::workload::Workload;
use crate::workloads::{alloc, binary_trees, churn, cycles, gcbench, list, mark, quads};

mod language;

use language::Language;

/// A program and how its collector is set up.
#[derive(Debug)]
pub struct Peer {
    /// The name in the tables.
    pub label: &'static str,
    language: Language,
    /// Adds options or environment; the number is how large the heap may be, if the workload limits it.
    set_up: fn(&mut Command, heap_bytes: Option<u64>),
}

/// All of them, in the order of the tables.
pub static PEERS: &[Peer] = &[
    Peer { label: "boehm", language: Language::C, set_up: boehm },
    Peer { label: "boehm-fsd1", language: Language::C, set_up: boehm_fsd1 },
    Peer { label: "java-serial", language: Language::Java, set_up: java_serial },
    Peer { label: "java-zgc", language: Language::Java, set_up: java_zgc },
    Peer { label: "ocaml", language: Language::OCaml, set_up: ocaml },
    Peer { label: "ocaml-32m", language: Language::OCaml, set_up: ocaml_32m },
    Peer { label: "go", language: Language::Go, set_up: go },
];

/// The workloads that the programs know.
static WORKLOADS: &[&Workload] = &[
    &binary_trees::WORKLOAD,
    &gcbench::WORKLOAD,
    &churn::WORKLOAD,
    &cycles::WORKLOAD,
    &quads::WORKLOAD,
    &list::WORKLOAD,
    &mark::WORKLOAD,
    &alloc::WORKLOAD_16,
    &alloc::WORKLOAD_32,
];

/// Those who run this workload, installed or not.
pub fn peers_of(workload: &Workload) -> &'static [Peer] {
    if WORKLOADS.iter().any(|known| known.name == workload.name) {
        PEERS
    } else {
        &[]
    }
}

fn boehm(command: &mut Command, heap_bytes: Option<u64>) {
    if let Some(bytes) = heap_bytes {
        command.env("GC_INITIAL_HEAP_SIZE", bytes.to_string());
        command.env("GC_MAXIMUM_HEAP_SIZE", bytes.to_string());
    }
}

fn boehm_fsd1(command: &mut Command, heap_bytes: Option<u64>) {
    boehm(command, heap_bytes);
    command.env("GC_FREE_SPACE_DIVISOR", "1");
}

fn java_serial(command: &mut Command, heap_bytes: Option<u64>) {
    command.arg("-XX:+UseSerialGC");
    // A node is as large as elsewhere, as the virtual machine compresses references. It asks for 2 MiB.
    if let Some(bytes) = heap_bytes {
        let bytes = bytes.max(2 << 20);
        command.args([format!("-Xms{bytes}"), format!("-Xmx{bytes}")]);
    }
}

/// The heap stays without a limit: this collector does not compress references, so that the same bytes
/// would hold fewer nodes.
fn java_zgc(command: &mut Command, _: Option<u64>) {
    command.arg("-XX:+UseZGC");
}

/// With a limit, garbage may take as much again as is live, times what the limit leaves.
fn ocaml(command: &mut Command, heap_bytes: Option<u64>) {
    if heap_bytes.is_some() {
        command.env("OCAMLRUNPARAM", format!("o={}", budget_percent()));
    }
}

fn ocaml_32m(command: &mut Command, heap_bytes: Option<u64>) {
    // In words of 8 bytes.
    let nursery = "s=4M";
    match heap_bytes {
        None => command.env("OCAMLRUNPARAM", nursery),
        Some(_) => command.env("OCAMLRUNPARAM", format!("{nursery},o={}", budget_percent())),
    };
}

fn go(command: &mut Command, heap_bytes: Option<u64>) {
    if heap_bytes.is_some() {
        command.env("GOGC", budget_percent().to_string());
    }
}

/// How much is allocated between two collections in a limited heap, in percent of what is live.
fn budget_percent() -> u64 {
    (quads::BUDGET_FACTOR * 100.0) as u64
}

/// The programs, compiled as they are needed.
#[derive(Debug)]
pub struct Programs {
    directory: PathBuf,
    pin: Pin,
    ready: BTreeMap<Language, bool>,
}

impl Programs {
    /// Programs that are compiled into `directory`.
    pub fn new(directory: PathBuf, pin: Pin) -> Self {
        Self { directory, pin, ready: BTreeMap::new() }
    }

    /// Compiles the peer's program if that was not done yet; says on the standard error if the peer has
    /// to be skipped.
    pub fn is_ready(&mut self, peer: &Peer) -> bool {
        let directory = &self.directory;
        *self.ready.entry(peer.language).or_insert_with(|| match peer.language.compile(directory) {
            Ok(()) => true,
            Err(reason) => {
                eprintln!("{} skipped: {reason}", peer.language.peers());
                false
            }
        })
    }

    /// Runs a peer once and waits for it.
    ///
    /// # Errors
    ///
    /// If the program does not start, fails, or prints something else than a report.
    pub fn run(&self, peer: &Peer, workload: &Workload, size: u64) -> Result<ChildReport, String> {
        let heap_bytes = (workload.name == quads::WORKLOAD.name).then(|| quads::heap_bytes(size));
        let mut command = peer.language.command(&self.directory, &self.pin, |command| {
            (peer.set_up)(command, heap_bytes);
        });
        children::report_of(command.arg(workload.name).arg(size.to_string()))
    }
}
