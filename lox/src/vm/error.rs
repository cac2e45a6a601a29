//! Runtime errors, with the calls that were active.

use std::fmt;

use super::Frame;

/// What went wrong, and where.
#[derive(Debug)]
pub(crate) struct RuntimeError {
    message: String,
    /// The active calls, innermost first.
    trace: Vec<TraceLine>,
}

/// A call that was active.
#[derive(Debug)]
struct TraceLine {
    line: u32,
    /// `None` for the program itself.
    function: Option<String>,
}

impl RuntimeError {
    pub(super) fn new(message: String, frames: &[Frame<'_>]) -> Self {
        let describe = |frame: &Frame<'_>| {
            let function = frame.closure.function;
            // The frame is at the instruction after.
            let at = (frame.ip as usize).saturating_sub(1);
            TraceLine {
                line: function.lines.elems()[at],
                function: function
                    .name
                    .map(|name| String::from_utf8_lossy(name.elems()).into_owned()),
            }
        };
        RuntimeError { message, trace: frames.iter().rev().map(describe).collect() }
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for TraceLine { line, function } in &self.trace {
            match function {
                Some(name) => write!(f, "\n[line {line}] in {name}()")?,
                None => write!(f, "\n[line {line}] in script")?,
            }
        }
        Ok(())
    }
}
