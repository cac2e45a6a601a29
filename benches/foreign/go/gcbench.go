package main

const (
	gcBenchDepthMin = 4
	gcBenchArrayLen = 500_000
)

type gcBenchNode struct {
	left, right *gcBenchNode
	payload     [2]uint32
}

func gcBench(size uint64) {
	depthMax := size
	if depthMax < gcBenchDepthMin {
		depthMax = gcBenchDepthMin
	}
	stretchDepth := depthMax + 2
	operationCount := gcBenchNodes(stretchDepth) + gcBenchNodes(depthMax)
	begin()
	sum := bottomUp(stretchDepth).branch()
	longLived := topDown(depthMax)
	array := make([]float64, gcBenchArrayLen)
	for i := 1; i < gcBenchArrayLen/2; i++ {
		array[i] = 1 / float64(i)
	}
	for depth := uint64(gcBenchDepthMin); depth <= depthMax; depth += 2 {
		treeCount := 2 * gcBenchNodes(stretchDepth) / gcBenchNodes(depth)
		for i := uint64(0); i < treeCount; i++ {
			sum += topDown(depth).branch()
		}
		for i := uint64(0); i < treeCount; i++ {
			sum += bottomUp(depth).branch()
		}
		operationCount += 2 * treeCount * gcBenchNodes(depth)
	}
	sum += longLived.nodeCount()
	if array[1000] == 1.0/1000.0 {
		sum++
	}
	end()
	report(sum, operationCount)
}

func gcBenchNodes(depth uint64) uint64 { return 1<<(depth+1) - 1 }

func bottomUp(depth uint64) *gcBenchNode {
	if depth == 0 {
		return &gcBenchNode{}
	}
	return &gcBenchNode{left: bottomUp(depth - 1), right: bottomUp(depth - 1)}
}

func topDown(depth uint64) *gcBenchNode {
	root := &gcBenchNode{}
	root.populate(depth)
	return root
}

func (n *gcBenchNode) populate(depth uint64) {
	if depth > 0 {
		n.left = &gcBenchNode{}
		n.right = &gcBenchNode{}
		n.left.populate(depth - 1)
		n.right.populate(depth - 1)
	}
}

func (n *gcBenchNode) branch() uint64 {
	count := uint64(0)
	for ; n != nil; n = n.left {
		count++
	}
	return count
}

func (n *gcBenchNode) nodeCount() uint64 {
	if n.left == nil {
		return 1
	}
	return 1 + n.left.nodeCount() + n.right.nodeCount()
}
