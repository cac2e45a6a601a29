//! [`NanBox`]: a dynamic value in 64 bits.
//!
//! ```text
//! 0x0000… – 0xFFF8 0000 0000 0000   a double (every NaN is stored as 0x7FF8 0000 0000 0000)
//! 0x7FFC 0000 tttt tttt             an immediate: 32 bits
//! 0x7FFD 0000 0000 000n             a constant: nil, false, true, undefined
//! 0xFFFC aaaa aaaa aaaa             an object, 47 bits of address (bits 48, 49 reserved: zero)
//! ```
//!
//! The bits are kept as a pointer, so that an object's provenance survives in the box. No safe
//! function makes a box from bits: [`NanBox::from_f64`] stores every NaN as the canonical one, so
//! no double can be taken for an object.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use crate::any::GcAny;
use crate::brand::Brand;
use crate::gc::Gc;
use crate::object::{IObject, Rootable};
use crate::visitor::Visitor;

/// A value in 64 bits that is a double, an object of any type, or an immediate.
///
/// For the values of a dynamic language: entirely safe to use, with no box and no tag word.
///
/// ```
/// use cspace_core::{NanBox, Space};
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let values = [
///         NanBox::from_f64(1.5),
///         NanBox::from_gc(cx.alloc("text".to_string())),
///         NanBox::from_bool(true),
///         NanBox::NIL,
///     ];
///     assert_eq!(values[0].as_f64(), Some(1.5));
///     assert_eq!(values[1].downcast::<String>().unwrap().as_str(), "text");
///     assert_eq!(values[2].as_bool(), Some(true));
///     assert!(values[3].is_nil());
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
///
/// A constant of a program's is a `NanBox<'static>`, which holds no object, as no brand is `'static`;
/// [`in_space`](NanBox::in_space) gives it the brand of an access:
///
/// ```
/// use cspace_core::{NanBox, Slot, Space};
///
/// const NONE: NanBox<'static> = NanBox::UNDEFINED;
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let slot = cx.alloc(Slot::new(NONE.in_space()));
///     slot.set(cx, 1.5.into());
///     assert_ne!(slot.get(cx), NONE.in_space());
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
///
/// `PartialEq` and `Hash` compare the bits: objects by identity, doubles by representation (so `0.0`
/// and `-0.0` differ and NaN equals itself). A language's own equality looks at
/// [`as_f64`](NanBox::as_f64) first.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct NanBox<'gc> {
    bits: *const u8,
    brand: Brand<'gc>,
}

// SAFETY: a double, an immediate, or an object's address: as `GcAny`.
unsafe impl Send for NanBox<'_> {}
// SAFETY: as above.
unsafe impl Sync for NanBox<'_> {}

const QUIET: usize = 0x7FFC << 48;
const CONSTANT: usize = 0x7FFD << 48;
const OBJECT: usize = 0xFFFC << 48;
const ADDRESS: usize = (1 << 48) - 1;
const NAN: usize = 0x7FF8 << 48;

impl NanBox<'static> {
    /// A constant, as a value of any space.
    #[inline(always)]
    pub const fn in_space<'gc>(self) -> NanBox<'gc> {
        // No object: there is no access whose brand is `'static`, so nobody ever had a `Gc` to make this from.
        NanBox { bits: self.bits, brand: PhantomData }
    }
}

impl<'gc> NanBox<'gc> {
    /// The absence of a value.
    pub const NIL: NanBox<'gc> = NanBox::of(CONSTANT);
    /// False.
    pub const FALSE: NanBox<'gc> = NanBox::of(CONSTANT | 2);
    /// True.
    pub const TRUE: NanBox<'gc> = NanBox::of(CONSTANT | 3);
    /// A constant that no program value needs to be: "not yet defined", "no entry".
    pub const UNDEFINED: NanBox<'gc> = NanBox::of(CONSTANT | 1);

    #[inline(always)]
    const fn of(bits: usize) -> NanBox<'gc> {
        NanBox { bits: core::ptr::without_provenance(bits), brand: PhantomData }
    }

    #[inline(always)]
    fn bits(self) -> usize {
        self.bits.addr()
    }

    /// A double. Every NaN becomes the same one.
    #[inline(always)]
    pub fn from_f64(number: f64) -> NanBox<'gc> {
        NanBox::of(if number.is_nan() { NAN } else { number.to_bits() as usize })
    }

    /// A boolean.
    #[inline(always)]
    pub fn from_bool(truth: bool) -> NanBox<'gc> {
        NanBox::of(CONSTANT | 2 | truth as usize)
    }

    /// An immediate: 32 bits of the embedder's own.
    #[inline(always)]
    pub fn from_u32(immediate: u32) -> NanBox<'gc> {
        NanBox::of(QUIET | immediate as usize)
    }

    /// An object.
    #[inline(always)]
    pub fn from_gc<T: IObject<'gc>>(object: Gc<'gc, T>) -> NanBox<'gc> {
        NanBox::from_any(GcAny::new(object))
    }

    /// An object of any type.
    #[inline(always)]
    pub fn from_any(object: GcAny<'gc>) -> NanBox<'gc> {
        // Chunks lie below 2^47 (`os.rs`), so no bit of the tag is touched.
        NanBox { bits: object.address().map_addr(|a| a | OBJECT), brand: PhantomData }
    }

    /// Whether the value is a double.
    #[inline(always)]
    pub fn is_f64(self) -> bool {
        self.bits() & QUIET != QUIET
    }

    /// The double, if it is one.
    #[inline(always)]
    pub fn as_f64(self) -> Option<f64> {
        self.is_f64().then(|| f64::from_bits(self.bits() as u64))
    }

    /// The immediate, if it is one.
    #[inline(always)]
    pub fn as_u32(self) -> Option<u32> {
        (self.bits() >> 48 == QUIET >> 48).then_some(self.bits() as u32)
    }

    /// The boolean, if it is one.
    #[inline(always)]
    pub fn as_bool(self) -> Option<bool> {
        (self.bits() | 1 == Self::TRUE.bits()).then_some(self.bits() & 1 == 1)
    }

    /// Whether the value is [`NIL`](NanBox::NIL).
    #[inline(always)]
    pub fn is_nil(self) -> bool {
        self.bits() == Self::NIL.bits()
    }

    /// Whether the value is [`UNDEFINED`](NanBox::UNDEFINED).
    #[inline(always)]
    pub fn is_undefined(self) -> bool {
        self.bits() == Self::UNDEFINED.bits()
    }

    /// Whether the value is an object.
    #[inline(always)]
    pub fn is_any(self) -> bool {
        self.bits() & OBJECT == OBJECT
    }

    /// The object, if it is one.
    #[inline(always)]
    pub fn as_any(self) -> Option<GcAny<'gc>> {
        // SAFETY: only `from_any` sets the object tag: a number is no NaN but the canonical one,
        // constants and immediates have the top bit clear. The address is that of an object with
        // this brand.
        self.is_any().then(|| unsafe { GcAny::from_address(self.bits.map_addr(|a| a & ADDRESS)) })
    }

    /// Whether the value is an object of type `T`.
    #[inline(always)]
    pub fn is<T: IObject<'gc>>(self) -> bool {
        self.as_any().is_some_and(|any| any.is::<T>())
    }

    /// The object as a `T`, if the value is one.
    #[inline(always)]
    pub fn downcast<T: IObject<'gc>>(self) -> Option<Gc<'gc, T>> {
        self.as_any()?.downcast()
    }
}

impl PartialEq for NanBox<'_> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}
impl Eq for NanBox<'_> {}
impl Hash for NanBox<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

impl Default for NanBox<'_> {
    /// Nil.
    fn default() -> Self {
        NanBox::NIL
    }
}

impl From<f64> for NanBox<'_> {
    fn from(number: f64) -> Self {
        NanBox::from_f64(number)
    }
}
impl From<bool> for NanBox<'_> {
    fn from(truth: bool) -> Self {
        NanBox::from_bool(truth)
    }
}
impl<'gc> From<GcAny<'gc>> for NanBox<'gc> {
    fn from(object: GcAny<'gc>) -> Self {
        NanBox::from_any(object)
    }
}
impl<'gc, T: IObject<'gc>> From<Gc<'gc, T>> for NanBox<'gc> {
    fn from(object: Gc<'gc, T>) -> Self {
        NanBox::from_gc(object)
    }
}

impl fmt::Debug for NanBox<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.as_f64() {
            write!(f, "{number:?}")
        } else if let Some(truth) = self.as_bool() {
            write!(f, "{truth}")
        } else if let Some(immediate) = self.as_u32() {
            write!(f, "#{immediate}")
        } else if let Some(object) = self.as_any() {
            write!(f, "{object:?}")
        } else if self.is_nil() {
            f.write_str("nil")
        } else {
            f.write_str("undefined")
        }
    }
}

#[doc(hidden)]
pub struct NanBoxFamily(());
impl Rootable for NanBoxFamily {
    type At<'gc> = NanBox<'gc>;
}
// SAFETY: the one handle that may be inside is visited.
unsafe impl<'gc> IObject<'gc> for NanBox<'gc> {
    type R = NanBoxFamily;
    const MAY_CHANGE: bool = false;
    #[inline(always)]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        if let Some(object) = self.as_any() {
            visitor.edge_any(object.address());
        }
    }
}

const _: () = assert!(size_of::<NanBox<'_>>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_double_is_taken_for_an_object() {
        for tag in [0x7FF8u64, 0x7FFC, 0x7FFD, 0x7FFF, 0xFFF8, 0xFFFC, 0xFFFD, 0xFFFF] {
            for low in [0, 1, 0x10, 0x7FFF_0000_1000] {
                let forged = NanBox::from_f64(f64::from_bits(tag << 48 | low));
                assert!(!forged.is_any() && forged.is_f64(), "{tag:#x} {low:#x}");
                assert!(forged.as_f64().unwrap().is_nan());
            }
        }
    }

    #[test]
    fn each_kind_is_only_itself() {
        let infinity = NanBox::from_f64(f64::NEG_INFINITY);
        assert_eq!(infinity.as_f64(), Some(f64::NEG_INFINITY));
        assert!(!infinity.is_any());
        for constant in [NanBox::NIL, NanBox::FALSE, NanBox::TRUE, NanBox::UNDEFINED] {
            assert!(!constant.is_f64() && !constant.is_any() && constant.as_u32().is_none());
        }
        assert_eq!(NanBox::NIL.as_bool(), None);
        assert_eq!(NanBox::UNDEFINED.as_bool(), None);
        assert_eq!(NanBox::from_bool(false), NanBox::FALSE);
        assert_eq!(NanBox::TRUE.as_bool(), Some(true));
        let immediate = NanBox::from_u32(u32::MAX);
        assert_eq!(immediate.as_u32(), Some(u32::MAX));
        assert!(!immediate.is_f64() && !immediate.is_any() && immediate.as_bool().is_none());
    }
}
