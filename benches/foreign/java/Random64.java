/** A SplitMix64 generator, as in ../../src/random.rs. */
final class Random64 {
    private long state;

    Random64(long seed) {
        state = seed;
    }

    /** Returns a number below {@code bound}, which fits in 31 bits. */
    int below(long bound) {
        state += 0x9e3779b97f4a7c15L;
        long mixed = state;
        mixed = (mixed ^ (mixed >>> 30)) * 0xbf58476d1ce4e5b9L;
        mixed = (mixed ^ (mixed >>> 27)) * 0x94d049bb133111ebL;
        mixed ^= mixed >>> 31;
        // The upper half of the product, whose first factor has no sign.
        long high = Math.multiplyHigh(mixed, bound) + ((mixed >> 63) & bound);
        return (int) high;
    }
}
