//! A space with nothing alive had a quarter of the budget that one with next to nothing had.

use cspace::*;

fn cycles(keeps: bool) -> u64 {
    let space = CSpace::builder().gc(GcMode::Safepoints).build().unwrap();
    let root = keeps.then(|| space.exclusive(|cx| cx.root(cx.alloc(1u64))));
    for _ in 0..512 {
        space.exclusive(|cx| (0..4096u64).for_each(|i| _ = cx.alloc(i)));
    }
    drop(root);
    space.total_num_completed_gcs()
}

#[test]
#[cfg_attr(miri, ignore = "4,000,000 objects")]
fn a_space_with_nothing_alive_is_not_collected_more_often() {
    assert!(cycles(false) <= cycles(true) + 1);
}
