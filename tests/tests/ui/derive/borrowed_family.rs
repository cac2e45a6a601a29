//! A type cannot take the family of another.
use cspace::*;

#[derive(IObject)]
struct Config {
    value: u64,
}

struct Other(String);

unsafe impl<'gc> IObject<'gc> for Other {
    type R = Config;

    fn visit_objects(&self, _: &mut Visitor<'_>) {}
}

fn main() {}
