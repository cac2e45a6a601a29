#include "bench.h"

/* The limit of the heap comes from the runner, as an environment variable of the collector. */
enum { ROUNDS = 20, ROUND_PERCENT = 13, GARBAGE_DEPTH = 3, HEAP_BYTES_MIN = 1 << 20 };

typedef struct Quad {
    struct Quad *children[4];
} Quad;

static uint64_t nodes(uint64_t depth) { return (((uint64_t)4 << (2 * depth)) - 1) / 3; }

static Quad *build(uint64_t depth) {
    Quad *quad = GC_MALLOC(sizeof(Quad));
    if (depth > 0)
        for (int i = 0; i < 4; i++)
            quad->children[i] = build(depth - 1);
    return quad;
}

static uint64_t branch(const Quad *quad) {
    uint64_t count = 0;
    for (; quad; quad = quad->children[0])
        count++;
    return count;
}

static uint64_t node_count(const Quad *quad) {
    uint64_t count = 1;
    if (quad->children[0])
        for (int i = 0; i < 4; i++)
            count += node_count(quad->children[i]);
    return count;
}

void quads(uint64_t size) {
    uint64_t heap_bytes = nodes(size) * sizeof(Quad) * 5 / 2;
    if (heap_bytes < HEAP_BYTES_MIN)
        heap_bytes = HEAP_BYTES_MIN;
    uint64_t tree_count = heap_bytes * ROUND_PERCENT / 100 / (nodes(GARBAGE_DEPTH) * sizeof(Quad));
    begin();
    Quad *live = build(size);
    uint64_t sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 0; i < tree_count; i++)
            sum += branch(build(GARBAGE_DEPTH));
        sum += node_count(live);
    }
    end();
    report(sum, nodes(size) + ROUNDS * tree_count * nodes(GARBAGE_DEPTH));
}
