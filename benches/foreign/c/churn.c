#include "bench.h"

enum { REPLACEMENTS = 10 };

typedef struct Node {
    struct Node *left, *right;
    uint64_t key, payload;
} Node;

static Node *node(Node *left, Node *right, uint64_t key) {
    Node *node = GC_MALLOC(sizeof(Node));
    node->left = left;
    node->right = right;
    node->key = key;
    return node;
}

void churn(uint64_t size) {
    size = size < 1 ? 1 : size;
    begin();
    Node **table = GC_MALLOC(size * sizeof(Node *));
    Random random = {1};
    table[0] = node(NULL, NULL, 0);
    for (uint64_t key = 1; key < size; key++) {
        Node *left = table[random_below(&random, key)];
        Node *right = table[random_below(&random, key)];
        table[key] = node(left, right, key);
    }
    random.state = 2;
    for (uint64_t i = 0; i < size * REPLACEMENTS; i++) {
        uint64_t entry = random_below(&random, size);
        Node *left = table[random_below(&random, size)];
        Node *right = table[random_below(&random, size)];
        Node *old = table[entry];
        table[entry] = node(left, right, size + i);
        old->left = old->right = NULL;
    }
    uint64_t sum = 0;
    for (uint64_t i = 0; i < size; i++) {
        const Node *node = table[i];
        sum += node->key + (node->left ? node->left->key + node->right->key : 0);
    }
    end();
    report(sum, size * REPLACEMENTS);
}
