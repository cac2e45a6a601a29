//! Where the programs' choices come from: a small random number generator, so that a seed means the same program
//! everywhere (SplitMix64), or the bytes that a fuzzer made up.

pub enum Rng {
    Seeded(u64),
    /// What is left of the bytes, the next ones last.
    Bytes(Vec<u8>),
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng::Seeded(seed)
    }

    /// Two bytes for each number, and zeros when there are no more.
    #[allow(dead_code, reason = "for the fuzz targets, which include this file")]
    pub fn of_bytes(bytes: &[u8]) -> Rng {
        Rng::Bytes(bytes.iter().rev().copied().collect())
    }

    pub fn next(&mut self) -> u64 {
        let state = match self {
            Rng::Seeded(state) => state,
            Rng::Bytes(bytes) => {
                let mut byte = || u64::from(bytes.pop().unwrap_or(0));
                // Repeated, as some take the low bits and some the high ones.
                return (byte() | byte() << 8) * 0x0001_0001_0001_0001;
            }
        };
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A number from an environment variable, in decimal or, with `0x`, in hexadecimal.
pub fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(number.unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}
