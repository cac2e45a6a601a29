//! Sizes as people write them: `16`, `1M`, `50_000k`.

/// Reads a size; `k` and `M` are decimal, underscores are ignored.
///
/// # Errors
///
/// Says what was not understood, for the command line.
pub fn parse(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match text.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1_000_000),
            None => (text, 1),
        },
    };
    let number: u64 = digits
        .replace('_', "")
        .parse()
        .map_err(|error| format!("`{text}` is not a size: {error}"))?;
    number.checked_mul(unit).ok_or_else(|| format!("`{text}` is too large"))
}

/// Writes a size as short as it goes without losing anything.
pub fn display(size: u64) -> String {
    match size {
        0 => "0".to_owned(),
        _ if size % 1_000_000 == 0 => format!("{}M", size / 1_000_000),
        _ if size % 1_000 == 0 => format!("{}k", size / 1_000),
        _ => size.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{display, parse};

    #[test]
    fn displayed_size_reads_back() {
        for size in [0, 16, 1_000, 1_500, 2_000_000, 50_000_000] {
            assert_eq!(parse(&display(size)), Ok(size));
        }
        assert_eq!(parse("50_000k"), Ok(50_000_000));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(parse("").is_err());
        assert!(parse("-1").is_err());
        assert!(parse("18446744073709551615M").is_err());
    }
}
