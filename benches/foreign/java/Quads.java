import java.io.IOException;

/** The limit of the heap comes from the runner, as options of the virtual machine. */
final class Quads {
    private static final int ROUNDS = 20;
    private static final long ROUND_PERCENT = 13;
    private static final long GARBAGE_DEPTH = 3;
    private static final long HEAP_BYTES_MIN = 1 << 20;
    private static final long NODE_BYTES = 32;

    private Quads() {}

    private static final class Quad {
        Quad first, second, third, fourth;

        long branch() {
            long count = 0;
            for (Quad quad = this; quad != null; quad = quad.first) {
                count++;
            }
            return count;
        }

        long nodeCount() {
            if (first == null) {
                return 1;
            }
            return 1 + first.nodeCount() + second.nodeCount() + third.nodeCount() + fourth.nodeCount();
        }
    }

    static void run(long size) throws IOException {
        long heapBytes = Math.max(nodes(size) * NODE_BYTES * 5 / 2, HEAP_BYTES_MIN);
        long treeCount = heapBytes * ROUND_PERCENT / 100 / (nodes(GARBAGE_DEPTH) * NODE_BYTES);
        Bench.begin();
        Quad live = build(size);
        long sum = 0;
        for (int round = 0; round < ROUNDS; round++) {
            for (long i = 0; i < treeCount; i++) {
                sum += build(GARBAGE_DEPTH).branch();
            }
            sum += live.nodeCount();
        }
        Bench.end();
        Bench.report(sum, nodes(size) + ROUNDS * treeCount * nodes(GARBAGE_DEPTH));
    }

    private static long nodes(long depth) {
        return ((4L << (2 * depth)) - 1) / 3;
    }

    private static Quad build(long depth) {
        Quad quad = new Quad();
        if (depth > 0) {
            quad.first = build(depth - 1);
            quad.second = build(depth - 1);
            quad.third = build(depth - 1);
            quad.fourth = build(depth - 1);
        }
        return quad;
    }
}
