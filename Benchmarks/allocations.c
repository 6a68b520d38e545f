// Counts heap calls of a program it is preloaded into (LD_PRELOAD), for Benchmarks/allocations.
//
// The counters live in the file named by ALLOCATIONS_FILE, mapped shared, so that they can be read from outside at any
// moment without a signal or a cooperation of the program. Counting starts when the library is loaded; calls made
// before the file is mapped are counted in a static block and moved over.
//
// It calls glibc's own entry points (__libc_malloc and so on) instead of dlsym, which itself allocates.
// It does not see memory taken with mmap, nor calls inside glibc that bypass the symbol table.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

// The order is known to Benchmarks/allocations: eight 64-bit counters.
struct counters {
    _Atomic uint64_t mallocs, callocs, reallocs, aligned, frees, bytes, spare0, spare1;
};

static struct counters early;
static struct counters *counters = &early;

static void add(_Atomic uint64_t *counter, uint64_t by) { atomic_fetch_add_explicit(counter, by, memory_order_relaxed); }

__attribute__((constructor)) static void mapCounters(void) {
    const char *path = getenv("ALLOCATIONS_FILE");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (ftruncate(fd, sizeof(struct counters)) == 0) {
        struct counters *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shared != MAP_FAILED) {
            add(&shared->mallocs, early.mallocs);
            add(&shared->callocs, early.callocs);
            add(&shared->frees, early.frees);
            counters = shared;
        }
    }
    close(fd);
}

void *malloc(size_t count) {
    add(&counters->mallocs, 1);
    add(&counters->bytes, count);
    return __libc_malloc(count);
}

void *calloc(size_t elements, size_t size) {
    add(&counters->callocs, 1);
    add(&counters->bytes, elements * size);
    return __libc_calloc(elements, size);
}

void *realloc(void *old, size_t count) {
    add(&counters->reallocs, 1);
    add(&counters->bytes, count);
    return __libc_realloc(old, count);
}

void *memalign(size_t alignment, size_t count) {
    add(&counters->aligned, 1);
    add(&counters->bytes, count);
    return __libc_memalign(alignment, count);
}

void *aligned_alloc(size_t alignment, size_t count) { return memalign(alignment, count); }

int posix_memalign(void **result, size_t alignment, size_t count) {
    if (alignment < sizeof(void *) || (alignment & (alignment - 1))) return EINVAL;
    void *block = memalign(alignment, count);
    if (!block) return ENOMEM;
    *result = block;
    return 0;
}

void free(void *block) {
    if (block) add(&counters->frees, 1);
    __libc_free(block);
}
