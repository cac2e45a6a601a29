import java.io.IOException;

/** The objects go to a field that others could read, or the compiler would make none. */
final class AllocBench {
    static Object object;

    private AllocBench() {}

    private static final class Two {
        final long first, last;

        Two(long number) {
            first = number;
            last = number;
        }
    }

    private static final class Four {
        final long first, second, third, last;

        Four(long number) {
            first = number;
            second = number;
            third = number;
            last = number;
        }
    }

    static void run16(long size) throws IOException {
        Bench.begin();
        long sum = 0;
        for (long number = 0; number < size; number++) {
            object = new Two(number);
            sum += ((Two) object).last;
        }
        Bench.end();
        Bench.report(sum, size);
    }

    static void run32(long size) throws IOException {
        Bench.begin();
        long sum = 0;
        for (long number = 0; number < size; number++) {
            object = new Four(number);
            sum += ((Four) object).last;
        }
        Bench.end();
        Bench.report(sum, size);
    }
}
