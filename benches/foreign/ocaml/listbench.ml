type node = Null | Node of { next : node; key : int }

let build_and_walk size =
  let list = ref Null in
  for key = 0 to size - 1 do
    list := Node { next = !list; key }
  done;
  let rec walk sum = function Null -> sum | Node { next; key } -> walk (sum + key) next in
  walk 0 !list

let run size =
  Measure.start ();
  let sum = build_and_walk size in
  Gc.major ();
  Measure.stop ();
  Measure.report sum size
