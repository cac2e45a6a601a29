//! Segments: ranges of bytes, with checked access.

use core::fmt;
use core::ops::{Bound, Deref, DerefMut, RangeBounds};
use core::ptr::NonNull;

use crate::scalar::{ByteOrder, Scalar};

/// A range does not lie within a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes from {offset} on do not lie within a segment of {of} bytes")]
pub struct OutOfRange {
    /// Where the range begins.
    pub offset: usize,
    /// Its bytes.
    pub len: usize,
    /// Bytes of the segment.
    pub of: usize,
}

/// The range within `of` bytes: where it begins, and its length.
pub(crate) fn range_within(
    range: impl RangeBounds<usize>,
    of: usize,
) -> Result<(usize, usize), OutOfRange> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => of,
    };
    if start > end || end > of {
        return Err(OutOfRange { offset: start, len: end.saturating_sub(start), of });
    }
    Ok((start, end - start))
}

/// The place so many bytes behind another one of a range whose memory may be freed meanwhile.
pub(super) fn place_behind(place: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    NonNull::new(place.as_ptr().wrapping_add(bytes)).expect("within a range, or just behind it")
}

fn check(offset: usize, len: usize, of: usize) -> Result<(), OutOfRange> {
    if offset > of || len > of - offset {
        return Err(OutOfRange { offset, len, of });
    }
    Ok(())
}

/// Reads a number at an offset, aligned or not.
pub(crate) fn get<T: Scalar>(
    bytes: &[u8],
    offset: usize,
    order: ByteOrder,
) -> Result<T, OutOfRange> {
    check(offset, T::BYTES, bytes.len())?;
    Ok(T::read(&bytes[offset..], order))
}

/// Writes a number at an offset, aligned or not.
pub(crate) fn set<T: Scalar>(
    bytes: &mut [u8],
    offset: usize,
    number: T,
    order: ByteOrder,
) -> Result<(), OutOfRange> {
    check(offset, T::BYTES, bytes.len())?;
    number.write(&mut bytes[offset..], order);
    Ok(())
}

/// Bytes of an arena, to read: a slice with checked access. `Copy`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    bytes: &'a [u8],
}

impl<'a> Segment<'a> {
    /// A segment of no bytes.
    pub const EMPTY: Segment<'static> = Segment { bytes: &[] };

    /// Any bytes as a segment.
    pub fn new(bytes: &'a [u8]) -> Segment<'a> {
        Segment { bytes }
    }

    /// The bytes.
    pub fn as_slice(self) -> &'a [u8] {
        self.bytes
    }

    /// Where they are.
    pub fn address(self) -> usize {
        self.bytes.as_ptr().addr()
    }

    /// A part.
    ///
    /// # Errors
    ///
    /// If it does not lie within.
    pub fn slice(self, range: impl RangeBounds<usize>) -> Result<Segment<'a>, OutOfRange> {
        let (start, len) = range_within(range, self.bytes.len())?;
        Ok(Segment { bytes: &self.bytes[start..start + len] })
    }

    /// Parts of `len` bytes each, one after the other; the last one may be shorter.
    ///
    /// # Panics
    ///
    /// If `len` is 0.
    pub fn slices(self, len: usize) -> impl Iterator<Item = Segment<'a>> {
        self.bytes.chunks(len).map(Segment::new)
    }

    /// The number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// If it does not lie within.
    pub fn get<T: Scalar>(self, offset: usize, order: ByteOrder) -> Result<T, OutOfRange> {
        get(self.bytes, offset, order)
    }
}

impl Deref for Segment<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("len", &self.bytes.len()).finish()
    }
}

/// Bytes of an arena that are this one's alone, to read and to write.
///
/// [`freeze`](SegmentMut::freeze) makes them a [`Segment`] that may be shared.
#[derive(PartialEq, Eq)]
pub struct SegmentMut<'a> {
    bytes: &'a mut [u8],
}

impl<'a> SegmentMut<'a> {
    /// Any bytes as a segment.
    pub fn new(bytes: &'a mut [u8]) -> SegmentMut<'a> {
        SegmentMut { bytes }
    }

    /// The bytes.
    pub fn into_slice(self) -> &'a mut [u8] {
        self.bytes
    }

    /// The same bytes, to read only, as often as is wanted.
    pub fn freeze(self) -> Segment<'a> {
        Segment { bytes: self.bytes }
    }

    /// A part, to read.
    ///
    /// # Errors
    ///
    /// If it does not lie within.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<Segment<'_>, OutOfRange> {
        Segment::new(self.bytes).slice(range)
    }

    /// A part, to read and to write.
    ///
    /// # Errors
    ///
    /// If it does not lie within.
    pub fn slice_mut(
        &mut self,
        range: impl RangeBounds<usize>,
    ) -> Result<SegmentMut<'_>, OutOfRange> {
        let (start, len) = range_within(range, self.bytes.len())?;
        Ok(SegmentMut { bytes: &mut self.bytes[start..start + len] })
    }

    /// Two parts: what lies before `middle`, and the rest.
    ///
    /// # Errors
    ///
    /// If `middle` does not lie within.
    pub fn split_at(self, middle: usize) -> Result<(SegmentMut<'a>, SegmentMut<'a>), OutOfRange> {
        check(middle, 0, self.bytes.len())?;
        let (before, after) = self.bytes.split_at_mut(middle);
        Ok((SegmentMut { bytes: before }, SegmentMut { bytes: after }))
    }

    /// The number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// If it does not lie within.
    pub fn get<T: Scalar>(&self, offset: usize, order: ByteOrder) -> Result<T, OutOfRange> {
        get(self.bytes, offset, order)
    }

    /// Writes a number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// If it does not lie within.
    pub fn set<T: Scalar>(
        &mut self,
        offset: usize,
        number: T,
        order: ByteOrder,
    ) -> Result<(), OutOfRange> {
        set(self.bytes, offset, number, order)
    }

    /// Copies bytes to an offset.
    ///
    /// # Errors
    ///
    /// If they do not fit.
    pub fn copy_from(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OutOfRange> {
        check(offset, bytes.len(), self.bytes.len())?;
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

impl Deref for SegmentMut<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl DerefMut for SegmentMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

impl fmt::Debug for SegmentMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentMut").field("len", &self.bytes.len()).finish()
    }
}
