#include "bench.h"

enum { DEPTH_MIN = 4 };

typedef struct Tree {
    struct Tree *left, *right;
} Tree;

static Tree *build(uint64_t depth) {
    Tree *tree = GC_MALLOC(sizeof(Tree));
    if (depth > 0) {
        tree->left = build(depth - 1);
        tree->right = build(depth - 1);
    }
    return tree;
}

static uint64_t node_count(const Tree *tree) {
    return tree->left ? 1 + node_count(tree->left) + node_count(tree->right) : 1;
}

void binary_trees(uint64_t size) {
    uint64_t depth_max = size < DEPTH_MIN + 2 ? DEPTH_MIN + 2 : size;
    begin();
    uint64_t sum = node_count(build(depth_max + 1));
    Tree *long_lived = build(depth_max);
    for (uint64_t depth = DEPTH_MIN; depth <= depth_max; depth += 2)
        for (uint64_t count = (uint64_t)1 << (depth_max - depth + DEPTH_MIN); count > 0; count--)
            sum += node_count(build(depth));
    sum += node_count(long_lived);
    end();
    report(sum, sum);
}
