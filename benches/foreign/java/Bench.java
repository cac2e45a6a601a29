import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Runs one workload in a Java virtual machine: {@code Bench <workload> <size>}.
 *
 * <p>Each workload is described in ../../src/workloads, under the same name; the programs here allocate
 * the same objects in the same order. The virtual machine has started when the measured part begins, but
 * compiles the program during it.
 */
public final class Bench {
    private static long wallBegun, cpuBegun, wallEnded, cpuEnded;

    private Bench() {}

    public static void main(String[] arguments) throws IOException {
        long size = Long.parseLong(arguments[1]);
        switch (arguments[0]) {
            case "binary-trees" -> BinaryTrees.run(size);
            case "gcbench" -> GcBench.run(size);
            case "churn" -> Churn.run(size);
            case "cycles" -> Cycles.run(size);
            case "quads" -> Quads.run(size);
            case "list" -> ListBench.run(size);
            case "mark" -> Mark.run(size);
            case "alloc-16" -> AllocBench.run16(size);
            case "alloc-32" -> AllocBench.run32(size);
            default -> throw new IllegalArgumentException("no workload `" + arguments[0] + "` here");
        }
    }

    /** The measured part is between this and {@link #end}. */
    static void begin() {
        cpuBegun = cpuNs();
        wallBegun = System.nanoTime();
    }

    static void end() {
        wallEnded = System.nanoTime();
        cpuEnded = cpuNs();
    }

    /** Prints what was measured, as the line of JSON that ../../src/child.rs prints. */
    static void report(long checksum, long operationCount) throws IOException {
        System.out.printf(
                "{\"measured\":{\"checksum\":%s,\"operation_count\":%d,\"wall_ns\":%d,\"cpu_ns\":%d,"
                        + "\"system_ns\":null},\"rss_bytes_max\":%s}%n",
                Long.toUnsignedString(checksum),
                operationCount,
                wallEnded - wallBegun,
                cpuEnded - cpuBegun,
                rssBytesMax());
    }

    private static long cpuNs() {
        var system = ManagementFactory.getOperatingSystemMXBean();
        return ((com.sun.management.OperatingSystemMXBean) system).getProcessCpuTime();
    }

    private static String rssBytesMax() throws IOException {
        Path status = Path.of("/proc/self/status");
        if (Files.exists(status)) {
            for (String line : Files.readAllLines(status)) {
                if (line.startsWith("VmHWM:")) {
                    return Long.toString(Long.parseLong(line.split("\\s+")[1]) * 1024);
                }
            }
        }
        return "null";
    }
}
