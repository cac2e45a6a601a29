//! A type with a destructor that could read a reference cannot be a field.
use cspace::*;

struct Closer<'gc>(Gc<'gc, String>);

impl Drop for Closer<'_> {
    fn drop(&mut self) {
        println!("{}", Gc::as_ref(self.0));
    }
}

#[derive(IObject)]
struct File<'gc> {
    closer: Closer<'gc>,
}

fn main() {}
