//! Where programs print to: standard output, buffered; or memory, for programs that run side by side.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use cspace::Access;

use crate::value::{write_value, Value};

/// What is written gets to its destination when the buffer is full, on [`flush`](Write::flush), and at the end
/// of each line if somebody is watching.
pub(crate) struct Output {
    buffer: BufWriter<Sink>,
    is_watched: bool,
}

enum Sink {
    Stdout(Stdout),
    Memory(Vec<u8>),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stdout(stdout) => stdout.write(bytes),
            Sink::Memory(memory) => memory.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Stdout(stdout) => stdout.flush(),
            Sink::Memory(_) => Ok(()),
        }
    }
}

impl Output {
    /// To standard output.
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        Output {
            is_watched: stdout.is_terminal(),
            buffer: BufWriter::with_capacity(1 << 15, Sink::Stdout(stdout)),
        }
    }

    /// To memory, to be looked at in the end.
    pub(crate) fn in_memory() -> Self {
        Output {
            is_watched: false,
            buffer: BufWriter::with_capacity(1 << 15, Sink::Memory(Vec::new())),
        }
    }

    /// What was printed to memory; nothing if it went to standard output.
    pub(crate) fn into_printed(self) -> Vec<u8> {
        match self.buffer.into_inner() {
            Ok(Sink::Memory(printed)) => printed,
            _ => Vec::new(),
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
