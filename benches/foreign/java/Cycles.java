import java.io.IOException;

final class Cycles {
    private static final int RING_LEN = 10;

    private Cycles() {}

    private static final class Node {
        Node next;
        final long key;

        Node(Node next, long key) {
            this.next = next;
            this.key = key;
        }
    }

    static void run(long size) throws IOException {
        Bench.begin();
        long sum = 0;
        for (long i = 0; i < size; i++) {
            sum += walk(ring(i * RING_LEN));
        }
        Bench.end();
        Bench.report(sum, size * RING_LEN);
    }

    private static Node ring(long key) {
        Node first = new Node(null, key);
        Node last = first;
        for (int i = 1; i < RING_LEN; i++) {
            last = new Node(last, key + i);
        }
        first.next = last;
        return last;
    }

    private static long walk(Node start) {
        long sum = 0;
        Node node = start;
        do {
            sum += node.key;
            node = node.next;
        } while (node != start);
        return sum;
    }
}
