(* What a run costs, and the line of JSON that ../../src/child.rs prints. *)

let begun = ref (0.0, 0.0, 0.0)
let ended = ref (0.0, 0.0, 0.0)

let now () =
  let times = Unix.times () in
  (Unix.gettimeofday (), times.tms_utime, times.tms_stime)

(* The measured part is between these two. *)
let start () = begun := now ()
let stop () = ended := now ()

(* The most memory that was resident at one time, in bytes; null where the system does not tell. *)
let rss_bytes_max () =
  let rec find status =
    match input_line status with
    | line when String.length line > 6 && String.sub line 0 6 = "VmHWM:" ->
        Scanf.sscanf line "VmHWM: %d kB" (fun kibibytes -> string_of_int (kibibytes * 1024))
    | _ -> find status
  in
  try
    let status = open_in "/proc/self/status" in
    Fun.protect ~finally:(fun () -> close_in status) (fun () -> find status)
  with Sys_error _ | End_of_file -> "null"

let report checksum operation_count =
  let (wall_begun, user_begun, system_begun) = !begun and (wall, user, system) = !ended in
  let ns seconds = int_of_float (seconds *. 1e9) in
  Printf.printf
    "{\"measured\":{\"checksum\":%d,\"operation_count\":%d,\"wall_ns\":%d,\"cpu_ns\":%d,\"system_ns\":%d},\"rss_bytes_max\":%s}\n"
    checksum operation_count
    (ns (wall -. wall_begun))
    (ns (user -. user_begun +. system -. system_begun))
    (ns (system -. system_begun))
    (rss_bytes_max ())
