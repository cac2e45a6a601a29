//! Nor can one be put together.
use cspace::*;

fn main() {
    let _bits = std::ptr::without_provenance::<u8>(0xFFFC_0000_0000_1000);
    let _value: NanBox<'_> = NanBox { bits: _bits, brand: std::marker::PhantomData }; // refused
}
