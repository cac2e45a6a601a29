//! The child binaries: built beside the runner, started one at a time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child::ChildReport;
use crate::pin::Pin;
use crate::workload::{Allocator, Implementation, Workload};

/// Where the children are and how they are started.
#[derive(Clone, Debug)]
pub struct Children {
    directory: PathBuf,
    pin: Pin,
}

impl Children {
    /// Finds the children beside the running binary, and brings them up to date.
    ///
    /// `cargo run` builds only the binary it runs. So, started by cargo, the runner has cargo build
    /// the children with the same profile and features; started by hand, it takes what is there.
    ///
    /// # Errors
    ///
    /// If the children do not build.
    pub fn locate(pin: Pin) -> Result<Self, String> {
        let runner =
            std::env::current_exe().map_err(|error| format!("which binary am I: {error}"))?;
        let directory = runner.parent().ok_or("the runner is in no directory")?.to_owned();
        let children = Self { directory, pin };
        if let Some(cargo) = std::env::var_os("CARGO") {
            children.build(Command::new(cargo))?;
        }
        Ok(children)
    }

    fn build(&self, mut cargo: Command) -> Result<(), String> {
        let (Some(target), Some(profile)) = (self.directory.parent(), self.directory.file_name())
        else {
            return Err("the runner is not in a target directory".to_owned());
        };
        cargo.args(["build", "--quiet", "--bins", "--package", "cspace-benches"]);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        cargo.arg("--target-dir").arg(target);
        match profile.to_str() {
            Some("debug") => cargo.args(["--profile", "dev"]),
            _ => cargo.arg("--profile").arg(profile),
        };
        if cfg!(feature = "peers") {
            cargo.args(["--features", "peers"]);
        }
        let status = cargo.status().map_err(|error| format!("starting cargo: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err("the child binaries do not build".to_owned())
        }
    }

    /// Runs one implementation once and waits for it.
    ///
    /// # Errors
    ///
    /// If the child does not start, fails, or prints something else than a report.
    pub fn run(
        &self,
        workload: &Workload,
        implementation: &Implementation,
        size: u64,
    ) -> Result<ChildReport, String> {
        let mut command = self.command(implementation.allocator);
        report_of(command.args([workload.name, implementation.label, &size.to_string()]))
    }

    /// Where the children are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn command(&self, allocator: Allocator) -> Command {
        let name = match allocator {
            Allocator::System => "child_sys",
            Allocator::Mimalloc => "child_mi",
        };
        let child = self.directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        self.pin.command(child)
    }
}

/// Runs a program that prints a report.
///
/// # Errors
///
/// If it does not start, fails, or prints something else.
pub fn report_of(command: &mut Command) -> Result<ChildReport, String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(output.status.to_string());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}
