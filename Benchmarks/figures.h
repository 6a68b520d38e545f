// What the loads report: a clock, a histogram of latencies and the line of JSON that harness/load.py reads.

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SLOT_BITS 7 // 128 slots per power of two: under 1 % of error
#define SLOTS (48 << SLOT_BITS)

static struct {
    long done, errors;
    int64_t bodyBytes, latencyMax;
    uint32_t latencies[SLOTS];
} figures;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Log-linear: exact below 2^SLOT_BITS, then 2^SLOT_BITS slots for each doubling.
static unsigned slotOf(int64_t ns) {
    uint64_t value = (uint64_t)ns;
    if (value < 1 << SLOT_BITS) return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - SLOT_BITS;
    unsigned slot = (shift << SLOT_BITS) + (unsigned)(value >> shift);
    return slot < SLOTS ? slot : SLOTS - 1;
}

static void countAnswer(int64_t tookNs) {
    figures.done++;
    figures.latencies[slotOf(tookNs)]++;
    if (tookNs > figures.latencyMax) figures.latencyMax = tookNs;
}

static double percentileUs(double share) {
    long wanted = (long)((double)figures.done * share), seen = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        seen += figures.latencies[slot];
        if (seen <= wanted) continue;
        unsigned shift = slot >> SLOT_BITS > 1 ? (slot >> SLOT_BITS) - 1 : 0;
        return ((double)(slot - (shift << SLOT_BITS)) + 0.5) * (double)(1ull << shift) / 1e3;
    }
    return (double)figures.latencyMax / 1e3;
}

// Counts an error; the first is told in words.
static void complain(const char *what, const char *bytes, size_t count) {
    if (figures.errors++) return;
    fprintf(stderr, "%s: %.*s\n", what, (int)(count < 200 ? count : 200), bytes);
}

// The result; the value is the program's exit code.
static int report(int64_t tookNs) {
    printf("{\"requests\": %ld, \"seconds\": %.6f, \"errors\": %ld, \"bytes\": %lld, \"p50_us\": %.1f, \"p90_us\": %.1f, "
           "\"p99_us\": %.1f, \"max_us\": %.1f}\n",
           figures.done, (double)tookNs / 1e9, figures.errors, (long long)figures.bodyBytes, percentileUs(0.5),
           percentileUs(0.9), percentileUs(0.99), (double)figures.latencyMax / 1e3);
    return figures.errors || !figures.done;
}
