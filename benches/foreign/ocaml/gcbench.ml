type node = Null | Node of { mutable left : node; mutable right : node; first : int; second : int }

let depth_min = 4
let array_len = 500_000
let nodes depth = (1 lsl (depth + 1)) - 1
let node left right = Node { left; right; first = 0; second = 0 }

let rec bottom_up depth =
  if depth = 0 then node Null Null
  else
    let left = bottom_up (depth - 1) in
    node left (bottom_up (depth - 1))

let rec populate parent depth =
  match parent with
  | Node parent when depth > 0 ->
      parent.left <- node Null Null;
      parent.right <- node Null Null;
      populate parent.left (depth - 1);
      populate parent.right (depth - 1)
  | Node _ | Null -> ()

let top_down depth =
  let root = node Null Null in
  populate root depth;
  root

let branch tree =
  let rec count sum = function Null -> sum | Node { left; _ } -> count (sum + 1) left in
  count 0 tree

let rec node_count = function
  | Null -> 0
  | Node { left; right; _ } -> 1 + node_count left + node_count right

let run size =
  let depth_max = max size depth_min in
  let stretch_depth = depth_max + 2 in
  let operation_count = ref (nodes stretch_depth + nodes depth_max) in
  Measure.start ();
  let sum = ref (branch (bottom_up stretch_depth)) in
  let long_lived = top_down depth_max in
  let array =
    Array.init array_len (fun i ->
        if i >= 1 && i < array_len / 2 then 1.0 /. float_of_int i else 0.0)
  in
  let depth = ref depth_min in
  while !depth <= depth_max do
    let tree_count = 2 * nodes stretch_depth / nodes !depth in
    for _ = 1 to tree_count do
      sum := !sum + branch (top_down !depth)
    done;
    for _ = 1 to tree_count do
      sum := !sum + branch (bottom_up !depth)
    done;
    operation_count := !operation_count + (2 * tree_count * nodes !depth);
    depth := !depth + 2
  done;
  sum := !sum + node_count long_lived;
  if array.(1000) = 1.0 /. 1000.0 then incr sum;
  Measure.stop ();
  Measure.report !sum !operation_count
