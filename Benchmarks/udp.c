// Both ends of the UDP rows: an echo server and a load generator. One thread each, 127.0.0.1.
//
//   udp echo PORT
//       sends every datagram back, in batches; prints "ready".
//   udp load PORT SECONDS CLIENTS BYTES
//       CLIENTS sockets, each with one datagram under way: sent again as soon as its answer is back (closed loop).
//       A datagram without an answer after 200 ms counts as lost and is repeated under a new number.
//   udp burst PORT SECONDS BYTES COUNT
//       one socket that sends COUNT datagrams at a time and waits for their answers: what batches are worth. No row
//       uses it: part of that work is done in interrupts, so its rounds count as disturbed.
//
// An answer has to be the datagram that was sent, number and length; anything else is an error. `load` and `burst`
// print one line of JSON; exit code 1 after errors.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define BYTES_MAX 65536
#define CLIENTS_MAX 4096
#define LOST_NS 200000000ll
#define LATENCIES_MAX (1 << 22)

static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static struct sockaddr_in peers[BATCH];
static char room[BATCH][BYTES_MAX];
static uint32_t *latencies;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int open_socket(int port, int is_server) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = 1 << 22;
    if (fd < 0) fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (is_server ? bind(fd, (struct sockaddr *)&address, sizeof address)
                  : connect(fd, (struct sockaddr *)&address, sizeof address))
        fail(is_server ? "bind" : "connect");
    return fd;
}

static void prepare(int with_peers) {
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){room[i], BYTES_MAX};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        if (with_peers) messages[i].msg_hdr.msg_name = &peers[i];
    }
}

static _Noreturn void echo(int port) {
    int fd = open_socket(port, 1);
    prepare(1);
    puts("ready");
    fflush(stdout);
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            parts[i].iov_len = BYTES_MAX;
            messages[i].msg_hdr.msg_namelen = sizeof peers[i];
        }
        int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0) continue;
        for (int i = 0; i < count; i++) parts[i].iov_len = messages[i].msg_len;
        for (int sent = 0; sent < count;) {
            int more = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
            if (more < 0) break;
            sent += more;
        }
    }
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int report(int64_t took, long answered, long lost, long errors, long kept) {
    qsort(latencies, (size_t)kept, sizeof *latencies, compare);
    double p50 = kept ? latencies[kept / 2] : 0, p99 = kept ? latencies[kept * 99 / 100] : 0;
    printf("{\"requests\": %ld, \"lost\": %ld, \"errors\": %ld, \"duration_us\": %lld, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           answered, lost, errors, (long long)(took / 1000), p50 / 10, p99 / 10);
    return errors || !answered;
}

struct client {
    int fd;
    uint64_t number;
    int64_t sent;
};

static int load(int port, double seconds, int count, int bytes) {
    static struct client clients[CLIENTS_MAX];
    static char answer[BYTES_MAX], question[BYTES_MAX];
    int poller = epoll_create1(0);
    long answered = 0, lost = 0, errors = 0, kept = 0;
    memset(question, 'q', sizeof question);
    int64_t start = now(), end = start + (int64_t)(seconds * 1e9), sweep = start + LOST_NS;
    for (int i = 0; i < count; i++) {
        clients[i] = (struct client){open_socket(port, 0), (uint64_t)i << 40, now()};
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(poller, EPOLL_CTL_ADD, clients[i].fd, &event);
        memcpy(question, &clients[i].number, 8);
        if (send(clients[i].fd, question, (size_t)bytes, 0) < 0) errors++;
    }
    for (int64_t time = start; time < end;) {
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, 50);
        time = now();
        for (int e = 0; e < ready; e++) {
            struct client *client = &clients[events[e].data.u32];
            ssize_t got = recv(client->fd, answer, sizeof answer, MSG_DONTWAIT);
            if (got < 0) {
                if (errno != EAGAIN) errors++;
                continue;
            }
            uint64_t number;
            memcpy(&number, answer, 8);
            if (got == bytes && number < client->number && number >> 40 == client->number >> 40) continue;  // late
            if (got != bytes || number != client->number || memcmp(answer + 8, question + 8, (size_t)bytes - 8)) {
                errors++;
                continue;
            }
            answered++;
            if (kept < LATENCIES_MAX) latencies[kept++] = (uint32_t)((time - client->sent) / 100);
            client->number++;
            client->sent = time;
            memcpy(question, &client->number, 8);
            if (send(client->fd, question, (size_t)bytes, 0) < 0) errors++;
        }
        if (time < sweep) continue;
        sweep = time + LOST_NS;
        for (int i = 0; i < count; i++) {
            if (time - clients[i].sent < LOST_NS) continue;
            lost++;
            clients[i].number++;
            clients[i].sent = time;
            memcpy(question, &clients[i].number, 8);
            if (send(clients[i].fd, question, (size_t)bytes, 0) < 0) errors++;
        }
    }
    return report(now() - start, answered, lost, errors, kept);
}

static int burst(int port, double seconds, int bytes, int count) {
    int fd = open_socket(port, 0);
    long answered = 0, lost = 0, errors = 0, kept = 0;
    uint64_t number = 0;
    prepare(0);
    int64_t start = now(), end = start + (int64_t)(seconds * 1e9);
    while (now() < end) {
        int64_t began = now();
        for (int i = 0; i < count; i++) {
            parts[i].iov_len = (size_t)bytes;
            memcpy(room[i], &number, 8);
        }
        int sent = sendmmsg(fd, messages, (unsigned)count, 0), missing = sent;
        if (sent < 0) {
            errors++;
            continue;
        }
        while (missing > 0) {
            struct pollfd waiting = {.fd = fd, .events = POLLIN};
            if (poll(&waiting, 1, (int)(LOST_NS / 1000000)) == 0) break;
            for (int i = 0; i < BATCH; i++) parts[i].iov_len = BYTES_MAX;
            int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
            for (int i = 0; i < got; i++) {
                if (memcmp(room[i], &number, 8)) continue;  // of a burst before
                if ((int)messages[i].msg_len != bytes) errors++;
                missing--;
                answered++;
            }
        }
        lost += missing;
        if (!missing && kept < LATENCIES_MAX) latencies[kept++] = (uint32_t)((now() - began) / 100);
        number++;
    }
    return report(now() - start, answered, lost, errors, kept);
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: udp echo|load|burst PORT ...\n"), 2;
    int port = atoi(argv[2]);
    latencies = malloc(LATENCIES_MAX * sizeof *latencies);
    if (!strcmp(argv[1], "echo")) echo(port);
    if (argc == 6 && !strcmp(argv[1], "load")) {
        int count = atoi(argv[4]), bytes = atoi(argv[5]);
        if (count < 1 || count > CLIENTS_MAX || bytes < 8 || bytes > 65507) return 2;
        return load(port, atof(argv[3]), count, bytes);
    }
    if (argc == 6 && !strcmp(argv[1], "burst")) {
        int bytes = atoi(argv[4]), count = atoi(argv[5]);
        if (count < 1 || count > BATCH || bytes < 8 || bytes > 65507) return 2;
        return burst(port, atof(argv[3]), bytes, count);
    }
    return fprintf(stderr, "usage: udp echo|load|burst PORT ...\n"), 2;
}
