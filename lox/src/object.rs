//! The objects of the heap, one file for each kind; those of natives are in [`natives`](crate::natives).
//!
//! What refers to what:
//!
//! ```text
//! Instance ─ shape ─> Shape ─ class ─> Class ─ methods, initializer ─> Closure
//!    └ fields ─> …       └ layout ─> Layout   └ name ─> LoxString         ├ function ─> Function
//! BoundMethod ─ receiver ─> Instance                                      └ upvalues ─> Upvalue
//!    └ method ─> Closure                     Function ─ constants, sites ─> …    └ value ─> …
//! ```

mod class;
mod closure;
mod function;
mod instance;
mod string;

pub(crate) use self::class::{BoundMethod, Class, NameMap};
pub(crate) use self::closure::{Closure, ClosureHeader, Upvalue};
pub(crate) use self::function::{Function, Site};
pub(crate) use self::instance::{add_overflow, get_overflow, new_instance, set_overflow, Instance};
pub(crate) use self::string::{LoxString, StringTable};
