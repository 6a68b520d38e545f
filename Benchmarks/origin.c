// A small HTTP/1.1 origin for the benchmarks: one thread, level-triggered epoll, answers built before the first
// connection, so that it costs far less than any proxy in front of it and never becomes what is measured.
//
// The last path segment chooses the answer: /128, /16k, /1m (whatever stands before it is ignored, so that routing
// tables can be exercised). Request bodies with Content-Length are read and thrown away before the answer is sent.
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define HEAD_BYTES_MAX (16 * 1024)
#define SCRATCH_BYTES (256 * 1024)
#define EVENTS_MAX 256

struct answer {
    char *bytes;
    size_t count;
};

struct connection {
    int fd;
    int closing;               // close once what is pending has been sent
    size_t bodyLeft;           // request body bytes still to be thrown away
    const struct answer *owed; // the answer to send when bodyLeft reaches 0
    const char *pending;       // rest of an answer after a short write
    size_t pendingCount;
    char *partial; // bytes not yet consumed, NULL nearly always
    size_t partialCount;
};

static struct answer small, medium, large, refusal;
static char scratch[SCRATCH_BYTES];
static int poller;

// The body is a repeated 64-byte ruler, so that lost, doubled or shifted bytes show when it is compared.
static struct answer answerOf(size_t bodyCount) {
    static const char ruler[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";
    struct answer answer;
    answer.bytes = malloc(bodyCount + 256);
    if (!answer.bytes) exit(1);
    int head = snprintf(answer.bytes, 256,
                        "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                        bodyCount);
    for (size_t i = 0; i < bodyCount; i++) answer.bytes[(size_t)head + i] = ruler[i % 64];
    answer.count = (size_t)head + bodyCount;
    return answer;
}

static void closeConnection(struct connection *c) {
    close(c->fd); // leaves the poller by itself
    free(c->partial);
    free(c);
}

static void watch(struct connection *c, int writing) {
    struct epoll_event event = {.events = writing ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

// Returns 0 when the connection is gone or must wait for room, 1 when the answer is out.
static int sendAnswer(struct connection *c, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(c->fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) {
                closeConnection(c);
                return 0;
            }
            int wasWaiting = c->pendingCount > 0;
            c->pending = bytes;
            c->pendingCount = count;
            if (!wasWaiting) watch(c, 1);
            return 0;
        }
        bytes += sent;
        count -= (size_t)sent;
    }
    if (c->closing) {
        closeConnection(c);
        return 0;
    }
    return 1;
}

// Fills in what a head asks for. `head` ends with the empty line.
static void readHead(struct connection *c, const char *head, size_t count) {
    c->owed = &refusal;
    c->bodyLeft = 0;
    const char *lineEnd = memchr(head, '\r', count);
    const char *space = lineEnd ? memrchr(head, ' ', (size_t)(lineEnd - head)) : NULL;
    const char *slash = space ? memrchr(head, '/', (size_t)(space - head)) : NULL;
    if (slash) {
        size_t length = (size_t)(space - slash - 1);
        if (length == 3 && !memcmp(slash + 1, "128", 3)) c->owed = &small;
        if (length == 3 && !memcmp(slash + 1, "16k", 3)) c->owed = &medium;
        if (length == 2 && !memcmp(slash + 1, "1m", 2)) c->owed = &large;
    }
    if (head[0] == 'P') {
        const char *line = lineEnd;
        int sized = 0;
        while (line && line + 2 < head + count) {
            line += 2;
            if (!strncasecmp(line, "content-length:", 15)) {
                c->bodyLeft = strtoul(line + 15, NULL, 10);
                sized = 1;
            }
            line = memmem(line, (size_t)(head + count - line), "\r\n", 2);
        }
        if (!sized) c->owed = &refusal;
    }
    if (c->owed == &refusal || memmem(head, count, "onnection: close", 16)) c->closing = 1;
}

// Consumes bytes; returns 0 when the connection is gone or its answer waits for room (the rest is then in `partial`).
static int consume(struct connection *c, const char *bytes, size_t count) {
    while (count > 0) {
        if (!c->owed) {
            const char *end = memmem(bytes, count, "\r\n\r\n", 4);
            if (!end) break;
            size_t head = (size_t)(end - bytes) + 4;
            readHead(c, bytes, head);
            bytes += head;
            count -= head;
        }
        size_t body = c->bodyLeft < count ? c->bodyLeft : count;
        c->bodyLeft -= body;
        bytes += body;
        count -= body;
        if (c->bodyLeft > 0) return 1;
        const struct answer *answer = c->owed;
        c->owed = NULL;
        if (!sendAnswer(c, answer->bytes, answer->count)) {
            // Only a proxy that pipelines leaves something here; the benchmarks know none.
            return 0;
        }
    }
    if (count == 0) return 1;
    if (count > HEAD_BYTES_MAX) {
        closeConnection(c);
        return 0;
    }
    c->partial = malloc(count);
    if (!c->partial) exit(1);
    memcpy(c->partial, bytes, count);
    c->partialCount = count;
    return 1;
}

static void readable(struct connection *c) {
    size_t kept = 0;
    if (c->partial) {
        kept = c->partialCount;
        memcpy(scratch, c->partial, kept);
        free(c->partial);
        c->partial = NULL;
    }
    ssize_t got = recv(c->fd, scratch + kept, SCRATCH_BYTES - kept, 0);
    if (got > 0) {
        consume(c, scratch, kept + (size_t)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        closeConnection(c);
    } else if (kept > 0) {
        consume(c, scratch, kept);
    }
}

static void writable(struct connection *c) {
    size_t count = c->pendingCount;
    if (sendAnswer(c, c->pending, count)) {
        c->pendingCount = 0;
        watch(c, 0);
    }
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

    small = answerOf(128);
    medium = answerOf(16 * 1024);
    large = answerOf(1024 * 1024);
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
    socklen_t length = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);

    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    static struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (c) {
                if (events[i].events & EPOLLOUT) {
                    writable(c);
                } else {
                    readable(c);
                }
                continue;
            }
            for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0) break;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                c = calloc(1, sizeof *c);
                if (!c) exit(1);
                c->fd = fd;
                event = (struct epoll_event){.events = EPOLLIN, .data.ptr = c};
                epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
