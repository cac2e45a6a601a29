/* Runs one workload on the Boehm-Demers-Weiser collector: bench <workload> <size>. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench.h"

static const struct {
    const char *name;
    void (*run)(uint64_t size);
} workloads[] = {
    {"binary-trees", binary_trees}, {"gcbench", gcbench}, {"churn", churn},
    {"cycles", cycles},             {"quads", quads},     {"list", list},
    {"mark", mark},                 {"alloc-16", alloc_16}, {"alloc-32", alloc_32},
};

typedef struct {
    uint64_t wall_ns, user_ns, system_ns;
} Times;

static Times begun, ended;

static uint64_t timeval_ns(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

static Times now(void) {
    struct timespec wall;
    struct rusage usage;
    clock_gettime(CLOCK_MONOTONIC, &wall);
    getrusage(RUSAGE_SELF, &usage);
    return (Times){
        .wall_ns = (uint64_t)wall.tv_sec * 1000000000 + (uint64_t)wall.tv_nsec,
        .user_ns = timeval_ns(usage.ru_utime),
        .system_ns = timeval_ns(usage.ru_stime),
    };
}

void begin(void) { begun = now(); }

void end(void) { ended = now(); }

void report(uint64_t checksum, uint64_t operation_count) {
    uint64_t system_ns = ended.system_ns - begun.system_ns;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"measured\":{\"checksum\":%" PRIu64 ",\"operation_count\":%" PRIu64
           ",\"wall_ns\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 ",\"system_ns\":%" PRIu64
           "},\"rss_bytes_max\":%" PRIu64 "}\n",
           checksum, operation_count, ended.wall_ns - begun.wall_ns,
           ended.user_ns - begun.user_ns + system_ns, system_ns,
           (uint64_t)usage.ru_maxrss * 1024);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: bench <workload> <size>\n");
        return 1;
    }
    /* References lead to the beginnings of objects here. This is only about those in the heap, and
     * saves each object the byte that keeps a pointer past its end inside of it. */
    GC_set_all_interior_pointers(0);
    /* At the limit of a heap of fixed size the collector says that it is out of memory, then collects. */
    GC_set_warn_proc(GC_ignore_warn_proc);
    GC_INIT();
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        if (strcmp(workloads[i].name, argv[1]) == 0) {
            workloads[i].run(strtoull(argv[2], NULL, 10));
            return 0;
        }
    }
    fprintf(stderr, "no workload `%s` here\n", argv[1]);
    return 1;
}
