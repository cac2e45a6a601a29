#include <stdlib.h>

#include "bench.h"

enum { COLLECTION_COUNT = 5 };

typedef struct Node {
    struct Node *next, *other;
    uint64_t key, payload;
} Node;

/* Builds the graph of ../../src/workloads/mark.rs and returns its first node. */
static Node *build(uint64_t size) {
    uint32_t *next = malloc(size * sizeof *next);
    Random random = {42};
    for (uint64_t i = 0; i < size; i++)
        next[i] = (uint32_t)i;
    for (uint64_t i = size - 1; i > 0; i--) {
        uint64_t j = random_below(&random, i);
        uint32_t swapped = next[i];
        next[i] = next[j];
        next[j] = swapped;
    }
    Node **nodes = GC_MALLOC(size * sizeof(Node *));
    for (uint64_t i = 0; i < size; i++) {
        nodes[i] = GC_MALLOC(sizeof(Node));
        nodes[i]->key = i;
    }
    for (uint64_t i = 0; i < size; i++) {
        nodes[i]->next = nodes[next[i]];
        nodes[i]->other = nodes[random_below(&random, size)];
    }
    Node *first = nodes[0];
    GC_FREE(nodes);
    free(next);
    return first;
}

static uint64_t walk(const Node *root) {
    uint64_t sum = 0;
    const Node *node = root;
    do {
        sum += node->key + node->other->key;
        node = node->next;
    } while (node != root);
    return sum;
}

void mark(uint64_t size) {
    size = size < 2 ? 2 : size;
    Node *root = build(size);
    GC_gcollect();
    begin();
    for (int i = 0; i < COLLECTION_COUNT; i++)
        GC_gcollect();
    end();
    report(walk(root), COLLECTION_COUNT * size);
}
