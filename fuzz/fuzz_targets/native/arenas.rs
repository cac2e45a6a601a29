//! Arenas: confined, shared, and checked ones by handles.

use cspace::native::{
    ArenaError, ByteOrder, CheckedArena, ConfinedArena, SegmentHandle, SegmentMut, SharedArena,
    SharedSegment, SlicingAllocator,
};
use cspace::Ledger;

use crate::{part, Choices};

const PIECES_MAX: usize = 64;

pub fn confined(mut choices: Choices<'_>) {
    let ledger = Ledger::default();
    if choices.below(4) == 0 {
        ledger.set_limit(Some(100_000));
    }
    let arena = ConfinedArena::new(&ledger).unwrap();
    let mut pieces: Vec<(SegmentMut<'_>, Vec<u8>)> = Vec::new();
    while !choices.is_over() {
        let at = choices.below(pieces.len().max(1));
        match choices.below(8) {
            0..=2 if pieces.len() < PIECES_MAX => {
                let (len, align) = (choices.size(), choices.align());
                let Ok(segment) = arena.allocate(len, align) else { continue };
                assert_eq!(segment.as_ptr().addr() % align, 0);
                pieces.push((segment, vec![0; len]));
            }
            3 if pieces.len() < PIECES_MAX => {
                let bytes: Vec<u8> = (0..choices.below(64)).map(|i| i as u8 ^ 0x5A).collect();
                let Ok(segment) = arena.allocate_from(&bytes) else { continue };
                pieces.push((segment, bytes));
            }
            // Parts of a piece, by an allocator of its own.
            4 if pieces.len() < PIECES_MAX && !pieces.is_empty() => {
                let (segment, model) = pieces.swap_remove(at);
                let allocator = SlicingAllocator::new(segment);
                let mut left = model.len();
                for _ in 0..4 {
                    let (len, align) = (choices.below(64), choices.align());
                    let Ok(part) = allocator.allocate(len, align) else { continue };
                    assert!(len <= left, "more than there is");
                    left -= len;
                    assert_eq!(part.as_ptr().addr() % align, 0);
                    let bytes = part.to_vec();
                    pieces.push((part, bytes));
                }
            }
            5 if !pieces.is_empty() => {
                let (segment, model) = pieces.swap_remove(at);
                let middle = choices.size();
                match segment.split_at(middle) {
                    Ok((front, back)) => {
                        pieces.push((front, model[..middle].to_vec()));
                        pieces.push((back, model[middle..].to_vec()));
                    }
                    Err(_) => assert!(middle > model.len()),
                }
            }
            _ => {
                let Some((segment, model)) = pieces.get_mut(at) else { continue };
                let range = choices.range(model.len());
                let fill = choices.byte();
                let sliced = segment.slice_mut(range.clone()).map(|mut part| part.fill(fill));
                assert_eq!(sliced.is_ok(), model.get(range.clone()).is_some());
                if let Some(part) = model.get_mut(range.clone()) {
                    part.fill(fill);
                }
                let number = u32::from(fill).wrapping_mul(0x0101_0307);
                let set = segment.set(range.start, number, ByteOrder::Big);
                let place =
                    range.start.checked_add(4).and_then(|end| model.get_mut(range.start..end));
                assert_eq!(set.is_ok(), place.is_some());
                if let Some(place) = place {
                    place.copy_from_slice(&number.to_be_bytes());
                    assert_eq!(segment.get(range.start, ByteOrder::Big), Ok(number));
                }
            }
        }
        assert!(pieces.iter().all(|(segment, model)| **segment == **model));
    }
    drop(pieces);
    arena.close().unwrap();
    assert_eq!(ledger.bytes(), 0);
}

pub fn shared(mut choices: Choices<'_>) {
    let ledger = Ledger::default();
    let mut arena = SharedArena::new(&ledger).unwrap();
    let mut pieces: Vec<(SharedSegment, Vec<u8>)> = Vec::new();
    while !choices.is_over() {
        let at = choices.below(pieces.len().max(1));
        match choices.below(8) {
            0..=2 if pieces.len() < PIECES_MAX => {
                let (len, align) = (choices.size(), choices.align());
                let segment = arena.allocate(len, align).unwrap();
                pieces.push((segment, vec![0; len]));
            }
            3 if !pieces.is_empty() => {
                let (segment, model) = pieces.swap_remove(at);
                let middle = choices.size();
                match segment.split_at(middle) {
                    Ok((front, back)) => {
                        pieces.push((front, model[..middle].to_vec()));
                        pieces.push((back, model[middle..].to_vec()));
                    }
                    Err(_) => assert!(middle > model.len()),
                }
            }
            4 => {
                // While a segment is in use, the arena stays; afterwards all of it is gone at once.
                if let Some((segment, _)) = pieces.get(at) {
                    let used = segment.acquire().unwrap();
                    assert_eq!(arena.close().unwrap_err(), ArenaError::Acquired { count: 1 });
                    drop(used);
                }
                arena.close().unwrap().unwrap();
                assert!(arena.is_closed() && ledger.bytes() == 0);
                for (mut segment, _) in pieces.drain(..) {
                    assert_eq!(segment.acquire().map(drop), Err(ArenaError::Closed));
                    assert_eq!(segment.acquire_mut().map(drop), Err(ArenaError::Closed));
                    assert_eq!(segment.with(|_| ()), Err(ArenaError::Closed));
                }
                assert_eq!(arena.allocate(1, 1).map(drop), Err(ArenaError::Closed));
                arena = SharedArena::new(&ledger).unwrap();
            }
            _ => {
                let Some((segment, model)) = pieces.get_mut(at) else { continue };
                let (range, fill) = (choices.range(model.len()), choices.byte());
                let mut bytes = segment.acquire_mut().unwrap();
                if let Some(part) = model.get_mut(range.clone()) {
                    part.fill(fill);
                    bytes[range].fill(fill);
                }
            }
        }
        for (segment, model) in &pieces {
            assert_eq!(segment.with(|bytes| bytes == model), Ok(true));
        }
    }
    drop(arena);
    for (segment, model) in &pieces {
        // The last handle of the arena is gone and its segments are not: they keep it.
        assert_eq!(segment.with(|bytes| bytes == model), Ok(true));
    }
    drop(pieces);
    assert_eq!(ledger.bytes(), 0);
}

pub fn checked(mut choices: Choices<'_>) {
    let ledger = Ledger::default();
    let arena = CheckedArena::new(&ledger).unwrap();
    // The bytes, the handles on parts of them, and where these begin.
    let mut model: Vec<Vec<u8>> = Vec::new();
    let mut handles: Vec<(SegmentHandle, usize, usize, bool)> = Vec::new();
    while !choices.is_over() {
        let at = choices.below(handles.len().max(1));
        match choices.below(8) {
            0 | 1 if model.len() < PIECES_MAX => {
                let (len, align) = (choices.size(), choices.align());
                let handle = arena.allocate(len, align).unwrap();
                handles.push((handle, model.len(), 0, false));
                model.push(vec![0; len]);
            }
            2 | 3 if !handles.is_empty() && handles.len() < 4 * PIECES_MAX => {
                let (handle, piece, start, is_read_only) = handles[at].clone();
                let range = choices.range(handle.len());
                match handle.slice(range.clone()) {
                    Ok(part) => {
                        assert_eq!(part.len(), range.len());
                        handles.push((part, piece, start + range.start, is_read_only));
                    }
                    Err(_) => assert!(range.start > range.end || range.end > handle.len()),
                }
            }
            4 if !handles.is_empty() => {
                let (handle, piece, start, _) = &handles[at];
                let to_read = (handle.read_only(), *piece, *start, true);
                handles.push(to_read);
            }
            _ => {
                let Some((handle, piece, start, is_read_only)) = handles.get(at) else { continue };
                let (range, fill) = (choices.range(handle.len()), choices.byte());
                let number = u64::from(fill).wrapping_mul(0x0107_0305_0203_0101);
                let fits = range.start.checked_add(8).is_some_and(|end| end <= handle.len());
                let set = handle.set(range.start, number, ByteOrder::Little);
                assert_eq!(set.is_ok(), fits && !is_read_only);
                if set.is_ok() {
                    let begin = start + range.start;
                    model[*piece][begin..begin + 8].copy_from_slice(&number.to_le_bytes());
                }
            }
        }
        for (handle, piece, start, _) in &handles {
            let expected = part(&model[*piece], &(*start..*start + handle.len())).unwrap();
            assert_eq!(handle.with(|bytes| bytes == expected), Ok(true));
        }
    }
    arena.close().unwrap().unwrap();
    assert_eq!(ledger.bytes(), 0);
    for (handle, ..) in &handles {
        assert_eq!(handle.with(|_| ()), Err(ArenaError::Closed));
    }
}
