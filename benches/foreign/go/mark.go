package main

import "runtime"

const collectionCount = 5

type markNode struct {
	next, other  *markNode
	key, payload uint64
}

func mark(size uint64) {
	if size < 2 {
		size = 2
	}
	root := buildGraph(size)
	runtime.GC()
	begin()
	for i := 0; i < collectionCount; i++ {
		runtime.GC()
	}
	end()
	report(root.walk(), collectionCount*size)
}

// Builds the graph of ../../src/workloads/mark.rs and returns its first node.
func buildGraph(size uint64) *markNode {
	next := make([]uint32, size)
	r := random{42}
	for i := range next {
		next[i] = uint32(i)
	}
	for i := size - 1; i > 0; i-- {
		j := r.below(i)
		next[i], next[j] = next[j], next[i]
	}
	nodes := make([]*markNode, size)
	for i := range nodes {
		nodes[i] = &markNode{key: uint64(i)}
	}
	for i, node := range nodes {
		node.next = nodes[next[i]]
		node.other = nodes[r.below(size)]
	}
	return nodes[0]
}

func (root *markNode) walk() uint64 {
	sum := uint64(0)
	node := root
	for {
		sum += node.key + node.other.key
		node = node.next
		if node == root {
			return sum
		}
	}
}
