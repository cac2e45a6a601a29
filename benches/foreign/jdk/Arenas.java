// Arenas of Java 17 (module jdk.incubator.foreign): what opening, allocating and closing costs.
//
// Prints a line for each case: its name and the nanoseconds of the median of some rounds.

import java.util.Arrays;
import java.util.function.Supplier;
import jdk.incubator.foreign.MemorySegment;
import jdk.incubator.foreign.ResourceScope;

class Arenas {
    static long sink;

    static void round(Supplier<ResourceScope> open, int segments, int count) {
        for (int i = 0; i < count; i++) {
            try (ResourceScope scope = open.get()) {
                for (int s = 0; s < segments; s++) {
                    sink += MemorySegment.allocateNative(64, 8, scope).byteSize();
                }
            }
        }
    }

    static void measure(String name, Supplier<ResourceScope> open, int segments, int count) {
        for (int i = 0; i < 10; i++) round(open, segments, count);
        double[] times = new double[9];
        for (int i = 0; i < times.length; i++) {
            long begun = System.nanoTime();
            round(open, segments, count);
            times[i] = (double) (System.nanoTime() - begun) / count;
        }
        Arrays.sort(times);
        System.out.println(name + " " + times[times.length / 2]);
    }

    public static void main(String[] arguments) {
        int count = Integer.parseInt(arguments[0]);
        for (int segments : new int[] {1, 10, 100}) {
            int share = Math.max(count / segments, 1);
            measure("confined-" + segments, ResourceScope::newConfinedScope, segments, share);
        }
        // Closing one stops all threads for a moment: fewer rounds.
        measure("shared-1", ResourceScope::newSharedScope, 1, Math.max(count / 100, 1));
        if (sink == 42) System.out.println("never");
    }
}
