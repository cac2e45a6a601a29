(* A SplitMix64 generator, as in ../../src/random.rs. Its state is a string of bytes: a mutable field
   would hold a boxed number, and each step would allocate one. *)

type t = Bytes.t

let make seed =
  let state = Bytes.create 8 in
  Bytes.set_int64_ne state 0 (Int64.of_int seed);
  state

(* The bound fits in 31 bits, so that the upper half of the product comes from two smaller ones. *)
let below state bound =
  let open Int64 in
  let sum = add (Bytes.get_int64_ne state 0) 0x9e3779b97f4a7c15L in
  Bytes.set_int64_ne state 0 sum;
  let mixed = mul (logxor sum (shift_right_logical sum 30)) 0xbf58476d1ce4e5b9L in
  let mixed = mul (logxor mixed (shift_right_logical mixed 27)) 0x94d049bb133111ebL in
  let mixed = logxor mixed (shift_right_logical mixed 31) in
  let high = to_int (shift_right_logical mixed 32) and low = to_int (logand mixed 0xffffffffL) in
  ((high * bound) + ((low * bound) lsr 32)) lsr 32
