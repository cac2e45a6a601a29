//! Programs that may or may not be installed.

use std::process::{Command, Stdio};

/// Whether a program of this name can be started.
pub fn exists(name: &str) -> bool {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|entry| entry.join(&name).is_file()))
}

/// Whether the C compiler finds this header.
pub fn has_header(header: &str) -> bool {
    Command::new("cc")
        .args(["-E", "-x", "c", "-include", header, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
