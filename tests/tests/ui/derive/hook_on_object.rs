//! A hook that sees a reference to another object could read what is swept already. Must not compile.
use cspace::*;

fn read(name: &mut Gc<'_, String>) {
    println!("{}", name.len());
}

#[derive(IObject)]
struct Node<'gc> {
    #[cspace(on_collect = "read")] // refused
    name: Gc<'gc, String>,
}

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| _ = cx.alloc(Node { name: cx.alloc("x".repeat(100)) }));
    let mut unused = None::<Gc<'static, String>>;
    unused.as_mut().map(read);
}
