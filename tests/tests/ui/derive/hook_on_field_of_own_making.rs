//! What a hook sees must not be for the user to say. Must not compile.
use cspace::*;

#[derive(IObject)]
struct Name<'gc>(Gc<'gc, String>);

impl<'gc> __private::HookedField for Name<'gc> { type Data = Gc<'gc, String>; fn data(&mut self) -> &mut Gc<'gc, String> { &mut self.0 } } // refused

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| assert_eq!(Name(cx.alloc(String::new())).0.len(), 0));
}
