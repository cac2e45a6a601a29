// Runs one workload in Go: bench <workload> <size>.
//
// Each workload is described in ../../src/workloads, under the same name; the programs here allocate the
// same objects in the same order.
package main

import (
	"fmt"
	"os"
	"strconv"
)

var workloads = map[string]func(size uint64){
	"binary-trees": binaryTrees,
	"gcbench":      gcBench,
	"churn":        churn,
	"cycles":       cycles,
	"quads":        quads,
	"list":         list,
	"mark":         mark,
	"alloc-16":     alloc16,
	"alloc-32":     alloc32,
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: bench <workload> <size>")
	}
	run, known := workloads[os.Args[1]]
	if !known {
		fail("no workload `" + os.Args[1] + "` here")
	}
	size, err := strconv.ParseUint(os.Args[2], 10, 64)
	if err != nil {
		fail(err.Error())
	}
	run(size)
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
