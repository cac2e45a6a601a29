//! `PhantomData<T>` is an object only if `T` is one: it could carry a foreign lifetime.
use cspace::*;
use std::marker::PhantomData;

struct Proof<'a>(&'a mut u64);

#[derive(IObject)]
struct Node<'gc> {
    value: u64,
    proof: PhantomData<Proof<'gc>>,
}

fn main() {}
