/* What the workloads of this directory share. Each is described in ../../src/workloads, under the same
 * name; the programs here allocate the same objects in the same order. */

#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#include <gc.h>

void binary_trees(uint64_t size);
void gcbench(uint64_t size);
void churn(uint64_t size);
void cycles(uint64_t size);
void quads(uint64_t size);
void list(uint64_t size);
void mark(uint64_t size);
void alloc_16(uint64_t size);
void alloc_32(uint64_t size);

/* The measured part is between these two. */
void begin(void);
void end(void);

/* Prints what was measured, as the line of JSON that ../../src/child.rs prints. */
void report(uint64_t checksum, uint64_t operation_count);

/* A SplitMix64 generator, as in ../../src/random.rs. */
typedef struct {
    uint64_t state;
} Random;

static inline uint64_t random_below(Random *random, uint64_t bound) {
    uint64_t mixed = random->state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    mixed ^= mixed >> 31;
    return (uint64_t)((unsigned __int128)mixed * bound >> 64);
}

#endif
