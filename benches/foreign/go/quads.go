package main

// The pace of collections comes from the runner, as an environment variable.
const (
	quadRounds       = 20
	quadRoundPercent = 13
	garbageDepth     = 3
	heapBytesMin     = 1 << 20
	quadBytes        = 32
)

type quad struct{ children [4]*quad }

func quads(size uint64) {
	heapBytes := quadNodes(size) * quadBytes * 5 / 2
	if heapBytes < heapBytesMin {
		heapBytes = heapBytesMin
	}
	treeCount := heapBytes * quadRoundPercent / 100 / (quadNodes(garbageDepth) * quadBytes)
	begin()
	live := buildQuad(size)
	sum := uint64(0)
	for round := 0; round < quadRounds; round++ {
		for i := uint64(0); i < treeCount; i++ {
			sum += buildQuad(garbageDepth).branch()
		}
		sum += live.nodeCount()
	}
	end()
	report(sum, quadNodes(size)+quadRounds*treeCount*quadNodes(garbageDepth))
}

func quadNodes(depth uint64) uint64 { return (4<<(2*depth) - 1) / 3 }

func buildQuad(depth uint64) *quad {
	q := &quad{}
	if depth > 0 {
		for i := range q.children {
			q.children[i] = buildQuad(depth - 1)
		}
	}
	return q
}

func (q *quad) branch() uint64 {
	count := uint64(0)
	for ; q != nil; q = q.children[0] {
		count++
	}
	return count
}

func (q *quad) nodeCount() uint64 {
	count := uint64(1)
	if q.children[0] != nil {
		for _, child := range q.children {
			count += child.nodeCount()
		}
	}
	return count
}
