//! Several threads on one space: readers at once, one writer at a time, and a collector on a thread of its own.
//!
//! The writer replaces the accounts of a bank, so old ones become garbage. Readers add up all of them meanwhile. Money
//! is only moved, so a reader that saw half of a transfer would get another sum.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use cspace::{CSpace, Gc, GcCell, GcRoot, IObject, Rootable, Shared};

const ACCOUNTS: usize = 10_000;

/// Never changed: whoever moves money puts a new account in the place of an old one.
#[derive(IObject)]
struct Account {
    balance: u64,
}

type Accounts<'gc> = GcCell<'gc, Vec<Gc<'gc, Account>>>;
type BankRoot = GcRoot<Rootable![Accounts<'_>]>;

fn sum(accounts: &[Gc<'_, Account>]) -> u64 {
    accounts.iter().map(|account| account.balance).sum()
}

/// Moves money from one account to another in one access, so that nobody sees half of it.
fn transfer(space: &CSpace, bank: &BankRoot, from: usize, to: usize) {
    space.exclusive(|cx| {
        let bank = bank.get(cx);
        let (alloc, cells) = cx.split(); // to allocate while a cell is borrowed
        let accounts = bank.borrow_mut(cells);
        let amount = accounts[from].balance.min(10);
        accounts[from] = alloc.alloc(Account { balance: accounts[from].balance - amount });
        accounts[to] = alloc.alloc(Account { balance: accounts[to].balance + amount });
    });
}

fn main() -> Result<(), Box<dyn Error>> {
    let space = CSpace::builder().name("bank").build()?;
    let bank: BankRoot = space.exclusive(|cx| {
        let accounts: Vec<_> = (0..ACCOUNTS).map(|_| cx.alloc(Account { balance: 100 })).collect();
        cx.root(cx.alloc(GcCell::new(accounts)))
    });
    let (is_open, sums) = (AtomicBool::new(true), AtomicUsize::new(0));
    // How many sums are wrong.
    let read = || {
        let mut wrong = 0;
        while is_open.load(Relaxed) {
            let sum = space.shared(|cx| sum(bank.get(cx).borrow(cx)));
            wrong += usize::from(sum != 100 * ACCOUNTS as u64);
            sums.fetch_add(1, Relaxed);
        }
        wrong
    };
    thread::scope(|threads| {
        let readers = [threads.spawn(read), threads.spawn(read)];
        let mut transfers = 0;
        while transfers < 200_000 || sums.load(Relaxed) < 100 {
            transfer(&space, &bank, transfers * 7 % ACCOUNTS, transfers * 13 % ACCOUNTS);
            transfers += 1;
        }
        is_open.store(false, Relaxed);
        let wrong = readers.map(|reader| reader.join().ok());
        println!("{transfers} transfers beside {sums:?} sums, wrong: {wrong:?}");
    });
    let stats = space.stats();
    println!("{} collections reclaimed {} accounts", stats.cycles, stats.objects_reclaimed);

    // One access shared by threads that it starts, for much work on what nobody changes meanwhile.
    let parts = space.shared(|cx| {
        let bank = bank.get(cx);
        let parts = bank.borrow(cx).chunks(ACCOUNTS / 4);
        cx.fan_out(parts.map(|part| move |_: &Shared<'_>| sum(part)))
    });
    println!("four threads made sums of {parts:?}: {} in all", parts.iter().sum::<u64>());
    Ok(())
}
