// The loads that do not saturate (closed.c makes the one that does): HTTP/1.1 GETs over keep-alive connections to
// 127.0.0.1, one thread, level-triggered epoll; every answer must be 200 with a Content-Length, anything else counts as
// an error.
//
//   client paced PORT PATH RATE SECONDS CONNECTIONS
//       open loop: request i is due at start + i/RATE whether or not earlier ones were answered, and its latency is
//       counted from when it was due, so that a stall is charged to every request it delayed.
//   client count PORT PATH REQUESTS CONNECTIONS [HOST]
//       closed loop, exactly REQUESTS requests: for counting allocations and instructions.
//   client start PORT PATH CORE COMMAND...
//       runs COMMAND on CORE and reports the time from just before fork and exec to the first answer 200, then kills it.
//
// One line of JSON on standard output; exit code 1 when any request failed.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES_MAX 4096
#define EVENTS_MAX 256
#define START_LIMIT_NS 10000000000ll

struct connection {
    int fd;
    int busy;
    int closing;         // the answer said "Connection: close": a new connection for the next request
    int64_t due;         // when its request should have been sent
    int64_t bodyLeft;    // -1 while the head is being read
    size_t headCount;
    char head[HEAD_BYTES_MAX];
};

static char scratch[256 * 1024];
static char request[1024];
static size_t requestCount;
static int port;
static int poller;
static long errors;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int openConnection(struct connection *c) {
    c->fd = dial();
    if (c->fd < 0) return 0;
    c->busy = 0;
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
    return 1;
}

// A peer may end a keep-alive connection between two requests (nginx does after 1,000): that is not an error.
static void reopen(struct connection *c) {
    if (c->busy) errors++;
    close(c->fd);
    if (!openConnection(c)) {
        perror("client: connect");
        exit(1);
    }
}

static void sendRequest(struct connection *c, int64_t due) {
    c->due = due;
    c->bodyLeft = -1;
    c->headCount = 0;
    c->busy = 1;
    c->closing = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (send(c->fd, request, requestCount, MSG_NOSIGNAL) == (ssize_t)requestCount) return;
        c->busy = 0;
        reopen(c);
        c->busy = 1;
    }
    errors++;
    c->busy = 0;
}

// Content-Length of a 200 head, -1 for anything else.
static int64_t bodyLength(const char *head) {
    if (strncmp(head, "HTTP/1.1 200", 12)) return -1;
    const char *field = strcasestr(head, "\r\ncontent-length:");
    return field ? strtoll(field + 17, NULL, 10) : -1;
}

enum progress { unfinished, finished, broken };

static enum progress take(struct connection *c, const char *bytes, size_t count) {
    if (c->bodyLeft < 0) {
        size_t room = HEAD_BYTES_MAX - 1 - c->headCount;
        size_t copied = count < room ? count : room;
        size_t before = c->headCount;
        memcpy(c->head + before, bytes, copied);
        c->headCount += copied;
        c->head[c->headCount] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end) return c->headCount == HEAD_BYTES_MAX - 1 ? broken : unfinished;
        c->bodyLeft = bodyLength(c->head);
        if (c->bodyLeft < 0) return broken;
        c->closing = strcasestr(c->head, "\r\nconnection: close") != NULL;
        size_t used = (size_t)(end + 4 - c->head) - before;
        bytes += used;
        count -= used;
    }
    if ((int64_t)count > c->bodyLeft) return broken;
    c->bodyLeft -= (int64_t)count;
    return c->bodyLeft == 0 ? finished : unfinished;
}

// Reads what is there; `finished` means the connection's answer is complete and it is free again.
static enum progress readAnswer(struct connection *c) {
    ssize_t got = recv(c->fd, scratch, sizeof scratch, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return unfinished;
    if (got <= 0 || !c->busy) {
        reopen(c);
        return broken;
    }
    enum progress progress = take(c, scratch, (size_t)got);
    if (progress == broken) reopen(c);
    if (progress == finished) {
        c->busy = 0;
        if (c->closing) reopen(c);
    }
    return progress;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static struct connection *openAll(long count) {
    struct connection *all = calloc((size_t)count, sizeof *all);
    if (!all) exit(1);
    for (long i = 0; i < count; i++) {
        if (!openConnection(&all[i])) {
            perror("client: connect");
            exit(1);
        }
    }
    return all;
}

static int paced(double rate, double seconds, long connections) {
    prctl(PR_SET_TIMERSLACK, 1); // otherwise each wait ends up to 50 µs late
    struct connection *all = openAll(connections);
    struct connection **idle = calloc((size_t)connections, sizeof *idle);
    long total = (long)(rate * seconds), sent = 0, answered = 0, lost = 0;
    int64_t *latencies = calloc((size_t)total + 1, sizeof *latencies);
    if (!idle || !latencies) return 1;
    long idleCount = 0;
    for (long i = 0; i < connections; i++) idle[idleCount++] = &all[i];
    int64_t start = now() + 1000000, last = start + (int64_t)(seconds * 1e9) + 2000000000;
    while (answered + lost < total) {
        int64_t at = now();
        if (at > last) break;
        while (sent < total && idleCount > 0) {
            int64_t due = start + (int64_t)((double)sent * 1e9 / rate);
            if (due > at) break;
            sendRequest(idle[--idleCount], due);
            sent++;
        }
        int64_t until = last;
        if (sent < total && idleCount > 0) until = start + (int64_t)((double)sent * 1e9 / rate);
        at = now();
        int64_t wait = until > at ? until - at : 0;
        struct timespec timeout = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_pwait2(poller, events, EVENTS_MAX, &timeout, NULL);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            int wasBusy = c->busy;
            enum progress progress = readAnswer(c);
            if (progress == finished) latencies[answered++] = now() - c->due;
            if (progress == broken && wasBusy) lost++;
            if (progress != unfinished && wasBusy) idle[idleCount++] = c;
        }
    }
    errors += sent - answered - lost;
    qsort(latencies, (size_t)answered, sizeof *latencies, compare);
    printf("{\"requests\": %ld, \"errors\": %ld, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n", answered,
           errors, answered ? (double)latencies[answered / 2] / 1e3 : 0,
           answered ? (double)latencies[answered * 99 / 100] / 1e3 : 0,
           answered ? (double)latencies[answered - 1] / 1e3 : 0);
    return errors || answered < total;
}

static int countRequests(long total, long connections) {
    if (connections > total) connections = total;
    struct connection *all = openAll(connections);
    int64_t start = now();
    long sent = 0, done = 0;
    for (long i = 0; i < connections; i++, sent++) sendRequest(&all[i], start);
    while (done < total) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(poller, events, EVENTS_MAX, 10000);
        if (count == 0) {
            errors += total - done;
            break;
        }
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            int wasBusy = c->busy;
            enum progress progress = readAnswer(c);
            if (progress == unfinished || !wasBusy) continue;
            done++;
            if (sent < total) {
                sent++;
                sendRequest(c, start);
            }
        }
    }
    printf("{\"requests\": %ld, \"errors\": %ld, \"seconds\": %.6f}\n", done, errors, (double)(now() - start) / 1e9);
    return errors != 0;
}

// One blocking request; 1 when it was answered 200 in full.
static int tryOnce(void) {
    int fd = dial();
    if (fd < 0) return 0;
    struct timeval limit = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    struct connection c = {.fd = fd, .bodyLeft = -1};
    enum progress progress = broken;
    if (send(fd, request, requestCount, MSG_NOSIGNAL) == (ssize_t)requestCount) {
        do {
            ssize_t got = recv(fd, scratch, sizeof scratch, 0);
            progress = got > 0 ? take(&c, scratch, (size_t)got) : broken;
        } while (progress == unfinished);
    }
    close(fd);
    return progress == finished;
}

static int start(int core, char **command) {
    int64_t begin = now();
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        cpu_set_t cores;
        CPU_ZERO(&cores);
        CPU_SET(core, &cores);
        sched_setaffinity(0, sizeof cores, &cores);
        int nowhere = open("/dev/null", O_RDWR);
        dup2(nowhere, 0);
        dup2(nowhere, 1);
        dup2(nowhere, 2);
        execvp(command[0], command);
        _exit(127);
    }
    setpgid(child, child);
    int answered = 0;
    int64_t end = begin;
    while (!answered && end - begin < START_LIMIT_NS && waitpid(child, NULL, WNOHANG) == 0) {
        answered = tryOnce();
        end = now();
        if (!answered) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    kill(-child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("{\"requests\": %d, \"errors\": %d, \"ms\": %.3f}\n", answered, !answered, (double)(end - begin) / 1e6);
    return !answered;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: client paced|count|start PORT PATH ... (see the head of client.c)\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    port = atoi(argv[2]);
    char local[32];
    snprintf(local, sizeof local, "127.0.0.1:%d", port);
    int named = !strcmp(argv[1], "count") && argc == 7;
    requestCount = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", argv[3],
                                    named ? argv[6] : local);
    if (requestCount >= sizeof request) return 2;
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!strcmp(argv[1], "paced") && argc == 7) return paced(atof(argv[4]), atof(argv[5]), atol(argv[6]));
    if (!strcmp(argv[1], "count") && (argc == 6 || named)) return countRequests(atol(argv[4]), atol(argv[5]));
    if (!strcmp(argv[1], "start") && argc >= 6) return start(atoi(argv[4]), argv + 5);
    fprintf(stderr, "client: wrong arguments\n");
    return 2;
}
