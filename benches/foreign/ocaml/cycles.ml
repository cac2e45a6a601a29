type node = { mutable next : node; key : int }

let ring_len = 10

let ring key =
  let rec first = { next = first; key } in
  let last = ref first in
  for i = 1 to ring_len - 1 do
    last := { next = !last; key = key + i }
  done;
  first.next <- !last;
  !last

let walk start =
  let rec go sum node = if node == start then sum else go (sum + node.key) node.next in
  go start.key start.next

let run size =
  Measure.start ();
  let sum = ref 0 in
  for i = 0 to size - 1 do
    sum := !sum + walk (ring (i * ring_len))
  done;
  Measure.stop ();
  Measure.report !sum (size * ring_len)
