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
    /// 0 for what calls functions after a collection, which is not in the program.
    line: u32,
    /// `None` for the program itself.
    function: Option<String>,
}

impl RuntimeError {
    pub(super) fn new(message: String, frames: &[Frame<'_>]) -> Self {
        let mut is_interrupted = false;
        let describe = |frame: &Frame<'_>| {
            let function = frame.closure.function;
            // A call is at the instruction after the one it made, or, below the caller of functions that are due,
            // at the one that comes next.
            let at = (frame.ip as usize).saturating_sub(usize::from(!is_interrupted));
            let line = function.lines.elems()[at];
            is_interrupted = line == 0;
            TraceLine {
                line,
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
                Some(name) if *line == 0 => write!(f, "\n[after a collection] in {name}()")?,
                Some(name) => write!(f, "\n[line {line}] in {name}()")?,
                None => write!(f, "\n[line {line}] in script")?,
            }
        }
        Ok(())
    }
}
