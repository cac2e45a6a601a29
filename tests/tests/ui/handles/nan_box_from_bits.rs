//! No function makes a value from bits: they could name an object.
use cspace::*;

fn main() {
    let _bits = 0xFFFC_0000_0000_1000u64;
    let _value: NanBox<'_> = NanBox::from_f64(f64::from_bits(_bits));
    let _value: NanBox<'_> = NanBox::from_bits(_bits); // refused
}
