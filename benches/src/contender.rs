//! Whoever runs a workload: a child of this package, or a program in another language.

use crate::child::ChildReport;
use crate::children::Children;
use crate::foreign::{self, Peer, Programs};
use crate::options::Options;
use crate::pin::Pin;
use crate::workload::{Implementation, Workload};

/// One entry in a workload's table.
#[derive(Clone, Copy, Debug)]
pub enum Contender {
    /// Runs in a child.
    Child(&'static Implementation),
    /// Runs in a program of its own.
    Foreign(&'static Peer),
}

impl Contender {
    /// Those of a workload that the options want, installed or not.
    pub fn of(workload: &'static Workload, options: &Options) -> Vec<Self> {
        let children = workload.implementations.iter().map(Self::Child);
        let foreign = foreign::peers_of(workload).iter().map(Self::Foreign);
        children
            .chain(foreign)
            .filter(|contender| {
                let is_foreign = matches!(contender, Self::Foreign(_));
                !(is_foreign && options.no_foreign) && options.wants(contender.label())
            })
            .collect()
    }

    /// The name in the tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Child(implementation) => implementation.label,
            Self::Foreign(peer) => peer.label,
        }
    }
}

/// What it takes to run contenders.
#[derive(Debug)]
pub struct Starter {
    children: Children,
    programs: Programs,
}

impl Starter {
    /// Builds the children and finds a place for the other programs, beside them.
    ///
    /// # Errors
    ///
    /// If the children do not build.
    pub fn new(pin: &Pin) -> Result<Self, String> {
        let children = Children::locate(pin.clone())?;
        let programs = Programs::new(children.directory().join("foreign"), pin.clone());
        Ok(Self { children, programs })
    }

    /// Whether this one can run here.
    pub fn is_ready(&mut self, contender: Contender) -> bool {
        match contender {
            Contender::Child(_) => true,
            Contender::Foreign(peer) => self.programs.is_ready(peer),
        }
    }

    /// Runs it once and waits for it.
    ///
    /// # Errors
    ///
    /// If it fails or prints something else than a report.
    pub fn run(
        &self,
        contender: Contender,
        workload: &Workload,
        size: u64,
    ) -> Result<ChildReport, String> {
        match contender {
            Contender::Child(implementation) => self.children.run(workload, implementation, size),
            Contender::Foreign(peer) => self.programs.run(peer, workload, size),
        }
    }
}
