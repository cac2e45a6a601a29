package main

const treeDepthMin = 4

type tree struct{ left, right *tree }

func binaryTrees(size uint64) {
	depthMax := size
	if depthMax < treeDepthMin+2 {
		depthMax = treeDepthMin + 2
	}
	begin()
	sum := buildTree(depthMax + 1).nodeCount()
	longLived := buildTree(depthMax)
	for depth := uint64(treeDepthMin); depth <= depthMax; depth += 2 {
		for count := uint64(1) << (depthMax - depth + treeDepthMin); count > 0; count-- {
			sum += buildTree(depth).nodeCount()
		}
	}
	sum += longLived.nodeCount()
	end()
	report(sum, sum)
}

func buildTree(depth uint64) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{buildTree(depth - 1), buildTree(depth - 1)}
}

func (t *tree) nodeCount() uint64 {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.nodeCount() + t.right.nodeCount()
}
