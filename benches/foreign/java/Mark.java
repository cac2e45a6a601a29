import java.io.IOException;

final class Mark {
    private static final int COLLECTION_COUNT = 5;

    private Mark() {}

    private static final class Node {
        Node next, other;
        final long key;
        long payload;

        Node(long key) {
            this.key = key;
        }
    }

    static void run(long givenSize) throws IOException {
        int size = (int) Math.max(givenSize, 2);
        Node root = build(size);
        System.gc();
        Bench.begin();
        for (int i = 0; i < COLLECTION_COUNT; i++) {
            System.gc();
        }
        Bench.end();
        Bench.report(walk(root), (long) COLLECTION_COUNT * size);
    }

    /** Builds the graph of ../../src/workloads/mark.rs and returns its first node. */
    private static Node build(int size) {
        int[] next = new int[size];
        Random64 random = new Random64(42);
        for (int i = 0; i < size; i++) {
            next[i] = i;
        }
        for (int i = size - 1; i > 0; i--) {
            int j = random.below(i);
            int swapped = next[i];
            next[i] = next[j];
            next[j] = swapped;
        }
        Node[] nodes = new Node[size];
        for (int i = 0; i < size; i++) {
            nodes[i] = new Node(i);
        }
        for (int i = 0; i < size; i++) {
            nodes[i].next = nodes[next[i]];
            nodes[i].other = nodes[random.below(size)];
        }
        return nodes[0];
    }

    private static long walk(Node root) {
        long sum = 0;
        Node node = root;
        do {
            sum += node.key + node.other.key;
            node = node.next;
        } while (node != root);
        return sum;
    }
}
