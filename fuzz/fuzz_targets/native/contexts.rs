//! Contexts: spans, texts, slots, and the buffer at the end that grows, one request after the other.

use cspace::native::{ConfigBuilder, Context, ContextHandle};
use cspace::Ledger;

use crate::Choices;

pub fn run(mut choices: Choices<'_>) {
    let ledger = Ledger::default();
    let mut builder = ConfigBuilder::new(&ledger).unwrap().pooled_contexts(choices.below(3));
    let key = builder.reserve::<u64>().unwrap();
    let array = builder.reserve::<[u8; 24]>().unwrap();
    let shared = builder.localize("shared by all").unwrap();
    let config = builder.freeze();
    let fixed = ledger.bytes();
    let requests = 1 + choices.below(4);
    for request in 0..requests {
        let mut context = Context::new(&config).unwrap();
        let mut pieces: Vec<(ContextHandle<[u8]>, Vec<u8>)> = Vec::new();
        let mut texts: Vec<(ContextHandle<str>, String)> = Vec::new();
        let (mut number, mut bytes) = (None, None::<[u8; 24]>);
        for _ in 0..200 / requests {
            if choices.is_over() {
                break;
            }
            match choices.below(8) {
                0 | 1 => {
                    let len = choices.size();
                    pieces.push((context.alloc_span::<u8>(len).unwrap(), vec![0; len]));
                }
                2 => {
                    let text = "naïve ☃ ".repeat(choices.below(20));
                    texts.push((context.localize(&text).unwrap(), text));
                }
                3 => transient(&mut choices, &mut context, &mut pieces),
                4 => {
                    let fill = u64::from(choices.byte());
                    let slot = context.slot_or_zeroed(&key).unwrap();
                    assert_eq!(*slot, number.unwrap_or(0));
                    *slot = fill;
                    number = Some(fill);
                }
                5 => {
                    let fill = choices.byte();
                    let slot = context.slot_or_zeroed(&array).unwrap();
                    assert_eq!(*slot, bytes.unwrap_or([0; 24]));
                    slot[choices.below(24)] = fill;
                    bytes = Some(*slot);
                }
                _ => {
                    let at = choices.below(pieces.len().max(1));
                    let Some((handle, model)) = pieces.get_mut(at) else { continue };
                    let (range, fill) = (choices.range(model.len()), choices.byte());
                    if let Some(part) = model.get_mut(range.clone()) {
                        part.fill(fill);
                        context.get_mut(*handle).unwrap()[range].fill(fill);
                    }
                }
            }
            for (handle, model) in &pieces {
                assert!(context.get(*handle).unwrap() == model, "in request {request}");
            }
            for (handle, text) in &texts {
                assert!(context.get(*handle).unwrap() == text);
            }
            assert_eq!(context.slot(&key).unwrap().copied(), number);
            assert_eq!(config.get(shared).unwrap(), "shared by all");
        }
        context.close().unwrap();
        // What a request took beyond its block is given back when it ends.
        let pooled = config.pooled_contexts() * config.context_bytes();
        assert!(ledger.bytes() <= fixed + pooled, "{} bytes after {request}", ledger.bytes());
    }
    config.close().unwrap().unwrap();
    assert_eq!(ledger.bytes(), 0);
}

fn transient(
    choices: &mut Choices<'_>,
    context: &mut Context,
    pieces: &mut Vec<(ContextHandle<[u8]>, Vec<u8>)>,
) {
    let mut len = choices.size();
    let mut model = vec![0; len];
    let mut buffer = context.transient_buffer(len).unwrap();
    for _ in 0..choices.below(4) {
        len = len.max(choices.size());
        buffer.require(len).unwrap();
        // What is new is zero.
        model.resize(len, 0);
        assert!(*buffer == *model, "a buffer that grew has other bytes");
        let (range, fill) = (choices.range(len), choices.byte());
        if let Some(part) = model.get_mut(range.clone()) {
            part.fill(fill);
            buffer[range].fill(fill);
        }
    }
    let kept = choices.size();
    match choices.below(3) {
        0 => match buffer.commit(kept) {
            Ok(handle) => {
                model.truncate(kept);
                pieces.push((handle, model));
            }
            Err(_) => assert!(kept > len),
        },
        1 => {
            assert_eq!(buffer.finalize(kept).is_ok(), kept <= len);
            if kept <= len {
                model.truncate(kept);
                assert!(context.pending() == Some(&*model), "pending bytes are others");
                if let Some(handle) = context.commit() {
                    pieces.push((handle, model));
                }
            }
        }
        _ => buffer.discard(),
    }
}
