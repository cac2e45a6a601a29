//! Two families that are subtypes of each other, each with an object type of its own: with a root that is
//! covariant in its family this reads three numbers as a text.
use cspace::*;

struct Tag<T>(T);
type F1 = for<'a> fn(&'a ());
type F2 = fn(&'static ());

struct Numbers([u64; 3]);
struct Text(String);

impl Rootable for Tag<F1> {
    type At<'gc> = Numbers;
}
impl Rootable for Tag<F2> {
    type At<'gc> = Text;
}
// SAFETY: no references inside.
unsafe impl<'gc> IObject<'gc> for Numbers {
    type R = Tag<F1>;
    fn visit_objects(&self, _: &mut Visitor<'_>) {}
}
// SAFETY: no references inside.
unsafe impl<'gc> IObject<'gc> for Text {
    type R = Tag<F2>;
    fn visit_objects(&self, _: &mut Visitor<'_>) {}
}

fn main() {
    let space = CSpace::new();
    let root: GcRoot<Tag<F1>> = space.exclusive(|cx| cx.root(cx.alloc(Numbers([0x4141, 16, 16]))));
    space.shared(|cx| root.get(cx).0[0]);
    let text = |root: GcRoot<Tag<F2>>| space.shared(|cx| root.get(cx).0.len());
    let _ = &text;
    text(root); // refused
}
