//! A plain borrow of an object's content is bound to the access, too.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let _text = space.exclusive(|cx| {
        let text = cx.alloc_str("inside").as_str();
        return text; // refused
    });
}
