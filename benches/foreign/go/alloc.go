package main

// The objects go to variables that others could read, or the compiler would put them on the stack.
var (
	two  *[2]uint64
	four *[4]uint64
)

func alloc16(size uint64) {
	begin()
	sum := uint64(0)
	for number := uint64(0); number < size; number++ {
		two = &[2]uint64{number, number}
		sum += two[1]
	}
	end()
	report(sum, size)
}

func alloc32(size uint64) {
	begin()
	sum := uint64(0)
	for number := uint64(0); number < size; number++ {
		four = &[4]uint64{number, number, number, number}
		sum += four[3]
	}
	end()
	report(sum, size)
}
