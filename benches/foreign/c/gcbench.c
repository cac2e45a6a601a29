#include "bench.h"

enum { DEPTH_MIN = 4, ARRAY_LEN = 500000 };

typedef struct Node {
    struct Node *left, *right;
    uint32_t payload[2];
} Node;

static uint64_t nodes(uint64_t depth) { return ((uint64_t)1 << (depth + 1)) - 1; }

static Node *node(Node *left, Node *right) {
    Node *node = GC_MALLOC(sizeof(Node));
    node->left = left;
    node->right = right;
    return node;
}

static Node *bottom_up(uint64_t depth) {
    if (depth == 0)
        return node(NULL, NULL);
    Node *left = bottom_up(depth - 1);
    return node(left, bottom_up(depth - 1));
}

static void populate(Node *parent, uint64_t depth) {
    if (depth > 0) {
        parent->left = node(NULL, NULL);
        parent->right = node(NULL, NULL);
        populate(parent->left, depth - 1);
        populate(parent->right, depth - 1);
    }
}

static Node *top_down(uint64_t depth) {
    Node *root = node(NULL, NULL);
    populate(root, depth);
    return root;
}

static uint64_t branch(const Node *node) {
    uint64_t count = 0;
    for (; node; node = node->left)
        count++;
    return count;
}

static uint64_t node_count(const Node *node) {
    return node ? 1 + node_count(node->left) + node_count(node->right) : 0;
}

void gcbench(uint64_t size) {
    uint64_t depth_max = size < DEPTH_MIN ? DEPTH_MIN : size;
    uint64_t stretch_depth = depth_max + 2;
    uint64_t operation_count = nodes(stretch_depth) + nodes(depth_max);
    begin();
    uint64_t sum = branch(bottom_up(stretch_depth));
    Node *long_lived = top_down(depth_max);
    double *array = GC_MALLOC_ATOMIC(ARRAY_LEN * sizeof(double));
    for (int i = 0; i < ARRAY_LEN; i++)
        array[i] = i >= 1 && i < ARRAY_LEN / 2 ? 1.0 / i : 0.0;
    for (uint64_t depth = DEPTH_MIN; depth <= depth_max; depth += 2) {
        uint64_t tree_count = 2 * nodes(stretch_depth) / nodes(depth);
        for (uint64_t i = 0; i < tree_count; i++)
            sum += branch(top_down(depth));
        for (uint64_t i = 0; i < tree_count; i++)
            sum += branch(bottom_up(depth));
        operation_count += 2 * tree_count * nodes(depth);
    }
    sum += node_count(long_lived) + (array[1000] == 1.0 / 1000.0);
    end();
    report(sum, operation_count);
}
