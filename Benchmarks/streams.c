// The load of the HTTP/2 rows: a closed loop of GETs over cleartext HTTP/2 with prior knowledge (RFC 9113 section 3.3)
// to 127.0.0.1, for less CPU than any proxy spends on them; see closed.c for why that matters.
//
//   streams PORT PATH BYTES SECONDS CONNECTIONS STREAMS
//
// Each connection keeps STREAMS requests in flight: one recv takes what is there, all requests that it made room for go
// out with one send. Requests are the four pseudo-fields, literal in a connection's first request and indexed after it,
// as browsers do. Receive windows are as large as they can be, so that flow control is never what is measured.
//
// Every answer must begin with `:status: 200` as the static table has it (0x88) and carry exactly BYTES bytes; anything
// else, RST_STREAM included, is an error (the first is told on standard error). HPACK is not decoded beyond that: what
// the answers say is compared by harness/load.py around each measurement.
//
// After SECONDS nothing new is sent, and what is in flight is waited for and counted. One line of JSON on standard
// output; exit code 1 when any request failed.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "figures.h"

#define FRAME_HEAD_BYTES 9
#define FRAME_BYTES_MAX (FRAME_HEAD_BYTES + 16384) // SETTINGS_MAX_FRAME_SIZE as it is by default
#define OUTPUT_BYTES_MAX (64 * 1024)
#define SCRATCH_BYTES (256 * 1024)
#define SLOTS_OF_STREAMS 1024 // more than can be in flight: a stream's slot follows from its number
#define WINDOW_BYTES_MAX 0x7fffffffu
#define WINDOW_DEFAULT 65535u
#define SILENCE_MS 10000

enum { frameData, frameHeaders, framePriority, frameReset, frameSettings, framePush, framePing, frameGoaway,
       frameWindowUpdate, frameContinuation };
enum { flagEnd = 0x1, flagEndHeaders = 0x4, flagPadded = 0x8, flagPriority = 0x20 };

struct stream {
    uint32_t number; // 0: free
    int answered;    // its head was seen
    int64_t sentAt, bodyBytes;
};

struct connection {
    int fd;
    int leaving;       // GOAWAY: no new streams
    int indexed;       // the peer's table holds the request's fields
    uint32_t next;     // number of the next stream
    uint32_t unacked;  // DATA bytes not yet given back to the connection's window
    long open, wanted; // streams in flight; requests that may be sent
    struct stream streams[SLOTS_OF_STREAMS];
    size_t keptCount, outputCount;
    unsigned char kept[FRAME_BYTES_MAX]; // beginning of an unfinished frame
    unsigned char output[OUTPUT_BYTES_MAX];
};

static unsigned char literal[512], scratch[SCRATCH_BYTES];
static size_t literalCount;
static struct sockaddr_in target;
static int poller;
static long inFlight, streamsMax;
static int64_t answerBytes, deadline;

static void put(struct connection *c, const void *bytes, size_t count) {
    if (c->outputCount + count > OUTPUT_BYTES_MAX) {
        fprintf(stderr, "streams: the peer reads too slowly\n");
        exit(1);
    }
    memcpy(c->output + c->outputCount, bytes, count);
    c->outputCount += count;
}

static void putFrame(struct connection *c, int type, int flags, uint32_t stream, const void *payload, size_t count) {
    unsigned char head[FRAME_HEAD_BYTES] = {
        (unsigned char)(count >> 16),  (unsigned char)(count >> 8),   (unsigned char)count,
        (unsigned char)type,           (unsigned char)flags,          (unsigned char)(stream >> 24),
        (unsigned char)(stream >> 16), (unsigned char)(stream >> 8),  (unsigned char)stream};
    put(c, head, sizeof head);
    put(c, payload, count);
}

static void putWindowUpdate(struct connection *c, uint32_t bytes) {
    uint32_t increment = htonl(bytes);
    putFrame(c, frameWindowUpdate, 0, 0, &increment, 4);
}

static uint32_t read32(const unsigned char *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void flush(struct connection *c) {
    if (!c->outputCount) return;
    ssize_t sent = send(c->fd, c->output, c->outputCount, MSG_NOSIGNAL);
    if (sent <= 0) return; // room, or the end, makes an event
    c->outputCount -= (size_t)sent;
    memmove(c->output, c->output + sent, c->outputCount);
}

static void openConnection(struct connection *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS)) {
        perror("streams: connect");
        exit(1);
    }
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); // the cheapest
    c->leaving = c->indexed = 0;
    c->next = 1;
    c->unacked = 0;
    c->open = 0;
    c->wanted = streamsMax;
    c->keptCount = c->outputCount = 0;
    memset(c->streams, 0, sizeof c->streams);
    // ENABLE_PUSH 0, INITIAL_WINDOW_SIZE as large as it can be.
    static const unsigned char settings[] = {0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff};
    put(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    putFrame(c, frameSettings, 0, 0, settings, sizeof settings);
    putWindowUpdate(c, WINDOW_BYTES_MAX - WINDOW_DEFAULT);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

// Puts out as many requests as may be in flight.
static void ask(struct connection *c) {
    if (!c->wanted || c->leaving) return;
    int64_t at = now();
    if (at >= deadline) return;
    for (; c->wanted > 0; c->wanted--) {
        while (c->streams[c->next / 2 % SLOTS_OF_STREAMS].number) c->next += 2;
        c->streams[c->next / 2 % SLOTS_OF_STREAMS] = (struct stream){.number = c->next, .sentAt = at};
        // :method GET, :scheme http, then :authority and :path.
        static const unsigned char indexed[] = {0x82, 0x86, 0xbf, 0xbe};
        if (c->indexed) {
            putFrame(c, frameHeaders, flagEnd | flagEndHeaders, c->next, indexed, sizeof indexed);
        } else {
            putFrame(c, frameHeaders, flagEnd | flagEndHeaders, c->next, literal, literalCount);
            c->indexed = 1;
        }
        c->next += 2;
        c->open++;
        inFlight++;
    }
}

static void fail(struct connection *c, const char *what) {
    char detail[64];
    snprintf(detail, sizeof detail, "%ld streams in flight, next %u", c->open, c->next);
    complain(what, detail, strlen(detail));
    figures.errors += c->open > 1 ? c->open - 1 : 0;
}

// A new connection in place of one that ended; nothing is in flight on it.
static void reopen(struct connection *c) {
    inFlight -= c->open;
    close(c->fd);
    if (now() >= deadline) {
        c->fd = -1;
        return;
    }
    openConnection(c);
    ask(c);
    flush(c);
}

static const char *endStream(struct connection *c, struct stream *stream, int64_t at) {
    if (!stream->answered) return "no head";
    if (stream->bodyBytes != answerBytes) return "wrong length";
    countAnswer(at - stream->sentAt);
    figures.bodyBytes += stream->bodyBytes;
    stream->number = 0;
    c->open--;
    c->wanted++;
    inFlight--;
    return NULL;
}

// NULL, or why the connection is of no more use.
static const char *takeStreamFrame(struct connection *c, int type, int flags, uint32_t number,
                                   const unsigned char *payload, size_t count, int64_t at) {
    struct stream *stream = &c->streams[number / 2 % SLOTS_OF_STREAMS];
    if (!number || stream->number != number) return "frame of an unknown stream";
    if (type == frameReset) return "RST_STREAM";
    size_t length = count, padding = 0;
    if (flags & flagPadded) {
        if (!length) return "padding";
        padding = payload[0];
        payload++;
        length--;
    }
    if (type == frameHeaders && (flags & flagPriority)) {
        if (length < 5) return "priority";
        payload += 5;
        length -= 5;
    }
    if (padding > length) return "padding";
    length -= padding;
    if (type == frameData) {
        c->unacked += (uint32_t)count;
        stream->bodyBytes += (int64_t)length;
    } else if (!stream->answered) {
        while (length && (*payload & 0xe0) == 0x20) { // dynamic table size updates of one byte, or the end of longer ones
            int longer = (*payload & 0x1f) == 0x1f;
            payload++, length--;
            while (longer && length && *payload & 0x80) payload++, length--;
            if (longer && length) payload++, length--;
        }
        if (!length || *payload != 0x88 || !(flags & flagEndHeaders)) return "head is not a plain 200";
        stream->answered = 1;
    }
    return flags & flagEnd ? endStream(c, stream, at) : NULL;
}

static const char *takeFrame(struct connection *c, const unsigned char *frame, size_t count, int64_t at) {
    int type = frame[3], flags = frame[4];
    uint32_t number = read32(frame + 5) & 0x7fffffff;
    const unsigned char *payload = frame + FRAME_HEAD_BYTES;
    switch (type) {
    case frameData:
    case frameHeaders:
    case frameReset: return takeStreamFrame(c, type, flags, number, payload, count, at);
    case framePush:
    case frameContinuation: return "frame type that was not expected";
    case frameSettings:
        if (flags & flagEnd) return NULL;
        for (size_t i = 0; i + 6 <= count; i += 6) {
            if (payload[i + 1] == 3 && read32(payload + i + 2) < (uint32_t)streamsMax) return "too few streams allowed";
        }
        putFrame(c, frameSettings, flagEnd, 0, "", 0);
        return NULL;
    case framePing:
        if (!(flags & flagEnd) && count == 8) putFrame(c, framePing, flagEnd, 0, payload, 8);
        return NULL;
    case frameGoaway:
        if (count < 8 || read32(payload + 4)) return "GOAWAY with an error";
        c->leaving = 1;
        uint32_t last = read32(payload) & 0x7fffffff;
        // What the peer has not looked at may be asked again elsewhere (RFC 9113 section 6.8): it is not an error.
        for (int i = 0; i < SLOTS_OF_STREAMS; i++) {
            if (c->streams[i].number <= last) continue;
            c->streams[i].number = 0;
            c->open--;
            inFlight--;
        }
        return NULL;
    default: return NULL; // WINDOW_UPDATE: requests have no bodies
    }
}

static void handle(struct connection *c, uint32_t events) {
    if (!(events & ~(uint32_t)EPOLLOUT)) return flush(c);
    for (;;) {
        memcpy(scratch, c->kept, c->keptCount);
        size_t asked = SCRATCH_BYTES - c->keptCount;
        ssize_t got = recv(c->fd, scratch + c->keptCount, asked, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) {
            if (c->open) fail(c, got ? strerror(errno) : "connection ended");
            return reopen(c);
        }
        int64_t at = now();
        size_t count = c->keptCount + (size_t)got, taken = 0;
        while (count - taken >= FRAME_HEAD_BYTES) {
            const unsigned char *frame = scratch + taken;
            size_t length = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
            if (length + FRAME_HEAD_BYTES > FRAME_BYTES_MAX) return fail(c, "frame too long"), reopen(c);
            if (count - taken < FRAME_HEAD_BYTES + length) break;
            const char *problem = takeFrame(c, frame, length, at);
            if (problem) return fail(c, problem), reopen(c);
            taken += FRAME_HEAD_BYTES + length;
        }
        c->keptCount = count - taken;
        memcpy(c->kept, scratch + taken, c->keptCount);
        // A short read emptied the socket: the next bytes make the next event. An end already seen makes none.
        if ((size_t)got < asked && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) break;
    }
    if (c->leaving && c->open == 0) return reopen(c);
    if (c->unacked > WINDOW_BYTES_MAX / 2) {
        putWindowUpdate(c, c->unacked);
        c->unacked = 0;
    }
    ask(c);
    flush(c);
}

static int run(double seconds, long connections) {
    struct connection *all = calloc((size_t)connections, sizeof *all);
    if (!all) return 1;
    int64_t start = now();
    deadline = start + (int64_t)(seconds * 1e9);
    for (long i = 0; i < connections; i++) {
        openConnection(&all[i]);
        ask(&all[i]);
        flush(&all[i]);
    }
    static struct epoll_event events[256];
    while (inFlight > 0) {
        int count = epoll_wait(poller, events, 256, SILENCE_MS);
        if (count == 0) {
            complain("streams: no answer for 10 s", "", 0);
            break;
        }
        for (int i = 0; i < count; i++) handle(events[i].data.ptr, events[i].events);
    }
    return report(now() - start);
}

int main(int argc, char **argv) {
    if (argc != 7 || strlen(argv[2]) > 126) {
        fprintf(stderr, "usage: streams PORT PATH BYTES SECONDS CONNECTIONS STREAMS\n");
        return 2;
    }
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    answerBytes = atoll(argv[3]);
    streamsMax = atol(argv[6]);
    if (streamsMax < 1 || streamsMax > SLOTS_OF_STREAMS / 2) return 2;
    char authority[32];
    snprintf(authority, sizeof authority, "127.0.0.1:%s", argv[1]);
    // 0x41 and 0x44: literals that enter the table, which then holds :authority at 63 (0xbf) and :path at 62 (0xbe).
    literalCount = (size_t)sprintf((char *)literal, "\x82\x86\x41%c%s\x44%c%s", (char)strlen(authority), authority,
                                   (char)strlen(argv[2]), argv[2]);
    signal(SIGPIPE, SIG_IGN);
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){.sched_priority = 0});
    poller = epoll_create1(EPOLL_CLOEXEC);
    return run(atof(argv[4]), atol(argv[5]));
}
