//! Variables on the stack that closures have captured.

use cspace::{Alloc, Gc, HeapFull};

use crate::object::{Closure, Upvalue};
use crate::proto::UpvalueSource;
use crate::value::Value;

/// Fills `captured` with the upvalues of a new closure, which is made in a call of `around` whose
/// slots begin at `base`.
#[inline(always)]
pub(super) fn capture_all<'gc>(
    cx: &Alloc<'gc>,
    captured: &mut Vec<Gc<'gc, Upvalue<'gc>>>,
    sources: &[cspace::Static<UpvalueSource>],
    around: Gc<'gc, Closure<'gc>>,
    base: usize,
    open: &mut Vec<Gc<'gc, Upvalue<'gc>>>,
) -> Result<(), HeapFull> {
    captured.clear();
    for source in sources {
        captured.push(match source.0 {
            UpvalueSource::Local(slot) => capture(cx, open, base + usize::from(slot))?,
            UpvalueSource::Upvalue(index) => around.elems()[usize::from(index)],
        });
    }
    Ok(())
}

/// The upvalue of the variable at `location`: one for all closures that capture it.
fn capture<'gc>(
    cx: &Alloc<'gc>,
    open: &mut Vec<Gc<'gc, Upvalue<'gc>>>,
    location: usize,
) -> Result<Gc<'gc, Upvalue<'gc>>, HeapFull> {
    let mut at = open.len();
    // What is captured now is near the top of the stack.
    while at > 0 {
        let upvalue = open[at - 1];
        let other = upvalue.location(cx);
        if other == location {
            return Ok(upvalue);
        }
        if other < location {
            break;
        }
        at -= 1;
    }
    let upvalue = cx.try_alloc(Upvalue::open(location)).map_err(|error| error.cause)?;
    open.insert(at, upvalue);
    Ok(upvalue)
}

/// Takes the captured variables from `from` on off the stack.
#[inline(always)]
pub(super) fn close_from<'gc>(
    cx: &Alloc<'gc>,
    open: &mut Vec<Gc<'gc, Upvalue<'gc>>>,
    stack: &[Value<'gc>],
    from: usize,
) {
    while let Some(upvalue) = open.last() {
        if upvalue.location(cx) < from {
            return;
        }
        upvalue.close(cx, stack);
        open.pop();
    }
}
