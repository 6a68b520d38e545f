// The load of the saturating rows: a closed loop of HTTP/1.1 requests to 127.0.0.1, as fast as the proxy answers, for
// less CPU than any proxy spends on them. A load that is the slower side leaves the proxy waiting, and a proxy that
// waits batches less and looks dearer per request than it is.
//
//   closed PORT PATH SECONDS CONNECTIONS [OPTION...]
//
//   --close                a new connection for each request, which says "Connection: close"; latency includes it
//   --post BYTES           POST with a body of BYTES
//   --routes COUNT HOSTS   spreads the requests over COUNT routes: hosts site0.test, site1.test, … and prefixes /p0/,
//                          /p1/, … below each (the arithmetic of harness/peers.py); PATH is appended to the prefix
//   --field LINE           one more field in each request
//   --expect LINE          a field every answer must have, e.g. "content-encoding: gzip"
//   --tls                  TLS 1.3, always TLS_AES_128_GCM_SHA256 and X25519, so that all peers do the same sums; with
//                          --close a full handshake for each request. Certificates are not verified.
//   --resume               --tls --close, but every connection resumes the newest session there is
//   --hold                 opens CONNECTIONS connections, makes one request on each, prints "ready", waits until
//                          standard input ends, then reports how many the other side still holds open
//
// What makes it cheap: one thread, edge-triggered epoll without any epoll_ctl after a connection was made, one recv and
// one send per small answer, bodies counted inside the kernel instead of copied out of it (MSG_TRUNC), a head that
// equals the one before it is not parsed again, and a scheduling class that is not woken before its turn.
//
// Every answer must be 200 with a Content-Length and exactly that many bytes behind it, or whole chunks; anything else
// is an error (the first is told on standard error). What the bytes say is compared by harness/load.py around each
// measurement.
//
// After SECONDS nothing new is sent, and what is in flight is waited for and counted: CPU time of the proxy divided by
// the requests is then exact. One line of JSON on standard output; exit code 1 when any request failed.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "figures.h"
#include "secure.h"

#define HEAD_BYTES_MAX 4096
#define SCRATCH_BYTES (1024 * 1024)
#define EVENTS_MAX 256
#define SILENCE_MS 10000
#define OPENING_MAX 64  // `--hold`: requests in flight at once
#define ROUTE_STRIDE 37 // prime to any number of routes used: neighbours in time are not neighbours in the table
#define HEAD_EXPECTED (-1)
#define CHUNKED (-2)

enum progress { unfinished, finished, broken };
enum chunkPart { chunkSize, chunkSizeRest, chunkData, chunkDataEnd, chunkTrailer };

struct request {
    char *bytes;
    size_t count;
};

struct connection {
    int fd;
    SSL *tls;
    int checked;        // what was negotiated is what was asked for
    int resuming;       // it offered a session
    int closing;        // the answer says "Connection: close"
    int64_t sentAt;     // when its request was due: at once after the answer before it
    int64_t bodyLeft;   // or HEAD_EXPECTED or CHUNKED
    const char *unsent; // rest of a request after a short write
    size_t unsentCount;
    enum chunkPart part;
    size_t chunkLeft, lineCount;
    size_t headCount; // bytes of an unfinished head
    char head[HEAD_BYTES_MAX];
};

// The last head that was parsed and what it said. Heads of one row differ only when the second of their Date does.
static struct {
    size_t count;
    int64_t bodyBytes; // or CHUNKED
    int closing;
    char bytes[HEAD_BYTES_MAX];
} known;

static struct {
    int close, hold, post, tls, resume;
    long routes, hosts;
    size_t postBytes;
    const char *field, *expect;
} options = {.hosts = 1, .field = ""};

static struct connection *all;
static long connectionCount, opened, inFlight;
static struct request *requests;
static long requestCount = 1, requestNext;
static char scratch[SCRATCH_BYTES]; // bodies counted in the kernel never reach it
static struct sockaddr_in target;
static int poller;
static int64_t deadline;

static void openConnection(struct connection *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS)) {
        perror("closed: connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); // the cheapest
    // A single request on a fresh connection is sent at once anyhow, unless a handshake went before it.
    int one = 1;
    if (!options.close || secure) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (secure) {
        c->tls = newTLS(c->fd);
        c->resuming = session != NULL;
        c->checked = 0;
    }
    // Room to write is of interest only to requests that do not fit the socket's buffer.
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (options.post ? EPOLLOUT : 0),
                                .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void closeConnection(struct connection *c) {
    if (c->tls) {
        freeTLS(c->tls);
        c->tls = NULL;
    }
    close(c->fd);
    c->fd = -1;
}

// Sends what is unsent, after the handshake. Whatever hinders it shows when the connection is read next.
static void push(struct connection *c) {
    ssize_t sent = c->tls ? writeTLS(c->tls, c->unsent, c->unsentCount)
                          : send(c->fd, c->unsent, c->unsentCount, MSG_NOSIGNAL);
    if (sent > 0) {
        c->unsent += sent;
        c->unsentCount -= (size_t)sent;
    }
    // A plain connection that is still being made.
    if (c->unsentCount && !options.post && !c->tls) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    }
}

// Like recv into scratch; `discard` only counts the bytes where it can.
static ssize_t receive(struct connection *c, size_t asked, int discard) {
    return c->tls ? readTLS(c->tls, scratch, asked) : recv(c->fd, scratch, asked, discard ? MSG_TRUNC : 0);
}

static void sendRequest(struct connection *c, int64_t at) {
    struct request *request = &requests[requestNext];
    requestNext = (requestNext + ROUTE_STRIDE) % requestCount;
    c->sentAt = at;
    c->bodyLeft = HEAD_EXPECTED;
    c->headCount = 0;
    c->unsent = request->bytes;
    c->unsentCount = request->count;
    push(c);
}

// The connection's request was answered or failed: what comes next, on this connection or a new one.
static void proceed(struct connection *c, int64_t at, int reopen) {
    if (options.hold) {
        if (reopen) closeConnection(c);
        if (opened == connectionCount) {
            inFlight--;
        } else {
            c = &all[opened++];
            openConnection(c);
            sendRequest(c, at);
        }
        return;
    }
    int more = at < deadline;
    if (reopen || !more) {
        closeConnection(c);
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
    int64_t at = now();
    countAnswer(at - c->sentAt);
    proceed(c, at, c->closing);
}

// Bytes of the head when it is complete and says what it must, 0 when it is not complete, -1 when it is wrong.
static ssize_t parseHead(const char *bytes, size_t count) {
    if (known.count && count >= known.count && !memcmp(bytes, known.bytes, known.count)) return (ssize_t)known.count;
    const char *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end) return count < HEAD_BYTES_MAX - 1 ? 0 : -1;
    size_t length = (size_t)(end - bytes) + 4;
    known.count = 0;
    if (length >= HEAD_BYTES_MAX || length < 16 || memcmp(bytes, "HTTP/1.1 200", 12)) return -1;
    memcpy(known.bytes, bytes, length);
    known.bytes[length] = 0;
    const char *field = strcasestr(known.bytes, "\r\ncontent-length:");
    if (field) {
        known.bodyBytes = strtoll(field + 17, NULL, 10);
    } else if (strcasestr(known.bytes, "\r\ntransfer-encoding: chunked\r\n")) {
        known.bodyBytes = CHUNKED;
    } else {
        return -1;
    }
    if (options.expect && !strcasestr(known.bytes, options.expect)) return -1;
    known.closing = options.close || strcasestr(known.bytes, "\r\nconnection: close") != NULL;
    known.count = length;
    return (ssize_t)length;
}

// RFC 9112 section 7.1; trailers are skipped.
static enum progress takeChunks(struct connection *c, const char *bytes, size_t count) {
    for (const char *end = bytes + count; bytes < end;) {
        if (c->part == chunkData) {
            size_t taken = (size_t)(end - bytes) < c->chunkLeft ? (size_t)(end - bytes) : c->chunkLeft;
            bytes += taken;
            c->chunkLeft -= taken;
            figures.bodyBytes += (int64_t)taken;
            if (c->chunkLeft == 0) c->part = chunkDataEnd;
            continue;
        }
        char byte = *bytes++;
        switch (c->part) {
        case chunkSize:
            if (isxdigit((unsigned char)byte)) {
                int digit = isdigit((unsigned char)byte) ? byte - '0' : (byte | 0x20) - 'a' + 10;
                c->chunkLeft = c->chunkLeft * 16 + (size_t)digit;
                if (c->chunkLeft > 1 << 30) return broken;
                break;
            }
            c->part = chunkSizeRest;
            // fall through
        case chunkSizeRest:
            c->lineCount = 0;
            if (byte == '\n') c->part = c->chunkLeft ? chunkData : chunkTrailer;
            break;
        case chunkDataEnd:
            if (byte != '\r' && byte != '\n') return broken;
            if (byte == '\n') c->part = chunkSize;
            break;
        default:
            if (byte == '\n' && c->lineCount == 0) return bytes == end ? finished : broken;
            c->lineCount = byte == '\n' ? 0 : c->lineCount + (byte != '\r');
        }
    }
    return unfinished;
}

// Takes in what was received while a head was expected; 1 when the connection's answer goes on.
static int takeHead(struct connection *c, const char *bytes, size_t count) {
    if (c->tls && !c->checked) {
        if (SSL_version(c->tls) != TLS1_3_VERSION) return fail(c, "not TLS 1.3", "", 0), 0;
        if (c->resuming && !SSL_session_reused(c->tls)) return fail(c, "session was not resumed", "", 0), 0;
        c->checked = 1;
    }
    if (c->headCount) {
        size_t room = HEAD_BYTES_MAX - 1 - c->headCount;
        if (count > room) return fail(c, "head too long", c->head, c->headCount), 0;
        memcpy(c->head + c->headCount, bytes, count);
        bytes = c->head;
        count += c->headCount;
    }
    ssize_t head = parseHead(bytes, count);
    if (head < 0) return fail(c, "wrong answer", bytes, count), 0;
    if (head == 0) {
        if (bytes != c->head) memcpy(c->head, bytes, count);
        c->headCount = count;
        return 1;
    }
    c->closing = known.closing;
    c->bodyLeft = known.bodyBytes;
    if (c->bodyLeft == CHUNKED) {
        c->part = chunkSize;
        c->chunkLeft = 0;
        enum progress progress = takeChunks(c, bytes + head, count - (size_t)head);
        if (progress == broken) return fail(c, "wrong chunks", bytes, count), 0;
        if (progress == finished) return finish(c), 0;
        return 1;
    }
    figures.bodyBytes += c->bodyLeft;
    c->bodyLeft -= (int64_t)(count - (size_t)head);
    if (c->bodyLeft < 0) return fail(c, "bytes after the answer", bytes, count), 0;
    if (c->bodyLeft == 0) return finish(c), 0;
    return 1;
}

static void handle(struct connection *c, uint32_t events) {
    if (c->unsentCount && (c->tls || (events & EPOLLOUT))) push(c);
    if (!(events & ~(uint32_t)EPOLLOUT)) return;
    for (;;) {
        int counted = c->bodyLeft >= 0;
        size_t asked = c->bodyLeft == HEAD_EXPECTED ? HEAD_BYTES_MAX - 1 : SCRATCH_BYTES;
        if (counted && (size_t)c->bodyLeft < asked) asked = (size_t)c->bodyLeft;
        ssize_t got = receive(c, asked, counted);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return fail(c, got ? strerror(errno) : "connection ended", c->head, c->headCount);
        if (counted) {
            c->bodyLeft -= got;
            if (c->bodyLeft == 0) return finish(c);
        } else if (c->bodyLeft == CHUNKED) {
            enum progress progress = takeChunks(c, scratch, (size_t)got);
            if (progress == broken) return fail(c, "wrong chunks", scratch, (size_t)got);
            if (progress == finished) return finish(c);
        } else if (!takeHead(c, scratch, (size_t)got)) {
            return;
        }
        // A short read emptied the socket: the next bytes make the next event. An end already seen makes none, and
        // with TLS a read ends with each record.
        if ((size_t)got < asked && !c->tls && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    }
}

static void loop(void) {
    static struct epoll_event events[EVENTS_MAX];
    while (inFlight > 0) {
        int count = epoll_wait(poller, events, EVENTS_MAX, SILENCE_MS);
        if (count == 0) return complain("no answer for 10 s", "", 0);
        for (int i = 0; i < count; i++) handle(events[i].data.ptr, events[i].events);
    }
}

static void begin(long connections) {
    inFlight = opened = connections;
    for (long i = 0; i < connections; i++) openConnection(&all[i]);
    int64_t at = now();
    for (long i = 0; i < connections; i++) sendRequest(&all[i], at);
}

static int hold(void) {
    begin(connectionCount < OPENING_MAX ? connectionCount : OPENING_MAX);
    loop();
    printf("ready\n");
    fflush(stdout);
    while (read(0, scratch, sizeof scratch) > 0) {}
    long open = 0;
    for (long i = 0; i < connectionCount; i++) {
        struct pollfd state = {.fd = all[i].fd, .events = POLLRDHUP};
        open += all[i].fd >= 0 && poll(&state, 1, 0) == 0;
    }
    printf("{\"requests\": %ld, \"errors\": %ld, \"open\": %ld}\n", figures.done, figures.errors, open);
    return figures.errors != 0;
}

static int run(double seconds) {
    if (options.resume) {
        begin(1); // the deadline has passed already: one request and no more
        loop();
        if (!session || figures.errors) return fprintf(stderr, "closed: no session to resume\n"), 1;
        memset(&figures, 0, sizeof figures);
    }
    int64_t start = now();
    deadline = start + (int64_t)(seconds * 1e9);
    begin(connectionCount);
    loop();
    return report(now() - start);
}

static void buildRequests(const char *path) {
    requestCount = options.routes ? options.routes : 1;
    requests = calloc((size_t)requestCount, sizeof *requests);
    if (!requests) exit(1);
    for (long i = 0; i < requestCount; i++) {
        char host[64], prefix[64] = "", sized[64] = "";
        snprintf(host, sizeof host, "127.0.0.1:%d", ntohs(target.sin_port));
        if (options.routes) {
            long prefixes = options.routes / options.hosts;
            snprintf(host, sizeof host, "site%ld.test", i / prefixes);
            snprintf(prefix, sizeof prefix, "/p%ld", i % prefixes);
        }
        if (options.post) snprintf(sized, sizeof sized, "Content-Length: %zu\r\n", options.postBytes);
        char *bytes = malloc(1024 + strlen(path) + strlen(options.field) + options.postBytes);
        if (!bytes) exit(1);
        int count = sprintf(bytes, "%s %s%s HTTP/1.1\r\nHost: %s\r\n%s%s%s%s\r\n", options.post ? "POST" : "GET", prefix,
                            path, host, options.close ? "Connection: close\r\n" : "", sized, options.field,
                            *options.field ? "\r\n" : "");
        memset(bytes + count, 'x', options.postBytes);
        requests[i] = (struct request){bytes, (size_t)count + options.postBytes};
    }
}

static int parseOptions(int argc, char **argv) {
    for (int i = 5; i < argc; i++) {
        if (!strcmp(argv[i], "--close")) {
            options.close = 1;
        } else if (!strcmp(argv[i], "--hold")) {
            options.hold = 1;
        } else if (!strcmp(argv[i], "--post") && i + 1 < argc) {
            options.postBytes = strtoul(argv[++i], NULL, 10);
            options.post = 1;
        } else if (!strcmp(argv[i], "--routes") && i + 2 < argc) {
            options.routes = atol(argv[++i]);
            options.hosts = atol(argv[++i]);
        } else if (!strcmp(argv[i], "--field") && i + 1 < argc) {
            options.field = argv[++i];
        } else if (!strcmp(argv[i], "--expect") && i + 1 < argc) {
            options.expect = argv[++i];
        } else if (!strcmp(argv[i], "--tls") || !strcmp(argv[i], "--resume")) {
            options.tls = 1;
            options.resume = !strcmp(argv[i], "--resume");
            options.close |= options.resume;
        } else {
            fprintf(stderr, "closed: unknown argument %s\n", argv[i]);
            return 0;
        }
    }
    return options.hosts > 0 && options.routes % options.hosts == 0;
}

int main(int argc, char **argv) {
    if (argc < 5 || !parseOptions(argc, argv)) {
        fprintf(stderr, "usage: closed PORT PATH SECONDS CONNECTIONS [OPTION...] (see the head of closed.c)\n");
        return 2;
    }
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connectionCount = atol(argv[4]);
    all = calloc((size_t)connectionCount, sizeof *all);
    if (!all) return 1;
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    // Whoever the proxy wakes waits for the other's batch to end instead of cutting it up: no switch per request.
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){.sched_priority = 0});
    if (options.tls) setUpTLS(options.resume, options.hold, !options.close);
    buildRequests(argv[2]);
    poller = epoll_create1(EPOLL_CLOEXEC);
    return options.hold ? hold() : run(atof(argv[3]));
}
