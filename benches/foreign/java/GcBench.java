import java.io.IOException;

final class GcBench {
    private static final long DEPTH_MIN = 4;
    private static final int ARRAY_LEN = 500_000;

    private GcBench() {}

    private static final class Node {
        Node left, right;
        int first, second;

        long branch() {
            long count = 0;
            for (Node node = this; node != null; node = node.left) {
                count++;
            }
            return count;
        }

        long nodeCount() {
            return left == null ? 1 : 1 + left.nodeCount() + right.nodeCount();
        }
    }

    static void run(long size) throws IOException {
        long depthMax = Math.max(size, DEPTH_MIN);
        long stretchDepth = depthMax + 2;
        long operationCount = nodes(stretchDepth) + nodes(depthMax);
        Bench.begin();
        long sum = bottomUp(stretchDepth).branch();
        Node longLived = topDown(depthMax);
        double[] array = new double[ARRAY_LEN];
        for (int i = 1; i < ARRAY_LEN / 2; i++) {
            array[i] = 1.0 / i;
        }
        for (long depth = DEPTH_MIN; depth <= depthMax; depth += 2) {
            long treeCount = 2 * nodes(stretchDepth) / nodes(depth);
            for (long i = 0; i < treeCount; i++) {
                sum += topDown(depth).branch();
            }
            for (long i = 0; i < treeCount; i++) {
                sum += bottomUp(depth).branch();
            }
            operationCount += 2 * treeCount * nodes(depth);
        }
        sum += longLived.nodeCount() + (array[1000] == 1.0 / 1000.0 ? 1 : 0);
        Bench.end();
        Bench.report(sum, operationCount);
    }

    private static long nodes(long depth) {
        return (1L << (depth + 1)) - 1;
    }

    private static Node bottomUp(long depth) {
        Node node = new Node();
        if (depth > 0) {
            node.left = bottomUp(depth - 1);
            node.right = bottomUp(depth - 1);
        }
        return node;
    }

    private static Node topDown(long depth) {
        Node root = new Node();
        populate(root, depth);
        return root;
    }

    private static void populate(Node parent, long depth) {
        if (depth > 0) {
            parent.left = new Node();
            parent.right = new Node();
            populate(parent.left, depth - 1);
            populate(parent.right, depth - 1);
        }
    }
}
