type node =
  | Null
  | Node of { mutable left : node; mutable right : node; key : int; payload : int }

let replacements = 10
let node left right key = Node { left; right; key; payload = 0 }
let key = function Null -> 0 | Node { key; _ } -> key

let clear = function
  | Null -> ()
  | Node node ->
      node.left <- Null;
      node.right <- Null

let sum = function Null -> 0 | Node { left; right; key = own; _ } -> own + key left + key right

let run size =
  let size = max size 1 in
  Measure.start ();
  let table = Array.make size Null in
  let random = Random64.make 1 in
  table.(0) <- node Null Null 0;
  for key = 1 to size - 1 do
    let left = table.(Random64.below random key) in
    let right = table.(Random64.below random key) in
    table.(key) <- node left right key
  done;
  let random = Random64.make 2 in
  for i = 0 to (size * replacements) - 1 do
    let entry = Random64.below random size in
    let left = table.(Random64.below random size) in
    let right = table.(Random64.below random size) in
    let old = table.(entry) in
    table.(entry) <- node left right (size + i);
    clear old
  done;
  let total = Array.fold_left (fun total node -> total + sum node) 0 table in
  Measure.stop ();
  Measure.report total (size * replacements)
