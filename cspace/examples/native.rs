//! Memory outside of the heap that lives and dies with objects, all in one account.
//!
//! The pixels of an image lie in a `DirectBuffer`, which the collector frees with the image. A cleaner tells a channel
//! which image is gone. Scratch memory lies in an arena that its owner closes. All of it is charged to the space's
//! ledger before it is allocated, and so kept to the space's limit.

use std::error::Error;
use std::sync::mpsc::{channel, Sender};

use cspace::native::{ConfinedArena, DirectBuffer, Reservation};
use cspace::{CSpace, Category, GcRoot, IObject, Rootable};

#[derive(IObject)]
struct Image<'gc> {
    pixels: DirectBuffer<'gc>, // at an address that stays, so a library may be given it
}

type ImageRoot = GcRoot<Rootable![Image<'_>]>;

const IMAGE_BYTES: usize = 4 << 20;

fn load(space: &CSpace, number: u32, gone: Sender<u32>) -> Result<ImageRoot, Box<dyn Error>> {
    // Outside of the access, as it may take a collection to make room.
    let room = Reservation::new(&space.ledger(), IMAGE_BYTES)?;
    let scratch = ConfinedArena::new(&space.ledger())?;
    let mut row = scratch.allocate(1024, 8)?;
    row.fill(number as u8);

    let image = space.exclusive(|cx| {
        let pixels = room.allocate(cx)?;
        for line in pixels.bytes_mut(cx)?.chunks_mut(row.len()) {
            line.copy_from_slice(&row);
        }
        let image = cx.alloc(Image { pixels });
        // The action cannot see the image, which is dead by then. If nobody listens any more, that is no error.
        cx.register_cleaner(image, move || gone.send(number).unwrap_or(()));
        Ok::<_, Box<dyn Error>>(cx.root(image))
    })?;
    scratch.close()?; // `row` cannot be used any more
    Ok(image)
}

fn main() -> Result<(), Box<dyn Error>> {
    let space = CSpace::builder().name("images").memory_limit(64 << 20).build()?;
    let (gone, is_gone) = channel();
    let tell = |when: &str| {
        let bytes = |category| space.ledger().account(category).bytes;
        let (buffers, arenas) = (bytes(Category::Buffers) >> 20, bytes(Category::Arenas));
        let gone = is_gone.try_iter().count();
        println!("{when}: {buffers} MiB of buffers, {arenas} bytes of arenas; {gone} gone");
    };
    let kept = load(&space, 1, gone.clone())?;
    tell("an image that is kept");

    // 400 MiB go through the 64 that there may be: a reservation that finds no room collects.
    for number in 2..=101 {
        drop(load(&space, number, gone.clone())?);
    }
    tell("a hundred that were dropped at once");

    space.synchronous_gc()?;
    tell("the rest of these");
    let sum = space.shared(|cx| {
        let image = kept.get(cx);
        image.pixels.bytes(cx).map(|bytes| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>())
    })?;
    println!("the pixels of the one that is kept add up to {sum}");

    drop(kept);
    space.synchronous_gc()?;
    tell("the last one");
    Ok(())
}
