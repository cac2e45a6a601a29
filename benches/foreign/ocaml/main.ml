(* Runs one workload in OCaml: bench <workload> <size>.

   Each workload is described in ../../src/workloads, under the same name; the programs here allocate the
   same objects in the same order. *)

let workloads =
  [
    ("binary-trees", Binary_trees.run);
    ("gcbench", Gcbench.run);
    ("churn", Churn.run);
    ("cycles", Cycles.run);
    ("quads", Quads.run);
    ("list", Listbench.run);
    ("mark", Mark.run);
    ("alloc-16", Alloc.run_16);
    ("alloc-32", Alloc.run_32);
  ]

let () =
  match Sys.argv with
  | [| _; workload; size |] -> (List.assoc workload workloads) (int_of_string size)
  | _ ->
      prerr_endline "usage: bench <workload> <size>";
      exit 1
