(* The pace of collections comes from the runner, as an environment variable. *)

type quad = Null | Quad of { first : quad; second : quad; third : quad; fourth : quad }

let rounds = 20
let round_percent = 13
let garbage_depth = 3
let heap_bytes_min = 1 lsl 20
let quad_bytes = 32
let nodes depth = ((4 lsl (2 * depth)) - 1) / 3

(* The compiler must not know what is in a leaf, or it would make one for all, before the program runs. *)
let rec build depth =
  if depth = 0 then
    let null = Sys.opaque_identity Null in
    Quad { first = null; second = null; third = null; fourth = null }
  else
    let first = build (depth - 1) in
    let second = build (depth - 1) in
    let third = build (depth - 1) in
    Quad { first; second; third; fourth = build (depth - 1) }

let branch tree =
  let rec count sum = function Null -> sum | Quad { first; _ } -> count (sum + 1) first in
  count 0 tree

let rec node_count = function
  | Null -> 0
  | Quad { first; second; third; fourth } ->
      1 + node_count first + node_count second + node_count third + node_count fourth

let run size =
  let heap_bytes = max (nodes size * quad_bytes * 5 / 2) heap_bytes_min in
  let tree_count = heap_bytes * round_percent / 100 / (nodes garbage_depth * quad_bytes) in
  Measure.start ();
  let live = build size in
  let sum = ref 0 in
  for _ = 1 to rounds do
    for _ = 1 to tree_count do
      sum := !sum + branch (build garbage_depth)
    done;
    sum := !sum + node_count live
  done;
  Measure.stop ();
  Measure.report !sum (nodes size + (rounds * tree_count * nodes garbage_depth))
