#include "bench.h"

/* Allocates leaves of so many words; each is read back through a pointer that the compiler knows nothing
 * about. */
static inline void run(uint64_t size, size_t words) {
    begin();
    uint64_t sum = 0;
    for (uint64_t number = 0; number < size; number++) {
        uint64_t *object = GC_MALLOC_ATOMIC(words * sizeof(uint64_t));
        for (size_t i = 0; i < words; i++)
            object[i] = number;
        __asm__ volatile("" : "+r"(object) : : "memory");
        sum += object[words - 1];
    }
    end();
    report(sum, size);
}

void alloc_16(uint64_t size) { run(size, 2); }

void alloc_32(uint64_t size) { run(size, 4); }
