package main

import "math/bits"

// A SplitMix64 generator, as in ../../src/random.rs.
type random struct{ state uint64 }

func (r *random) below(bound uint64) uint64 {
	r.state += 0x9e3779b97f4a7c15
	mixed := r.state
	mixed = (mixed ^ mixed>>30) * 0xbf58476d1ce4e5b9
	mixed = (mixed ^ mixed>>27) * 0x94d049bb133111eb
	high, _ := bits.Mul64(mixed^mixed>>31, bound)
	return high
}
