//! The processors that measured programs may use.

use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use crate::tool;

/// What the command line says about processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinOption {
    /// Whatever the system gives.
    None,
    /// These, as `taskset --cpu-list` takes them.
    Processors(String),
}

impl FromStr for PinOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_list = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-' | ':'));
        match text {
            "none" => Ok(Self::None),
            _ if is_list && text.starts_with(|c: char| c.is_ascii_digit()) => {
                Ok(Self::Processors(text.to_owned()))
            }
            _ => Err("neither `none` nor a list of processors such as `1` or `0,2-3`".to_owned()),
        }
    }
}

/// How measured programs are started.
#[derive(Clone, Debug)]
pub struct Pin {
    processors: Option<String>,
}

impl Pin {
    /// Follows the option; without one, takes one processor where that is possible.
    ///
    /// # Errors
    ///
    /// If processors were asked for that cannot be had.
    pub fn new(option: Option<&PinOption>) -> Result<Self, String> {
        let processors = match option {
            Some(PinOption::None) => None,
            Some(PinOption::Processors(list)) if !tool::exists("taskset") => {
                return Err(format!("no `taskset` here to pin programs to processors {list}"));
            }
            Some(PinOption::Processors(list)) => Some(list.clone()),
            None if tool::exists("taskset") => last_allowed(),
            None => None,
        };
        Ok(Self { processors })
    }

    /// A command that runs `program` on the processors.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        match &self.processors {
            None => Command::new(program.as_ref()),
            Some(processors) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", processors]).arg(program.as_ref());
                command
            }
        }
    }

    /// The processors in words, for a table's heading.
    pub fn describe(&self) -> String {
        match &self.processors {
            None => "not pinned".to_owned(),
            Some(processors) => format!("pinned to processor {processors}"),
        }
    }
}

/// The last processor that this process may use: interrupts often go to the first. `None` where the
/// system does not tell (anything but Linux).
fn last_allowed() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(last_of(list.trim())?.to_owned())
}

/// The last number of a list such as `0,2-3`.
fn last_of(list: &str) -> Option<&str> {
    list.rsplit([',', '-']).next().filter(|number| !number.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{last_of, PinOption};

    #[test]
    fn last_processor_ends_the_list() {
        assert_eq!(last_of("0"), Some("0"));
        assert_eq!(last_of("0-1,4,6-11"), Some("11"));
        assert_eq!(last_of(""), None);
    }

    #[test]
    fn only_none_and_lists_are_options() {
        assert_eq!("none".parse(), Ok(PinOption::None));
        assert_eq!("0,2-3".parse(), Ok(PinOption::Processors("0,2-3".to_owned())));
        assert!("all".parse::<PinOption>().is_err());
        assert!("".parse::<PinOption>().is_err());
        assert!("--help".parse::<PinOption>().is_err());
    }
}
