package main

import "runtime"

type listNode struct {
	next *listNode
	key  uint64
}

func list(size uint64) {
	begin()
	sum := buildAndWalk(size)
	runtime.GC()
	end()
	report(sum, size)
}

func buildAndWalk(size uint64) uint64 {
	var list *listNode
	for key := uint64(0); key < size; key++ {
		list = &listNode{list, key}
	}
	sum := uint64(0)
	for ; list != nil; list = list.next {
		sum += list.key
	}
	return sum
}
