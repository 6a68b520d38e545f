// The load of the saturating rows: a closed loop of HTTP/1.1 requests to 127.0.0.1, as fast as the proxy answers, for
// less CPU than any proxy spends on them. A load that is the slower side leaves the proxy waiting, and a proxy that
// waits batches less and looks dearer per request than it is.
//
//   closed PORT PATH SECONDS CONNECTIONS [--close] [--post BYTES] [--routes COUNT HOSTS]
//
//   --close    a new connection for each request, which says "Connection: close"; latency includes the connect
//   --post     POST with a body of BYTES
//   --routes   spreads the requests over COUNT routes: hosts site0.test, site1.test, … and prefixes /p0/, /p1/, …
//              below each (the arithmetic of harness/peers.py); PATH is appended to the prefix
//
// What makes it cheap: one thread, edge-triggered epoll without any epoll_ctl after a connection was made, one recv and
// one send per small answer, bodies counted inside the kernel instead of copied out of it (MSG_TRUNC), a head that
// equals the one before it is not parsed again, and a scheduling class that is not woken before its turn.
//
// Every answer must be 200 with a Content-Length and exactly that many bytes behind it; anything else is an error (the
// first is told on standard error). What the bytes say is compared by harness/load.py around each measurement.
//
// After SECONDS nothing new is sent, and what is in flight is waited for and counted: CPU time of the proxy divided by
// the requests is then exact. One line of JSON on standard output; exit code 1 when any request failed.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES_MAX 4096
#define DISCARD_BYTES_MAX (1024 * 1024)
#define EVENTS_MAX 256
#define SILENCE_MS 10000
#define ROUTE_STRIDE 37 // prime to any number of routes used: neighbours in time are not neighbours in the table
#define SLOT_BITS 7     // 128 slots per power of two: under 1 % of error
#define SLOTS (48 << SLOT_BITS)

struct request {
    char *bytes;
    size_t count;
};

struct connection {
    int fd;
    int closing;       // the answer says "Connection: close"
    int64_t sentAt;    // when its request was due: at once after the answer before it
    int64_t bodyLeft;  // -1 while the head is being read
    const char *unsent; // rest of a request after a short write
    size_t unsentCount;
    size_t headCount; // bytes of an unfinished head
    char head[HEAD_BYTES_MAX];
};

// The last head that was parsed and what it said. Heads of one row differ only when the second of their Date does.
static struct {
    size_t count;
    int64_t bodyBytes;
    int closing;
    char bytes[HEAD_BYTES_MAX];
} known;

static struct request *requests;
static long requestCount = 1, requestNext;
static char scratch[DISCARD_BYTES_MAX]; // discarded bytes never reach it
static struct sockaddr_in target;
static int poller, closeEach, posting;
static long done, errors, inFlight;
static int64_t bodyBytes, deadline;
static uint32_t latencies[SLOTS];
static int64_t latencyMax;

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

static double percentileUs(double share) {
    long wanted = (long)((double)done * share), seen = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        seen += latencies[slot];
        if (seen <= wanted) continue;
        unsigned shift = slot >> SLOT_BITS > 1 ? (slot >> SLOT_BITS) - 1 : 0;
        return ((double)(slot - (shift << SLOT_BITS)) + 0.5) * (double)(1ull << shift) / 1e3;
    }
    return (double)latencyMax / 1e3;
}

static void complain(const char *what, const char *bytes, size_t count) {
    if (errors++) return;
    fprintf(stderr, "closed: %s: %.*s\n", what, (int)(count < 200 ? count : 200), bytes);
}

static void openConnection(struct connection *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS)) {
        perror("closed: connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); // the cheapest
    // A single request on a fresh connection is sent at once anyhow.
    int one = 1;
    if (!closeEach) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    // Room to write is of interest only to requests that do not fit the socket's buffer.
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (posting ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void push(struct connection *c) {
    ssize_t sent = send(c->fd, c->unsent, c->unsentCount, MSG_NOSIGNAL);
    if (sent == (ssize_t)c->unsentCount) {
        c->unsentCount = 0;
        return;
    }
    if (sent > 0) {
        c->unsent += sent;
        c->unsentCount -= (size_t)sent;
    }
    // A connection that is still being made, or one that was ended: the next event tells which.
    if (!posting) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    }
}

static void sendRequest(struct connection *c, int64_t at) {
    struct request *request = &requests[requestNext];
    requestNext = (requestNext + ROUTE_STRIDE) % requestCount;
    c->sentAt = at;
    c->bodyLeft = -1;
    c->headCount = 0;
    c->unsent = request->bytes;
    c->unsentCount = request->count;
    push(c);
}

// The connection's request was answered or failed: what comes next, on this connection or a new one.
static void proceed(struct connection *c, int64_t at, int reopen) {
    int more = at < deadline;
    if (reopen || !more) {
        close(c->fd);
        c->fd = -1;
        if (more) openConnection(c);
    }
    if (more) {
        sendRequest(c, at);
    } else {
        inFlight--;
    }
}

static void fail(struct connection *c, const char *what, const char *bytes, size_t count) {
    complain(what, bytes, count);
    proceed(c, now(), 1);
}

static void finish(struct connection *c) {
    int64_t at = now(), took = at - c->sentAt;
    latencies[slotOf(took)]++;
    if (took > latencyMax) latencyMax = took;
    done++;
    proceed(c, at, c->closing);
}

// Bytes of the head when it is complete and says what it must, 0 when it is not complete, -1 when it is wrong.
static ssize_t parseHead(const char *bytes, size_t count) {
    if (known.count && count >= known.count && !memcmp(bytes, known.bytes, known.count)) return (ssize_t)known.count;
    const char *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end) return count < HEAD_BYTES_MAX - 1 ? 0 : -1;
    size_t length = (size_t)(end - bytes) + 4;
    if (length >= HEAD_BYTES_MAX || length < 16 || memcmp(bytes, "HTTP/1.1 200", 12)) return -1;
    memcpy(known.bytes, bytes, length);
    known.bytes[length] = 0;
    const char *field = strcasestr(known.bytes, "\r\ncontent-length:");
    known.count = 0;
    if (!field) return -1;
    known.bodyBytes = strtoll(field + 17, NULL, 10);
    known.closing = closeEach || strcasestr(known.bytes, "\r\nconnection: close") != NULL;
    known.count = length;
    return (ssize_t)length;
}

// Takes in what `recv` brought while a head was expected; 1 when the connection's answer goes on.
static int takeHead(struct connection *c, const char *bytes, size_t count) {
    if (c->headCount) {
        size_t room = HEAD_BYTES_MAX - 1 - c->headCount;
        if (count > room) return fail(c, "head too long", c->head, c->headCount), 0;
        memcpy(c->head + c->headCount, bytes, count);
        bytes = c->head;
        count += c->headCount;
    }
    ssize_t head = parseHead(bytes, count);
    if (head < 0) return fail(c, "answer", bytes, count), 0;
    if (head == 0) {
        if (bytes != c->head) memcpy(c->head, bytes, count);
        c->headCount = count;
        return 1;
    }
    c->closing = known.closing;
    c->bodyLeft = known.bodyBytes - (int64_t)(count - (size_t)head);
    bodyBytes += known.bodyBytes;
    if (c->bodyLeft < 0) return fail(c, "bytes after the answer", bytes, count), 0;
    if (c->bodyLeft == 0) return finish(c), 0;
    return 1;
}

static void handle(struct connection *c, uint32_t events) {
    if (c->unsentCount && (events & EPOLLOUT)) push(c);
    if (!(events & ~(uint32_t)EPOLLOUT)) return;
    for (;;) {
        int head = c->bodyLeft < 0;
        size_t asked = head ? HEAD_BYTES_MAX - 1
                            : (size_t)(c->bodyLeft < DISCARD_BYTES_MAX ? c->bodyLeft : DISCARD_BYTES_MAX);
        ssize_t got = recv(c->fd, scratch, asked, head ? 0 : MSG_TRUNC);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return fail(c, got ? strerror(errno) : "connection ended", c->head, c->headCount);
        if (head) {
            if (!takeHead(c, scratch, (size_t)got)) return;
        } else {
            c->bodyLeft -= got;
            if (c->bodyLeft == 0) return finish(c);
        }
        // A short read emptied the socket: the next bytes make the next event. An end already seen makes none.
        if ((size_t)got < asked && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    }
}

static void buildRequests(const char *path, long routes, long hosts, size_t postBytes) {
    requestCount = routes ? routes : 1;
    requests = calloc((size_t)requestCount, sizeof *requests);
    if (!requests) exit(1);
    for (long i = 0; i < requestCount; i++) {
        char host[64], prefix[64] = "";
        snprintf(host, sizeof host, "127.0.0.1:%d", ntohs(target.sin_port));
        if (routes) {
            snprintf(host, sizeof host, "site%ld.test", i / (routes / hosts));
            snprintf(prefix, sizeof prefix, "/p%ld", i % (routes / hosts));
        }
        char sized[64] = "";
        if (postBytes) snprintf(sized, sizeof sized, "Content-Length: %zu\r\n", postBytes);
        char *bytes = malloc(1024 + strlen(path) + postBytes);
        if (!bytes) exit(1);
        int count = sprintf(bytes, "%s %s%s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", postBytes ? "POST" : "GET", prefix, path,
                            host, closeEach ? "Connection: close\r\n" : "", sized);
        memset(bytes + count, 'x', postBytes);
        requests[i] = (struct request){bytes, (size_t)count + postBytes};
    }
}

static int run(double seconds, long connections) {
    struct connection *all = calloc((size_t)connections, sizeof *all);
    if (!all) return 1;
    for (long i = 0; i < connections; i++) openConnection(&all[i]);
    int64_t start = now();
    deadline = start + (int64_t)(seconds * 1e9);
    inFlight = connections;
    for (long i = 0; i < connections; i++) sendRequest(&all[i], start);
    static struct epoll_event events[EVENTS_MAX];
    while (inFlight > 0) {
        int count = epoll_wait(poller, events, EVENTS_MAX, SILENCE_MS);
        if (count == 0) {
            complain("no answer for 10 s", "", 0);
            break;
        }
        for (int i = 0; i < count; i++) handle(events[i].data.ptr, events[i].events);
    }
    printf("{\"requests\": %ld, \"seconds\": %.6f, \"errors\": %ld, \"bytes\": %lld, \"p50_us\": %.1f, \"p90_us\": %.1f, "
           "\"p99_us\": %.1f, \"max_us\": %.1f}\n",
           done, (double)(now() - start) / 1e9, errors, (long long)bodyBytes, percentileUs(0.5), percentileUs(0.9),
           percentileUs(0.99), (double)latencyMax / 1e3);
    return errors || !done;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: closed PORT PATH SECONDS CONNECTIONS ... (see the head of closed.c)\n");
        return 2;
    }
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    long routes = 0, hosts = 1;
    size_t postBytes = 0;
    for (int i = 5; i < argc; i++) {
        if (!strcmp(argv[i], "--close")) {
            closeEach = 1;
        } else if (!strcmp(argv[i], "--post") && i + 1 < argc) {
            postBytes = strtoul(argv[++i], NULL, 10);
            posting = 1;
        } else if (!strcmp(argv[i], "--routes") && i + 2 < argc) {
            routes = atol(argv[++i]);
            hosts = atol(argv[++i]);
        } else {
            fprintf(stderr, "closed: unknown argument %s\n", argv[i]);
            return 2;
        }
    }
    if (hosts < 1 || routes % hosts) return 2;
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    // Whoever the proxy wakes waits for the other's batch to end instead of cutting it up: no switch per request.
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){.sched_priority = 0});
    buildRequests(argv[2], routes, hosts, postBytes);
    poller = epoll_create1(EPOLL_CLOEXEC);
    return run(atof(argv[3]), atol(argv[4]));
}
