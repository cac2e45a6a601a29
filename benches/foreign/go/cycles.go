package main

const ringLen = 10

type ringNode struct {
	next *ringNode
	key  uint64
}

func cycles(size uint64) {
	begin()
	sum := uint64(0)
	for i := uint64(0); i < size; i++ {
		sum += makeRing(i * ringLen).walk()
	}
	end()
	report(sum, size*ringLen)
}

func makeRing(key uint64) *ringNode {
	first := &ringNode{key: key}
	last := first
	for i := uint64(1); i < ringLen; i++ {
		last = &ringNode{last, key + i}
	}
	first.next = last
	return last
}

func (start *ringNode) walk() uint64 {
	sum := start.key
	for node := start.next; node != start; node = node.next {
		sum += node.key
	}
	return sum
}
