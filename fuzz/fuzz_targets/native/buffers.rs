//! Buffers and maps of files, with views that outlive each other, and collections in between.

use std::io::{Read, Seek, Write};

use cspace::native::{BufferError, ByteOrder, DirectBuffer, MapMode, MapRange, MappedBuffer};
use cspace::{CSpace, GcMode, OwnedRoot, Rootable};

use crate::{part, Choices};

const VIEWS_MAX: usize = 64;

/// Which buffer a view is of, where it begins, and whether it may write.
type View<'gc> = (DirectBuffer<'gc>, cspace::Static<(usize, usize, bool)>);

pub fn run(mut choices: Choices<'_>) {
    let space = CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap();
    let mut views: OwnedRoot<Rootable![Vec<View<'_>>]> =
        space.exclusive(|cx| cx.own_root(Vec::<View<'_>>::new()));
    // `None` for those that were freed.
    let mut model: Vec<Option<Vec<u8>>> = Vec::new();
    while !choices.is_over() {
        let action = choices.below(16);
        space.exclusive(|cx| {
            let len = views.get(cx).len();
            let at = choices.below(len.max(1));
            let chosen = views.get(cx).get(at).copied();
            match (action, chosen) {
                (0..=2, _) if len < VIEWS_MAX => {
                    let size = choices.size();
                    let made = if action == 0 {
                        DirectBuffer::allocate_page_aligned(cx, size)
                    } else {
                        DirectBuffer::allocate(cx, size)
                    };
                    let view = (made.unwrap(), cspace::Static((model.len(), 0, true)));
                    views.get_mut(cx).push(view);
                    model.push(Some(vec![0; size]));
                }
                (3 | 4, Some((view, known))) if len < VIEWS_MAX => {
                    let (buffer, start, writes) = known.0;
                    let range = choices.range(view.len());
                    match view.slice(range.clone()) {
                        Ok(part) => {
                            let known = cspace::Static((buffer, start + range.start, writes));
                            views.get_mut(cx).push((part, known));
                        }
                        Err(_) => assert!(range.start > range.end || range.end > view.len()),
                    }
                }
                (5, Some((view, known))) if len < VIEWS_MAX => {
                    let known = cspace::Static((known.0 .0, known.0 .1, false));
                    views.get_mut(cx).push((view.read_only(), known));
                }
                (6, Some(_)) => _ = views.get_mut(cx).swap_remove(at),
                (7, Some((view, known))) if choices.below(4) == 0 => {
                    let freed = view.free(cx);
                    assert_eq!(freed.is_ok(), model[known.0 .0].is_some() && known.0 .2);
                    if freed.is_ok() {
                        model[known.0 .0] = None;
                    }
                }
                (_, Some((view, known))) => {
                    let (buffer, start, writes) = known.0;
                    let (range, fill) = (choices.range(view.len()), choices.byte());
                    // Fills a part, and copies it to where another view, of these bytes or of others, has room.
                    let is_there = model[buffer].is_some();
                    let sliced = view.slice(range.clone());
                    let filled = sliced.and_then(|part| Ok(part.bytes_mut(cx)?.fill(fill)));
                    let fits = range.start <= range.end && range.end <= view.len();
                    assert_eq!(filled.is_ok(), fits && writes && is_there, "{filled:?}");
                    if let (Ok(()), Some(model)) = (filled, &mut model[buffer]) {
                        model[start + range.start..start + range.end].fill(fill);
                    }
                    let (to, known) = views.get(cx)[choices.below(len)];
                    let offset = choices.size();
                    let copied = to.copy_from(cx, offset, &view);
                    let fits = offset.checked_add(view.len()).is_some_and(|end| end <= to.len());
                    let (into, to_start, to_writes) = known.0;
                    let may = fits && to_writes && is_there && model[into].is_some();
                    assert_eq!(copied.is_ok(), may, "{copied:?}");
                    if copied.is_ok() {
                        let source =
                            part(model[buffer].as_ref().unwrap(), &(start..start + view.len()))
                                .unwrap();
                        let begin = to_start + offset;
                        let model = model[into].as_mut().unwrap();
                        model[begin..begin + source.len()].copy_from_slice(&source);
                    }
                    let number = view.get::<u16, _>(&*cx, range.start, ByteOrder::Big);
                    let fits = range.start.checked_add(2).is_some_and(|end| end <= view.len());
                    assert_eq!(number.is_ok(), fits && is_there);
                }
                _ => {}
            }
        });
        if action >= 14 {
            space.collect().unwrap();
        }
        space.shared(|cx| {
            for (view, known) in views.get(cx) {
                let (buffer, start, _) = known.0;
                match &model[buffer] {
                    Some(model) => {
                        let expected = part(model, &(start..start + view.len())).unwrap();
                        assert!(view.bytes(cx).is_ok_and(|bytes| bytes == expected));
                    }
                    None => assert_eq!(view.bytes(cx).map(<[u8]>::len), Err(BufferError::Freed)),
                }
            }
        });
        if model.len() > 4 * VIEWS_MAX {
            break;
        }
    }
    map(&space, &model, &mut choices);
    drop(views);
    space.collect().unwrap();
    assert_eq!(space.ledger().bytes(), 0, "something is charged that nobody has");
}

/// What the first buffer holds, by way of a file and two maps of it.
fn map(space: &CSpace, model: &[Option<Vec<u8>>], choices: &mut Choices<'_>) {
    let Some(Some(bytes)) = model.first() else { return };
    if bytes.is_empty() {
        return;
    }
    let mut bytes = bytes.clone();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    space.exclusive(|cx| {
        let all = MapRange::default();
        let to_write = MappedBuffer::map(cx, &file, MapMode::ReadWrite, all).unwrap();
        let middle = bytes.len() / 2;
        let half = MapRange { offset: middle as u64, len: Some(bytes.len() - middle) };
        let to_read = MappedBuffer::map(cx, &file, MapMode::ReadOnly, half).unwrap();
        let mut shown = vec![0; bytes.len()];
        to_write.read_at(cx, 0, &mut shown).unwrap();
        assert!(shown == bytes, "the map has other bytes than the file");
        // The last byte, words at odd places, and whatever else there is to choose, to the end of the map and behind it.
        for at in 0..12 {
            let (len, fill) = (1 + choices.below(40), choices.byte() | 1);
            let (offset, len) = match at {
                0 => (bytes.len() - 1, 1),
                1 => (bytes.len() / 3, bytes.len() / 5),
                2 => (bytes.len().saturating_sub(len), len),
                _ => (choices.size(), len),
            };
            let written: Vec<u8> = (0..len).map(|i| fill ^ i as u8).collect();
            let place = bytes.get_mut(offset..offset.saturating_add(len));
            assert_eq!(to_write.write_at(cx, offset, &written).is_ok(), place.is_some());
            if let Some(place) = place {
                place.copy_from_slice(&written);
            }
            to_write.read_at(cx, 0, &mut shown).unwrap();
            assert!(shown == bytes, "{len} bytes at {offset} went elsewhere");
            to_read.read_at(cx, 0, &mut shown[middle..]).unwrap();
            assert!(shown == bytes, "two maps of one file");
        }
        assert!(to_read.write_at(cx, 0, &[0]).is_err());
        assert!(to_read.read_at(cx, to_read.len(), &mut [0]).is_err());
        to_write.free(cx).unwrap();
    });
    let mut written = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut written).unwrap();
    assert!(written == bytes, "the file has other bytes than its maps had");
}
