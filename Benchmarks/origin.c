// A small HTTP/1.1 origin for the benchmarks, so cheap that it never becomes what is measured: one thread, answers built
// before the first connection, edge-triggered epoll with one epoll_ctl per connection, one recv and one send per small
// exchange, request bodies thrown away inside the kernel (MSG_TRUNC), a head that equals the one before it not parsed
// again.
//
// The last path segment chooses the answer: /128, /16k, /1m, and /json for 32 KiB of something that compresses (whatever
// stands before it is ignored, so that routing tables can be exercised). Request bodies with Content-Length are read and
// thrown away before the answer is sent.
// Anything it does not understand (chunked requests, unknown sizes, heads over 16 KiB) is answered 400 and closed,
// so that a wrong benchmark fails instead of measuring something else.
//
// It does not defend itself against anybody: only for 127.0.0.1.
//
//   origin PORT        listens on 127.0.0.1:PORT (0 picks one), prints "listening PORT"

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
#include <unistd.h>

#define HEAD_BYTES_MAX (16 * 1024)
#define DISCARD_BYTES_MAX (1024 * 1024)
#define EVENTS_MAX 256

struct answer {
    char *bytes;
    size_t count;
};

struct connection {
    int fd;
    int closing;               // close once what is pending has been sent
    int readable;              // bytes may wait: an event came while an answer was pending
    size_t bodyLeft;           // request body bytes still to be thrown away
    const struct answer *owed; // the answer to send when bodyLeft reaches 0
    const char *pending;       // rest of an answer after a short write
    size_t pendingCount;
    char *partial; // an unfinished head, NULL nearly always
    size_t partialCount;
};

// The last head and what it asked for: in most rows all heads are the same.
static struct {
    size_t count;
    size_t bodyBytes;
    const struct answer *answer;
    int closing;
    char bytes[HEAD_BYTES_MAX];
} known;

static struct answer small, medium, large, records, refusal;
static char scratch[DISCARD_BYTES_MAX]; // discarded bytes never reach it
static int poller;

static struct answer answerWith(const char *body, size_t bodyCount, const char *type) {
    struct answer answer;
    answer.bytes = malloc(bodyCount + 256);
    if (!answer.bytes) exit(1);
    int head = snprintf(answer.bytes, 256,
                        "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", type,
                        bodyCount);
    memcpy(answer.bytes + head, body, bodyCount);
    answer.count = (size_t)head + bodyCount;
    return answer;
}

// The body is a repeated 64-byte ruler, so that lost, doubled or shifted bytes show when it is compared.
static struct answer rulerOf(size_t bodyCount) {
    static const char ruler[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";
    for (size_t i = 0; i < bodyCount; i++) scratch[i] = ruler[i % 64];
    return answerWith(scratch, bodyCount, "text/plain");
}

// JSON as an interface answers it: equal keys, values that differ. The same bytes in each run.
static struct answer recordsOf(size_t bodyCount) {
    static const char *const words[] = {"amber", "basalt", "cedar", "delta", "ember", "fjord", "grove", "harbour"};
    uint32_t random = 1;
    size_t count = 0;
    scratch[count++] = '[';
    for (int id = 1; count + 512 < bodyCount; id++) {
        uint32_t values[4];
        for (int i = 0; i < 4; i++) values[i] = (random = random * 1664525 + 1013904223) >> 8;
        count += (size_t)sprintf(scratch + count,
                                 "{\"id\":%d,\"name\":\"%s %s\",\"email\":\"%s.%u@example.com\",\"active\":%s,"
                                 "\"balance\":%u.%02u,\"token\":\"%06x%06x\"},",
                                 id, words[values[0] % 8], words[values[1] % 8], words[values[2] % 8], values[0] % 10000,
                                 values[1] % 3 ? "true" : "false", values[2] % 100000, values[3] % 100, values[2],
                                 values[3]);
    }
    count += (size_t)sprintf(scratch + count, "{\"rest\":\"");
    while (count + 3 < bodyCount) scratch[count++] = '.';
    memcpy(scratch + count, "\"}]", 3);
    return answerWith(scratch, bodyCount, "application/json");
}

static void closeConnection(struct connection *c) {
    close(c->fd); // leaves the poller by itself
    free(c->partial);
    free(c);
}

// Sends what is pending; 0 when the connection is gone, 1 when all or as much as fits is out.
static int push(struct connection *c) {
    while (c->pendingCount > 0) {
        ssize_t sent = send(c->fd, c->pending, c->pendingCount, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return 1;
            closeConnection(c);
            return 0;
        }
        c->pending += sent;
        c->pendingCount -= (size_t)sent;
    }
    if (c->closing) {
        closeConnection(c);
        return 0;
    }
    return 1;
}

// What a head asks for, into `known`. The head ends with the empty line.
static void readHead(const char *head, size_t count) {
    known.answer = &refusal;
    known.bodyBytes = 0;
    known.closing = 1;
    known.count = count;
    memcpy(known.bytes, head, count);
    const char *end = head + count, *line = memchr(head, '\n', count);
    if (!line) return;
    const char *space = memrchr(head, ' ', (size_t)(line - head));
    const char *slash = space ? memrchr(head, '/', (size_t)(space - head)) : NULL;
    if (slash) {
        size_t length = (size_t)(space - slash - 1);
        if (length == 3 && !memcmp(slash + 1, "128", 3)) known.answer = &small;
        if (length == 3 && !memcmp(slash + 1, "16k", 3)) known.answer = &medium;
        if (length == 2 && !memcmp(slash + 1, "1m", 2)) known.answer = &large;
        if (length == 4 && !memcmp(slash + 1, "json", 4)) known.answer = &records;
    }
    int sized = head[0] != 'P';
    known.closing = 0;
    while (line && ++line < end) {
        if ((*line | 0x20) == 'c') {
            size_t left = (size_t)(end - line);
            if (left > 15 && !strncasecmp(line, "content-length:", 15)) {
                known.bodyBytes = strtoul(line + 15, NULL, 10);
                sized = 1;
            }
            if (left > 17 && !strncasecmp(line, "connection: close", 17)) known.closing = 1;
        }
        line = memchr(line, '\n', (size_t)(end - line));
    }
    if (!sized) known.answer = &refusal;
    if (known.answer == &refusal) known.closing = 1;
}

// Answers what is complete in the bytes; 0 when the connection is gone.
static int consume(struct connection *c, const char *bytes, size_t count) {
    for (;;) {
        if (!c->owed) {
            if (count == 0) return 1;
            if (!known.count || count < known.count || memcmp(bytes, known.bytes, known.count)) {
                const char *end = memmem(bytes, count, "\r\n\r\n", 4);
                size_t head = end ? (size_t)(end - bytes) + 4 : count;
                if (head > HEAD_BYTES_MAX || (!end && head == HEAD_BYTES_MAX)) {
                    closeConnection(c);
                    return 0;
                }
                if (!end) break;
                readHead(bytes, head);
            }
            bytes += known.count;
            count -= known.count;
            c->owed = known.answer;
            c->bodyLeft = known.bodyBytes;
            c->closing = known.closing;
        }
        size_t body = c->bodyLeft < count ? c->bodyLeft : count;
        c->bodyLeft -= body;
        bytes += body;
        count -= body;
        if (c->bodyLeft > 0) return 1;
        c->pending = c->owed->bytes;
        c->pendingCount = c->owed->count;
        c->owed = NULL;
        if (!push(c)) return 0;
        if (c->pendingCount > 0 && count > 0) {
            // Only a proxy that pipelines behind a large answer gets here; the benchmarks know none.
            closeConnection(c);
            return 0;
        }
    }
    c->partial = malloc(count);
    if (!c->partial) exit(1);
    memcpy(c->partial, bytes, count);
    c->partialCount = count;
    return 1;
}

static void readable(struct connection *c, uint32_t events) {
    for (;;) {
        if (c->pendingCount > 0) {
            c->readable = 1;
            return;
        }
        int body = c->owed != NULL;
        size_t kept = c->partial ? c->partialCount : 0;
        size_t asked = body ? c->bodyLeft : HEAD_BYTES_MAX;
        if (asked > DISCARD_BYTES_MAX) asked = DISCARD_BYTES_MAX;
        ssize_t got = recv(c->fd, scratch + kept, asked, body ? MSG_TRUNC : 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return closeConnection(c);
        if (body) {
            c->bodyLeft -= (size_t)got;
            if (c->bodyLeft == 0 && !consume(c, scratch, 0)) return;
        } else {
            if (kept) {
                memcpy(scratch, c->partial, kept);
                free(c->partial);
                c->partial = NULL;
            }
            if (!consume(c, scratch, kept + (size_t)got)) return;
        }
        // A short read emptied the socket: the next bytes make the next event. An end already seen makes none.
        if ((size_t)got < asked && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    }
}

static void handle(struct connection *c, uint32_t events) {
    if (c->pendingCount > 0 && (events & EPOLLOUT)) {
        if (!push(c)) return;
        if (c->pendingCount == 0 && c->readable) {
            c->readable = 0;
            events |= EPOLLIN | EPOLLRDHUP; // whatever came meanwhile, an end included
        }
    }
    if (events & ~(uint32_t)EPOLLOUT) readable(c, events);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: origin PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    small = rulerOf(128);
    medium = rulerOf(16 * 1024);
    large = rulerOf(1024 * 1024);
    records = recordsOf(32 * 1024);
    refusal.bytes = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    refusal.count = strlen(refusal.bytes);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("origin: bind");
        return 1;
    }
    setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); // the cheapest; connections inherit it
    socklen_t length = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);

    // Whoever the proxy wakes waits for the other's batch to end instead of cutting it up: no switch per request.
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){.sched_priority = 0});
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    static struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (c) {
                handle(c, events[i].events);
                continue;
            }
            for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0) break;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                c = calloc(1, sizeof *c);
                if (!c) exit(1);
                c->fd = fd;
                event = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
                epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
