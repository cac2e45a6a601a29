import java.io.IOException;

final class Churn {
    private static final long REPLACEMENTS = 10;

    private Churn() {}

    private static final class Node {
        Node left, right;
        final long key;
        long payload;

        Node(Node left, Node right, long key) {
            this.left = left;
            this.right = right;
            this.key = key;
        }

        long sum() {
            return left == null ? key : key + left.key + right.key;
        }
    }

    static void run(long givenSize) throws IOException {
        int size = (int) Math.max(givenSize, 1);
        Bench.begin();
        Node[] table = new Node[size];
        Random64 random = new Random64(1);
        table[0] = new Node(null, null, 0);
        for (int key = 1; key < size; key++) {
            Node left = table[random.below(key)];
            Node right = table[random.below(key)];
            table[key] = new Node(left, right, key);
        }
        random = new Random64(2);
        for (long i = 0; i < size * REPLACEMENTS; i++) {
            int entry = random.below(size);
            Node left = table[random.below(size)];
            Node right = table[random.below(size)];
            Node old = table[entry];
            table[entry] = new Node(left, right, size + i);
            old.left = null;
            old.right = null;
        }
        long sum = 0;
        for (Node node : table) {
            sum += node.sum();
        }
        Bench.end();
        Bench.report(sum, size * REPLACEMENTS);
    }
}
