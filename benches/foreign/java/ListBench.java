import java.io.IOException;

final class ListBench {
    private ListBench() {}

    private static final class Node {
        final Node next;
        final long key;

        Node(Node next, long key) {
            this.next = next;
            this.key = key;
        }
    }

    static void run(long size) throws IOException {
        Bench.begin();
        long sum = buildAndWalk(size);
        System.gc();
        Bench.end();
        Bench.report(sum, size);
    }

    private static long buildAndWalk(long size) {
        Node list = null;
        for (long key = 0; key < size; key++) {
            list = new Node(list, key);
        }
        long sum = 0;
        for (; list != null; list = list.next) {
            sum += list.key;
        }
        return sum;
    }
}
