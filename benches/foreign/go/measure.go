package main

import (
	"fmt"
	"syscall"
	"time"
)

type times struct {
	wall         time.Time
	user, system int64
}

var begun, ended times

func now() times {
	usage := usage()
	return times{time.Now(), usage.Utime.Nano(), usage.Stime.Nano()}
}

func usage() syscall.Rusage {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err.Error())
	}
	return usage
}

// The measured part is between this and end.
func begin() { begun = now() }

func end() { ended = now() }

// Prints what was measured, as the line of JSON that ../../src/child.rs prints.
func report(checksum, operationCount uint64) {
	system := ended.system - begun.system
	fmt.Printf(`{"measured":{"checksum":%d,"operation_count":%d,"wall_ns":%d,"cpu_ns":%d,`+
		`"system_ns":%d},"rss_bytes_max":%d}`+"\n",
		checksum, operationCount, ended.wall.Sub(begun.wall).Nanoseconds(),
		ended.user-begun.user+system, system, usage().Maxrss*1024)
}
