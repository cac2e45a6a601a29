//! Where programs print to: standard output, buffered.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use cspace::Access;

use crate::value::{write_value, Value};

/// Standard output. What is written gets there when the buffer is full, on [`flush`](Write::flush),
/// and at the end of each line if somebody is watching.
pub(crate) struct Output {
    buffer: BufWriter<Stdout>,
    is_watched: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        Output {
            is_watched: stdout.is_terminal(),
            buffer: BufWriter::with_capacity(1 << 15, stdout),
        }
    }

    /// Writes a value and ends the line.
    pub(crate) fn print<'gc>(
        &mut self,
        cx: &impl Access<'gc>,
        value: Value<'gc>,
    ) -> io::Result<()> {
        write_value(&mut self.buffer, cx, value)?;
        self.buffer.write_all(b"\n")?;
        if self.is_watched {
            self.buffer.flush()?;
        }
        Ok(())
    }

    /// Has everything that was printed reach its destination.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }
}
