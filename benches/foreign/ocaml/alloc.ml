type two = { first : int; last : int }
type four = { first : int; second : int; third : int; last : int }

let run_16 size =
  Measure.start ();
  let sum = ref 0 in
  for number = 0 to size - 1 do
    let object_ = Sys.opaque_identity ({ first = number; last = number } : two) in
    sum := !sum + object_.last
  done;
  Measure.stop ();
  Measure.report !sum size

let run_32 size =
  Measure.start ();
  let sum = ref 0 in
  for number = 0 to size - 1 do
    let object_ =
      Sys.opaque_identity { first = number; second = number; third = number; last = number }
    in
    sum := !sum + object_.last
  done;
  Measure.stop ();
  Measure.report !sum size
