type node = Null | Node of { mutable next : node; mutable other : node; key : int; payload : int }

let collection_count = 5

(* Builds the graph of ../../src/workloads/mark.rs and returns its first node. *)
let build size =
  let random = Random64.make 42 in
  let next = Array.init size (fun i -> i) in
  for i = size - 1 downto 1 do
    let j = Random64.below random i in
    let swapped = next.(i) in
    next.(i) <- next.(j);
    next.(j) <- swapped
  done;
  let nodes = Array.init size (fun key -> Node { next = Null; other = Null; key; payload = 0 }) in
  Array.iteri
    (fun i node ->
      match node with
      | Null -> ()
      | Node node ->
          node.next <- nodes.(next.(i));
          node.other <- nodes.(Random64.below random size))
    nodes;
  nodes.(0)

let key = function Null -> 0 | Node { key; _ } -> key

let walk root =
  let rec go sum = function
    | Null -> sum
    | Node { next; other; key = own; _ } ->
        let sum = sum + own + key other in
        if next == root then sum else go sum next
  in
  go 0 root

let run size =
  let size = max size 2 in
  let root = build size in
  Gc.full_major ();
  Measure.start ();
  for _ = 1 to collection_count do
    Gc.major ()
  done;
  Measure.stop ();
  Measure.report (walk root) (collection_count * size)
