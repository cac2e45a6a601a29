//! Does the public API keep its promises? One file for each topic; the name of a test is a claim.

mod allocations;
mod probe;
mod watchdog;

mod cells;
mod collect;
mod counts;
mod current;
mod drivers;
mod drops;
mod events;
mod fan_out;
mod guards;
mod handles;
mod leaks;
mod limit;
mod locks;
mod owned_roots;
mod patience;
mod phases;
mod ptr_slots;
mod root_stack;
mod roots;
mod several;
mod sizes;
mod stress;
mod tails;
mod tasks;
mod transactions;
mod transfer;
mod types;
mod verify;
mod weak;
mod weak_roots;
mod weak_set;
mod worker;
