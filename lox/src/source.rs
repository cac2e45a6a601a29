//! Source text: bytes that ought to be UTF-8.

use std::fs;
use std::io;
use std::path::Path;

use crate::compiler::CompileError;

/// The source of a program.
pub(crate) struct Source(Vec<u8>);

impl Source {
    pub(crate) fn from_text(text: impl Into<String>) -> Self {
        Source(text.into().into_bytes())
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Source(bytes)
    }

    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        fs::read(path).map(Source)
    }

    /// The text. Bytes that are none are an error of the program, like a character that cannot be
    /// scanned.
    pub(crate) fn text(&self) -> Result<&str, CompileError> {
        std::str::from_utf8(&self.0).map_err(|error| {
            let before = &self.0[..error.valid_up_to()];
            let lines = before.iter().filter(|&&byte| byte == b'\n').count();
            CompileError::in_source(lines as u32 + 1, "Source is not UTF-8.")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_an_error_on_their_line() {
        assert_eq!(Source::from_text("nil; // ü").text().unwrap(), "nil; // ü");
        let source = Source::from_bytes(b"nil;\n\"\xff\";\n".to_vec());
        assert_eq!(source.text().unwrap_err().to_string(), "[line 2] Error: Source is not UTF-8.");
    }
}
