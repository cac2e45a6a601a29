#include "bench.h"

enum { RING_LEN = 10 };

typedef struct Node {
    struct Node *next;
    uint64_t key;
} Node;

static Node *node(Node *next, uint64_t key) {
    Node *node = GC_MALLOC(sizeof(Node));
    node->next = next;
    node->key = key;
    return node;
}

static Node *ring(uint64_t key) {
    Node *first = node(NULL, key), *last = first;
    for (int i = 1; i < RING_LEN; i++)
        last = node(last, key + i);
    return first->next = last;
}

static uint64_t walk(const Node *start) {
    uint64_t sum = 0;
    const Node *node = start;
    do {
        sum += node->key;
        node = node->next;
    } while (node != start);
    return sum;
}

void cycles(uint64_t size) {
    begin();
    uint64_t sum = 0;
    for (uint64_t i = 0; i < size; i++)
        sum += walk(ring(i * RING_LEN));
    end();
    report(sum, size * RING_LEN);
}
