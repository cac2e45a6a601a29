package main

const replacements = 10

type churnNode struct {
	left, right  *churnNode
	key, payload uint64
}

func churn(size uint64) {
	if size < 1 {
		size = 1
	}
	begin()
	table := make([]*churnNode, size)
	r := random{1}
	table[0] = &churnNode{}
	for key := uint64(1); key < size; key++ {
		left := table[r.below(key)]
		right := table[r.below(key)]
		table[key] = &churnNode{left: left, right: right, key: key}
	}
	r = random{2}
	for i := uint64(0); i < size*replacements; i++ {
		entry := r.below(size)
		left := table[r.below(size)]
		right := table[r.below(size)]
		old := table[entry]
		table[entry] = &churnNode{left: left, right: right, key: size + i}
		old.left, old.right = nil, nil
	}
	sum := uint64(0)
	for _, node := range table {
		sum += node.key
		if node.left != nil {
			sum += node.left.key + node.right.key
		}
	}
	end()
	report(sum, size*replacements)
}
