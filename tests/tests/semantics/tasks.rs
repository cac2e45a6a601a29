//! Asynchronous programs: one access for each poll, the state in an owned root.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use cspace::*;

#[derive(IObject)]
struct State<'gc> {
    lines: Vec<Gc<'gc, Str>>,
}

/// Adds a line at each poll, three in all.
struct Task {
    space: CSpace,
    state: OwnedRoot<Rootable![State<'_>]>,
}

impl Future for Task {
    type Output = usize;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let task = self.get_mut();
        let count = task.space.lock().scope_mut(&mut task.state, |cx, state| {
            state.lines.push(cx.alloc_str("line"));
            cx.alloc_str("garbage");
            state.lines.len()
        });
        if count == 3 {
            return Poll::Ready(count);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn is_send<T: Send>(_: &T) {}

#[test]
fn tasks_on_one_thread_share_a_space_by_an_access_for_each_poll() {
    let space = CSpace::new();
    let mut tasks: Vec<Task> = (0..4)
        .map(|_| Task {
            space: space.clone(),
            state: space.exclusive(|cx| cx.own_root(State { lines: Vec::new() })),
        })
        .collect();
    is_send(&tasks[0]);
    let mut cx = Context::from_waker(Waker::noop());
    let mut done = 0;
    while done < 4 {
        for task in &mut tasks {
            done += usize::from(Pin::new(task).poll(&mut cx) == Poll::Ready(3));
        }
        space.collect().unwrap();
    }
    assert_eq!(space.num_objects(), 12);
    assert!(space.verify().unwrap().is_clean());
}
