//! A language that peers are written in: what it needs, how it is compiled and started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::pin::Pin;
use crate::tool;

/// The languages, each with one program in a directory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Language {
    C,
    Java,
    OCaml,
    Go,
}

/// OCaml's modules, each after those that it uses.
const OCAML_MODULES: &[&str] = &[
    "measure.ml",
    "random64.ml",
    "binary_trees.ml",
    "gcbench.ml",
    "churn.ml",
    "cycles.ml",
    "quads.ml",
    "listbench.ml",
    "mark.ml",
    "alloc.ml",
    "main.ml",
];

impl Language {
    fn directory_name(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Java => "java",
            Self::OCaml => "ocaml",
            Self::Go => "go",
        }
    }

    /// Who runs it, in words.
    pub(super) fn peers(self) -> &'static str {
        match self {
            Self::C => "boehm",
            Self::Java => "java",
            Self::OCaml => "ocaml",
            Self::Go => "go",
        }
    }

    /// Brings the program in `target` up to date.
    ///
    /// # Errors
    ///
    /// If something is not installed, or the program does not compile.
    pub(super) fn compile(self, target: &Path) -> Result<(), String> {
        self.find_tools()?;
        let sources = self.sources().map_err(|error| error.to_string())?;
        let directory = self.output_directory(target);
        if is_newer(&self.output(target), &sources) {
            return Ok(());
        }
        eprintln!("compiling the {} program", self.peers());
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let mut compiler = self.compiler(target, &sources)?;
        let status = compiler.stdin(Stdio::null()).status().map_err(|error| error.to_string())?;
        if status.success() {
            Ok(())
        } else {
            Err("its program does not compile here".to_owned())
        }
    }

    fn find_tools(self) -> Result<(), String> {
        let tools: &[&str] = match self {
            Self::C => &["cc"],
            Self::Java => &["javac", "java"],
            Self::OCaml => &["ocamlopt"],
            Self::Go => &["go"],
        };
        if let Some(missing) = tools.iter().find(|tool| !tool::exists(tool)) {
            return Err(format!("no `{missing}` here"));
        }
        if self == Self::C && !tool::has_header("gc.h") {
            return Err("no `gc.h` here".to_owned());
        }
        Ok(())
    }

    fn sources(self) -> std::io::Result<Vec<PathBuf>> {
        let directory = self.source_directory();
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn source_directory(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(self.directory_name())
    }

    fn output_directory(self, target: &Path) -> PathBuf {
        target.join(self.directory_name())
    }

    /// The file that the compiler writes last.
    fn output(self, target: &Path) -> PathBuf {
        let name = match self {
            Self::Java => "Bench.class",
            Self::C | Self::OCaml | Self::Go => "bench",
        };
        self.output_directory(target).join(name)
    }

    fn compiler(self, target: &Path, sources: &[PathBuf]) -> Result<Command, String> {
        let (directory, output) = (self.output_directory(target), self.output(target));
        let of_kind = |extension: &'static str| {
            sources.iter().filter(move |source| source.extension().is_some_and(|e| e == extension))
        };
        Ok(match self {
            Self::C => {
                let mut command = Command::new("cc");
                command.args(["-O3", "-std=gnu11", "-o"]).arg(output).args(of_kind("c"));
                command.arg("-lgc");
                command
            }
            Self::Java => {
                // Or a file that failed to be written again would be taken for the new one.
                let _ = fs::remove_file(output);
                let mut command = Command::new("javac");
                command.arg("-d").arg(directory).args(of_kind("java"));
                command
            }
            Self::OCaml => {
                // The compiler writes beside the sources, so it gets a copy of them.
                for source in of_kind("ml") {
                    let name = source.file_name().expect("a source has a name");
                    let copied = fs::copy(source, directory.join(name));
                    copied.map_err(|error| format!("{}: {error}", source.display()))?;
                }
                let mut command = Command::new("ocamlopt");
                command.current_dir(directory);
                command.args(["-O3", "-I", "+unix", "unix.cmxa"]).args(OCAML_MODULES);
                command.arg("-o").arg(output);
                command
            }
            Self::Go => {
                let mut command = Command::new("go");
                command.current_dir(self.source_directory());
                command.args(["build", "-o"]).arg(output).arg(".");
                command
            }
        })
    }

    /// A command that runs the program, once `set_up` has added to it; the workload comes next.
    pub(super) fn command(
        self,
        target: &Path,
        pin: &Pin,
        set_up: impl FnOnce(&mut Command),
    ) -> Command {
        match self {
            Self::Java => {
                let mut command = pin.command("java");
                set_up(&mut command);
                command.arg("-cp").arg(self.output_directory(target)).arg("Bench");
                command
            }
            Self::C | Self::OCaml | Self::Go => {
                let mut command = pin.command(self.output(target));
                set_up(&mut command);
                command
            }
        }
    }
}

/// Whether `output` is there and was written after the last change to each source.
fn is_newer(output: &Path, sources: &[PathBuf]) -> bool {
    let changed = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    changed(output).is_some_and(|written| {
        sources.iter().all(|source| changed(source).is_some_and(|changed| changed < written))
    })
}
