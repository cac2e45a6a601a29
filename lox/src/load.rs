//! The loader: from a compiled program to function objects.

use cspace::{Alloc, Gc, HeapFull, HeapFullCause, Slice, Static, Tail};

use crate::bytecode::{op, operand_w, operation, wide_word, Word, WIDE_MAX};
use crate::object::{Closure, ClosureHeader, Function, Site};
use crate::proto::{Constant, Program, Proto};
use crate::value::Value;
use crate::vm::Vm;

/// Makes the objects of a program; gives a closure of the program itself.
///
/// All in one access, so nothing of it has to be rooted meanwhile.
pub(crate) fn load<'gc>(
    cx: &Alloc<'gc>,
    vm: &mut Vm<'gc>,
    program: &Program,
) -> Result<Gc<'gc, Closure<'gc>>, HeapFull> {
    let mut functions = Vec::with_capacity(program.functions.len());
    for proto in &program.functions {
        let function = load_function(cx, vm, proto, &functions)?;
        functions.push(function);
    }
    let script = *functions.last().expect("a program has at least itself");
    let header = ClosureHeader { function: script };
    cx.try_alloc_tail_copy(header, &[]).map_err(|error| error.cause)
}

fn load_function<'gc>(
    cx: &Alloc<'gc>,
    vm: &mut Vm<'gc>,
    proto: &Proto,
    functions: &[Gc<'gc, Function<'gc>>],
) -> Result<Gc<'gc, Function<'gc>>, HeapFull> {
    let name = match &proto.name {
        Some(name) => Some(vm.strings.intern(cx, name.as_bytes())?),
        None => None,
    };
    let mut constants = Vec::with_capacity(proto.constants.len());
    for constant in &proto.constants {
        constants.push(match constant {
            Constant::Number(number) => Value::from_f64(*number),
            Constant::String(text) => Value::from_gc(vm.strings.intern(cx, text.as_bytes())?),
            Constant::Function(index) => Value::from_gc(functions[*index]),
        });
    }
    let mut sites = Vec::with_capacity(proto.sites.len());
    for name in &proto.sites {
        sites.push(Site::new(vm.strings.intern(cx, name.as_bytes())?));
    }
    let mut sites = sites.into_iter();
    let sites = alloc_slice(cx, sites.len(), |_| sites.next().expect("as many as counted"))?;
    let function = Function {
        name,
        arity: proto.arity.into(),
        stack_size: proto.stack_size,
        code: copy_slice(cx, &link(cx, vm, proto)?)?,
        constants: copy_slice(cx, &constants)?,
        sites,
        lines: copy_slice(cx, &proto.lines)?,
        upvalues: alloc_slice(cx, proto.upvalues.len(), |i| Static(proto.upvalues[i]))?,
    };
    cx.try_alloc(function).map_err(|error| error.cause)
}

/// The function's code, with its numbers of globals replaced by the machine's.
fn link<'gc>(cx: &Alloc<'gc>, vm: &mut Vm<'gc>, proto: &Proto) -> Result<Vec<Word>, HeapFull> {
    let mut globals = Vec::with_capacity(proto.globals.len());
    for name in &proto.globals {
        let name = vm.strings.intern(cx, name.as_bytes())?;
        let index = vm.globals.index_of(name);
        if index > WIDE_MAX {
            return Err(HeapFull { requested: index, cause: HeapFullCause::TooLarge });
        }
        globals.push(index);
    }
    let linked = |&word: &Word| match operation(word) {
        operation @ op::GET_GLOBAL..=op::DEFINE_GLOBAL => {
            wide_word(operation, globals[operand_w(word)])
        }
        _ => word,
    };
    Ok(proto.code.iter().map(linked).collect())
}

fn copy_slice<'gc, E>(cx: &Alloc<'gc>, elements: &[E]) -> Result<Gc<'gc, Slice<E>>, HeapFull>
where
    E: cspace::IObject<'gc> + Copy + 'gc,
{
    let slice: Result<Gc<'gc, Tail<(), E>>, _> = cx.try_alloc_tail_copy((), elements);
    slice.map_err(|error| error.cause)
}

fn alloc_slice<'gc, E>(
    cx: &Alloc<'gc>,
    len: usize,
    element: impl FnMut(usize) -> E,
) -> Result<Gc<'gc, Slice<E>>, HeapFull>
where
    E: cspace::IObject<'gc> + 'gc,
{
    cx.try_alloc_tail((), len, element).map_err(|error| error.cause)
}
