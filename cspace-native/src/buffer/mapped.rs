//! Mapped files.
//!
//! A file may be changed by others while it is mapped, other processes among them, so its bytes are no Rust slice: the
//! safe methods copy them with atomic loads and stores, all of one size (NW1).
//!
//! - **NB3 (mapped).** The pages of a block's range are mapped as a whole as long as the block exists, writable if its mode
//!   is; whoever reads or writes it has the block, by an access or by an `Arc`.

use core::fmt;
use std::fs::File;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cspace_core::{
    Access, Alloc, Category, CellAccess, CellAccessMut, Charge, CollectError, Exclusive, Gc,
    GcCell, HeapFull, IObject, MemoryFull, Space, Static,
};
use memmap2::{Advice, Mmap, MmapMut, MmapOptions};
use parking_lot::Mutex;

use super::direct::{page_bytes, BufferError};
use super::words;
use crate::scalar::{ByteOrder, Scalar};
use crate::source;

/// How a file is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MapMode {
    /// To read.
    ReadOnly,
    /// To read and to write; writes go to the file, which becomes as long as is needed.
    ReadWrite,
    /// To read and to write; writes stay with the mapping.
    Private,
}

/// Which part of a file is mapped. The default is all of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MapRange {
    /// Where it begins, in bytes; need not be aligned to anything.
    pub offset: u64,
    /// How many bytes; none: to the end of the file.
    pub len: Option<usize>,
}

/// A file could not be mapped. Nothing is charged or mapped then, and the file is as long as it was, unless only the heap
/// had no room for the object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// It is a directory, a socket or a device.
    #[error("only regular files can be mapped")]
    NotAFile,
    /// The range ends after the file.
    #[error("{len} bytes from {offset} on do not lie within a file of {of} bytes; only a map to read and write makes it longer")]
    BeyondEnd {
        /// Where the range begins.
        offset: u64,
        /// Its bytes.
        len: u64,
        /// Bytes of the file.
        of: u64,
    },
    /// The range is larger than any memory.
    #[error("{0} bytes are more than can be mapped")]
    TooLarge(u64),
    /// A limit of the space's ledger would be passed.
    #[error(transparent)]
    Memory(#[from] MemoryFull),
    /// There was no room in the heap for the object that stands for the map.
    #[error(transparent)]
    Heap(#[from] HeapFull),
    /// The system does not map it: no permission, no address space, too many maps.
    #[error("the file cannot be mapped: {0}")]
    Io(#[from] io::Error),
}

enum Pages {
    /// Of no bytes: nothing is mapped.
    Empty,
    Read(Mmap),
    Write(MmapMut),
}

/// What is mapped, and what it is charged. Its drop unmaps it.
struct Block {
    pages: Pages,
    mode: MapMode,
    _charge: Charge,
}

impl Block {
    fn len(&self) -> usize {
        match &self.pages {
            Pages::Empty => 0,
            Pages::Read(map) => map.len(),
            Pages::Write(map) => map.len(),
        }
    }

    fn base(&self) -> *const u8 {
        match &self.pages {
            Pages::Empty => core::ptr::dangling(),
            Pages::Read(map) => map.as_ptr(),
            Pages::Write(map) => map.as_ptr(),
        }
    }

    fn check(&self, offset: usize, len: usize) -> Result<(), BufferError> {
        let of = self.len();
        if offset > of || len > of - offset {
            return Err(BufferError::OutOfRange { offset, len, of });
        }
        Ok(())
    }

    fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), BufferError> {
        self.check(offset, bytes.len())?;
        // SAFETY: the range lies within what is mapped, and so do its words (NB3). This process writes by `write_at`
        // alone, and callers of `bytes` promise that nobody does.
        unsafe { words::load(self.base().add(offset), bytes) };
        Ok(())
    }

    fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), BufferError> {
        if self.mode == MapMode::ReadOnly {
            return Err(BufferError::ReadOnly);
        }
        self.check(offset, bytes.len())?;
        match &self.pages {
            // Nothing is written: the range has no bytes.
            Pages::Empty | Pages::Read(_) => {}
            // SAFETY: as above. That it is writable is known by its type; it is not seen as a Rust slice by anybody but
            // callers of `bytes`, who promise that nobody writes.
            Pages::Write(map) => unsafe {
                words::store(map.as_ptr().add(offset).cast_mut(), bytes);
            },
        }
        Ok(())
    }
}

/// A file that is mapped, on the way to an object ([`MappedBuffer`]).
///
/// Made outside of accesses, where room can be made by collections: that is what it is for.
pub struct Mapping {
    block: Block,
}

impl Mapping {
    /// Maps a part of a file. If the ledger has no room, room is made as for a [`Reservation`](crate::Reservation); if
    /// the system has no memory or no room for one map more, garbage is collected, which unmaps what nobody has any more,
    /// and it is tried once more after 100 ms (as Java does).
    ///
    /// The file may be closed afterwards.
    ///
    /// # Errors
    ///
    /// [`MapError`] says what. At once if no memory could mend it (the file was not opened to be written, say), or if
    /// this thread holds a space, where nothing can be collected.
    pub fn new(
        space: &Space,
        file: &File,
        mode: MapMode,
        range: MapRange,
    ) -> Result<Mapping, MapError> {
        Mapping::with_wait(space, file, mode, range, std::thread::sleep)
    }

    /// As [`new`](Mapping::new), with `wait` in place of sleeping.
    ///
    /// # Errors
    ///
    /// As [`new`](Mapping::new).
    pub fn with_wait(
        space: &Space,
        file: &File,
        mode: MapMode,
        range: MapRange,
        mut wait: impl FnMut(Duration),
    ) -> Result<Mapping, MapError> {
        let part = Part::of(file, mode, range)?;
        let ledger = space.ledger();
        let charge = ledger.begin_charge(Category::Maps, part.bytes(), part.len, &mut wait)?;
        let pages = match part.map(file, mode) {
            Err(error) if is_of_memory(&error) => {
                // A thread that holds a space, or runs a sweep, waits for nobody. Another error is not the file's: the
                // second try tells.
                let nobody_waits = |error| {
                    use CollectError::{Busy, InSweep, InsideAccess};
                    matches!(error, InsideAccess { .. } | InSweep { .. } | Busy { .. })
                };
                if space.collect().is_err_and(nobody_waits) {
                    return Err(error.into());
                }
                wait(Duration::from_millis(100));
                part.map(file, mode)?
            }
            mapped => mapped?,
        };
        Ok(Mapping { block: Block { pages, mode, _charge: charge.complete() } })
    }

    /// How many bytes are mapped.
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the object.
    ///
    /// # Errors
    ///
    /// If the heap has no room for it.
    pub fn into_buffer<'gc>(self, cx: &Alloc<'gc>) -> Result<MappedBuffer<'gc>, MapError> {
        let (len, mode) = (self.block.len(), self.block.mode);
        let block = GcCell::new(Some(Static(Arc::new(self.block))));
        let map = cx.try_alloc(Map { block }).map_err(|error| error.cause)?;
        Ok(MappedBuffer { map, len, mode: Static(mode) })
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Whether more memory, or fewer maps, could mend an error of the system.
fn is_of_memory(error: &io::Error) -> bool {
    // Also said if too much of it is locked.
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock)
}

/// Held by whoever makes a file longer, so that nobody makes it shorter who was to make it longer, too.
static LENGTHEN: Mutex<()> = Mutex::new(());

/// A part of a file.
struct Part {
    offset: u64,
    len: usize,
    /// How long the file must become for it, if it is shorter.
    longer: Option<u64>,
}

impl Part {
    fn of(file: &File, mode: MapMode, range: MapRange) -> Result<Part, MapError> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(MapError::NotAFile);
        }
        let (of, offset) = (metadata.len(), range.offset);
        let len = match range.len {
            Some(len) => len as u64,
            None if offset <= of => of - offset,
            None => return Err(MapError::BeyondEnd { offset, len: 0, of }),
        };
        let end = offset.checked_add(len).filter(|_| len < source::ADDRESSABLE as u64);
        let end = end.filter(|end| *end <= i64::MAX as u64).ok_or(MapError::TooLarge(len))?;
        let is_longer = end > of;
        if is_longer && mode != MapMode::ReadWrite {
            return Err(MapError::BeyondEnd { offset, len, of });
        }
        Ok(Part { offset, len: len as usize, longer: is_longer.then_some(end) })
    }

    /// The bytes of all pages that it lies in.
    fn bytes(&self) -> usize {
        let page = page_bytes();
        let before = (self.offset % page as u64) as usize;
        match self.len {
            0 => 0,
            len => (before + len).checked_next_multiple_of(page).unwrap_or(usize::MAX),
        }
    }

    /// Maps it. If the file is to become longer, then when it is mapped: so it is not if it cannot be mapped.
    fn map(&self, file: &File, mode: MapMode) -> io::Result<Pages> {
        let pages = self.map_as_it_is(file, mode)?;
        if let Some(end) = self.longer {
            let _one_at_a_time = LENGTHEN.lock();
            if file.metadata()?.len() < end {
                file.set_len(end)?;
            }
        }
        Ok(pages)
    }

    fn map_as_it_is(&self, file: &File, mode: MapMode) -> io::Result<Pages> {
        if self.len == 0 {
            return Ok(Pages::Empty);
        }
        source::fail_if_due(self.len)
            .map_err(|full| io::Error::new(io::ErrorKind::OutOfMemory, full))?;
        let mut options = MmapOptions::new();
        options.offset(self.offset).len(self.len);
        // SAFETY: that the file may be changed by others is no matter for the atomic accesses of this module; those
        // who make a slice of it promise that nobody does.
        unsafe {
            match mode {
                MapMode::ReadOnly => options.map(file).map(Pages::Read),
                MapMode::ReadWrite => options.map_mut(file).map(Pages::Write),
                MapMode::Private => options.map_copy(file).map(Pages::Write),
            }
        }
    }
}

/// The object that stands for a map. Its drop unmaps it.
#[derive(IObject)]
#[cspace(crate = cspace_core)]
struct Map<'gc> {
    block: GcCell<'gc, Option<Static<Arc<Block>>>>,
}

/// A file, or a part of one, mapped into memory, unmapped by the sweep of a collection that finds no object that refers to
/// it, or at once by [`free`](MappedBuffer::free) (Java's `MappedByteBuffer`).
///
/// For files that are large, or of which little is looked at. A part of objects as a [`Gc`] is, and `Copy`. The pages
/// that it lies in are charged to [`Category::Maps`] of the space's ledger.
///
/// What others write to the file meanwhile may be seen or not. **If a file is made shorter while it is mapped, the
/// system ends the process (`SIGBUS`) when what was cut off is looked at**: map files that nobody truncates, or read
/// others into a [`DirectBuffer`](crate::DirectBuffer).
///
/// ```
/// use cspace_core::Space;
/// use cspace_native::{ByteOrder, MapMode, MapRange, MappedBuffer};
/// use std::io::Write;
///
/// let space = Space::builder().build()?;
/// let mut file = tempfile::tempfile()?;
/// file.write_all(b"a header and so on")?;
/// space.exclusive(|cx| {
///     let map = MappedBuffer::map(cx, &file, MapMode::ReadOnly, MapRange::default())?;
///     drop(file);
///     let mut bytes = [0; 6];
///     map.read_at(cx, 2, &mut bytes)?;
///     assert_eq!(&bytes, b"header");
///     assert_eq!(map.get::<u8, _>(cx, 0, ByteOrder::Native)?, b'a');
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(IObject)]
#[cspace(crate = cspace_core)]
pub struct MappedBuffer<'gc> {
    map: Gc<'gc, Map<'gc>>,
    len: usize,
    mode: Static<MapMode>,
}

impl Clone for MappedBuffer<'_> {
    fn clone(&self) -> Self {
        *self
    }
}
impl Copy for MappedBuffer<'_> {}

impl<'gc> MappedBuffer<'gc> {
    /// Maps a part of a file. The file may be closed afterwards.
    ///
    /// # Errors
    ///
    /// [`MapError`] says what. If the ledger has no room, a collection is asked for as by
    /// [`Ledger::try_charge`](cspace_core::Ledger::try_charge), and comes when the access has ended at the earliest; a
    /// [`Mapping`] outside of the access makes room first.
    pub fn map(
        cx: &Alloc<'gc>,
        file: &File,
        mode: MapMode,
        range: MapRange,
    ) -> Result<MappedBuffer<'gc>, MapError> {
        let part = Part::of(file, mode, range)?;
        let charge = cx.ledger().try_begin_charge(Category::Maps, part.bytes(), part.len)?;
        let pages = part.map(file, mode)?;
        Mapping { block: Block { pages, mode, _charge: charge.complete() } }.into_buffer(cx)
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How it is mapped.
    pub fn mode(&self) -> MapMode {
        self.mode.0
    }

    fn block<'a>(&self, cx: &'a impl CellAccess<'gc>) -> Result<&'a Arc<Block>, BufferError>
    where
        'gc: 'a,
    {
        let block = self.map.as_ref().block.borrow(cx).as_ref();
        block.map(|block| &block.0).ok_or(BufferError::Freed)
    }

    /// Copies the bytes from an offset on.
    ///
    /// # Errors
    ///
    /// If they do not lie within, or the map was freed.
    pub fn read_at(
        &self,
        cx: &impl CellAccess<'gc>,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), BufferError> {
        self.block(cx)?.read_at(offset, bytes)
    }

    /// Copies bytes to an offset.
    ///
    /// # Errors
    ///
    /// If they do not fit, the map is read-only, or it was freed.
    pub fn write_at(
        &self,
        cx: &mut impl CellAccessMut<'gc>,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), BufferError> {
        self.block(&*cx)?.write_at(offset, bytes)
    }

    /// The number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// As [`read_at`](MappedBuffer::read_at).
    pub fn get<T: Scalar, C: CellAccess<'gc>>(
        &self,
        cx: &C,
        offset: usize,
        order: ByteOrder,
    ) -> Result<T, BufferError> {
        let mut bytes = [0; 16];
        self.read_at(cx, offset, &mut bytes[..T::BYTES])?;
        Ok(T::read(&bytes, order))
    }

    /// Writes a number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// As [`write_at`](MappedBuffer::write_at).
    pub fn set<T: Scalar>(
        &self,
        cx: &mut impl CellAccessMut<'gc>,
        offset: usize,
        number: T,
        order: ByteOrder,
    ) -> Result<(), BufferError> {
        let mut bytes = [0; 16];
        number.write(&mut bytes, order);
        self.write_at(cx, offset, &bytes[..T::BYTES])
    }

    /// The bytes as a slice, without copying.
    ///
    /// # Safety
    ///
    /// Nobody writes the part of the file, truncates the file before its end, or writes by a map of the same part, in
    /// this process or another, while the slice is used.
    ///
    /// # Errors
    ///
    /// If the map was freed.
    pub unsafe fn bytes<'a>(&self, cx: &'a impl CellAccess<'gc>) -> Result<&'a [u8], BufferError>
    where
        'gc: 'a,
    {
        let block = self.block(cx)?;
        // SAFETY: mapped as long as the block (NB3), which is not freed in the access while a token is borrowed; the
        // rest is the caller's promise.
        Ok(unsafe { core::slice::from_raw_parts(block.base(), block.len()) })
    }

    /// Writes what was changed to the file, and returns when it is there (Java's `force`). Does nothing for maps that
    /// do not write to their file.
    ///
    /// # Errors
    ///
    /// If the system cannot, or the map was freed ([`io::ErrorKind::NotFound`]).
    pub fn flush(&self, cx: &impl CellAccess<'gc>) -> io::Result<()> {
        let block = self.block(cx).map_err(freed)?;
        match &block.pages {
            Pages::Write(map) if block.mode == MapMode::ReadWrite => map.flush(),
            _ => Ok(()),
        }
    }

    /// Tells the system how the bytes will be used (`madvise`): what it may read ahead or forget. Changes no bytes.
    ///
    /// # Errors
    ///
    /// If the system cannot, or the map was freed ([`io::ErrorKind::NotFound`]).
    pub fn advise(&self, cx: &impl CellAccess<'gc>, advice: MapAdvice) -> io::Result<()> {
        let block = self.block(cx).map_err(freed)?;
        let advice = match advice {
            MapAdvice::Normal => Advice::Normal,
            MapAdvice::Random => Advice::Random,
            MapAdvice::Sequential => Advice::Sequential,
            MapAdvice::WillNeed => Advice::WillNeed,
        };
        match &block.pages {
            Pages::Empty => Ok(()),
            Pages::Read(map) => map.advise(advice),
            Pages::Write(map) => map.advise(advice),
        }
    }

    /// Unmaps it now, for all copies; what outside of accesses is being read by a [`MapHandle`] stays until that is
    /// done.
    ///
    /// # Errors
    ///
    /// If it was unmapped before.
    pub fn free(&self, cx: &mut Exclusive<'gc>) -> Result<(), BufferError> {
        let block = self.map.as_ref().block.replace(cx, None);
        block.map(drop).ok_or(BufferError::Freed)
    }

    /// A handle for threads outside of accesses. It does not keep the map.
    ///
    /// # Errors
    ///
    /// If the map was freed.
    pub fn handle(&self, cx: &impl CellAccess<'gc>) -> Result<MapHandle, BufferError> {
        Ok(MapHandle(Arc::downgrade(self.block(cx)?)))
    }
}

fn freed(error: BufferError) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, error)
}

impl fmt::Debug for MappedBuffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedBuffer")
            .field("len", &self.len)
            .field("mode", &self.mode.0)
            .finish_non_exhaustive()
    }
}

/// How mapped bytes will be used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MapAdvice {
    /// In no particular way.
    Normal,
    /// Here and there.
    Random,
    /// From the beginning to the end.
    Sequential,
    /// Soon (Java's `load`).
    WillNeed,
}

/// A way to a mapped file outside of accesses: `Send`, `Sync`, cheap to clone. It does not keep the map.
#[derive(Clone)]
pub struct MapHandle(Weak<Block>);

impl MapHandle {
    /// Copies the bytes from an offset on. The map stays until that is done, even if it is freed or collected
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// If they do not lie within, or the map is gone.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), BufferError> {
        self.0.upgrade().ok_or(BufferError::Freed)?.read_at(offset, bytes)
    }
}

impl fmt::Debug for MapHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapHandle").field("is_freed", &(self.0.strong_count() == 0)).finish()
    }
}
