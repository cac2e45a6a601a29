#include "bench.h"

typedef struct Node {
    struct Node *next;
    uint64_t key;
} Node;

static uint64_t build_and_walk(uint64_t size) {
    Node *list = NULL;
    for (uint64_t key = 0; key < size; key++) {
        Node *node = GC_MALLOC(sizeof(Node));
        node->next = list;
        node->key = key;
        list = node;
    }
    uint64_t sum = 0;
    for (; list; list = list->next)
        sum += list->key;
    return sum;
}

void list(uint64_t size) {
    begin();
    uint64_t sum = build_and_walk(size);
    GC_gcollect();
    end();
    report(sum, size);
}
