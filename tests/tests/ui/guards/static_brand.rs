//! A brand cannot be made to last for ever.
use cspace::*;

fn take(_: Guard<'static>) {}

fn main() {
    make_guard!(brand);
    let _ = take;
    take(brand); // refused
}
