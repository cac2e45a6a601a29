import java.io.IOException;

final class BinaryTrees {
    private static final long DEPTH_MIN = 4;

    private BinaryTrees() {}

    private static final class Tree {
        Tree left, right;

        long nodeCount() {
            return left == null ? 1 : 1 + left.nodeCount() + right.nodeCount();
        }
    }

    static void run(long size) throws IOException {
        long depthMax = Math.max(size, DEPTH_MIN + 2);
        Bench.begin();
        long sum = build(depthMax + 1).nodeCount();
        Tree longLived = build(depthMax);
        for (long depth = DEPTH_MIN; depth <= depthMax; depth += 2) {
            for (long count = 1L << (depthMax - depth + DEPTH_MIN); count > 0; count--) {
                sum += build(depth).nodeCount();
            }
        }
        sum += longLived.nodeCount();
        Bench.end();
        Bench.report(sum, sum);
    }

    private static Tree build(long depth) {
        Tree tree = new Tree();
        if (depth > 0) {
            tree.left = build(depth - 1);
            tree.right = build(depth - 1);
        }
        return tree;
    }
}
