type tree = Leaf | Node of { left : tree; right : tree }

(* A tree of depth 0 is a node of two empty ones, as in every other language. The compiler must not know
   them, or it would make one such node for all, before the program runs. *)
let rec build depth =
  if depth = 0 then
    let empty = Sys.opaque_identity Leaf in
    Node { left = empty; right = empty }
  else
    let left = build (depth - 1) in
    Node { left; right = build (depth - 1) }

let rec node_count = function
  | Leaf -> 0
  | Node { left; right } -> 1 + node_count left + node_count right

let depth_min = 4

let run size =
  let depth_max = max size (depth_min + 2) in
  Measure.start ();
  let sum = ref (node_count (build (depth_max + 1))) in
  let long_lived = build depth_max in
  let depth = ref depth_min in
  while !depth <= depth_max do
    for _ = 1 to 1 lsl (depth_max - !depth + depth_min) do
      sum := !sum + node_count (build !depth)
    done;
    depth := !depth + 2
  done;
  sum := !sum + node_count long_lived;
  Measure.stop ();
  Measure.report !sum !sum
