#define _GNU_SOURCE 1
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

int weir_accept(int fd, struct sockaddr_storage *address, socklen_t *length) {
    return accept4(fd, (struct sockaddr *)address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

#define NEVER_WAIT (MSG_NOSIGNAL | MSG_DONTWAIT)

ssize_t weir_receive(int fd, void *bytes, size_t count) {
    long result = syscall(SYS_recvfrom, fd, bytes, count, MSG_DONTWAIT, 0, 0);
    return result >= 0 ? result : -errno;
}

ssize_t weir_send(int fd, const void *bytes, size_t count, int more) {
    long result = syscall(SYS_sendto, fd, bytes, count, NEVER_WAIT | (more ? MSG_MORE : 0), 0, 0);
    return result >= 0 ? result : -errno;
}

ssize_t weir_send_parts(int fd, struct iovec *parts, size_t count, int more) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    long result = syscall(SYS_sendmsg, fd, &message, NEVER_WAIT | (more ? MSG_MORE : 0));
    return result >= 0 ? result : -errno;
}

int weir_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms) {
    // epoll_wait does not exist on every architecture.
    long result = syscall(SYS_epoll_pwait, epoll, events, count, timeout_ms, 0, 0);
    return result >= 0 ? (int)result : -errno;
}

int weir_pipe(int fds[2]) { return pipe2(fds, O_NONBLOCK | O_CLOEXEC); }

int weir_pipe_capacity(int fd, int bytes) { return fcntl(fd, F_SETPIPE_SZ, bytes); }

ssize_t weir_splice(int from, int to, size_t bytes, int more) {
    return splice(from, 0, to, 0, bytes,
                  SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));
}

int weir_drop_new_handshakes(int fd) {
    // A filter of a TCP socket sees the segment from its header on; byte 13 has the flags.
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    struct sock_fprog filter = {.len = sizeof steps / sizeof *steps, .filter = steps};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

int weir_replace(int fd, int by) { return dup3(by, fd, O_CLOEXEC); }

int weir_open_below(int folder, const char *path, int links) {
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        .resolve = RESOLVE_NO_MAGICLINKS | (links > 0 ? RESOLVE_BENEATH : 0) |
                   (links > 1 ? RESOLVE_NO_SYMLINKS : 0),
    };
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

int weir_open_folder(int folder, const char *path, int follow) {
    return openat(folder, path, O_PATH | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
}

ssize_t weir_sendfile(int socket, int file, int64_t offset, size_t bytes) {
    off_t place = offset;
    return sendfile(socket, file, &place, bytes);
}

int weir_unacknowledged(int socket) {
    int bytes = 0;
    return ioctl(socket, SIOCOUTQ, &bytes) == 0 ? bytes : -1;
}

int weir_affinity_count(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return -1;
    return CPU_COUNT(&set);
}

int weir_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(epoll, operation, fd, &event);
}

_Static_assert(sizeof(struct weir_message) == sizeof(struct mmsghdr), "struct mmsghdr has another shape");

int weir_receive_batch(int fd, struct weir_message *messages, unsigned int count) {
    return recvmmsg(fd, (struct mmsghdr *)messages, count, MSG_DONTWAIT, 0);
}

int weir_send_batch(int fd, struct weir_message *messages, unsigned int count) {
    return sendmmsg(fd, (struct mmsghdr *)messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static struct in6_addr mapped(struct in_addr address) {
    struct in6_addr result = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&result.s6_addr[12], &address, 4);
    return result;
}

int weir_read_control(struct weir_message *message, struct in6_addr *local, uint32_t *overflow) {
    int found = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message->header); c; c = CMSG_NXTHDR(&message->header, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *local = info.ipi6_addr;
            found = 1;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *local = mapped(info.ipi_addr);
            found = 1;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            memcpy(overflow, CMSG_DATA(c), sizeof *overflow);
        }
    }
    return found;
}

void weir_write_control(struct weir_message *message, void *control, int family,
                        const struct in6_addr *local) {
    _Static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)) <= weir_control_bytes,
                   "more room needed");
    struct cmsghdr *c = control;
    if (family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_addr = *local};
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
        message->header.msg_controllen = CMSG_SPACE(sizeof info);
    } else {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, &local->s6_addr[12], 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
        message->header.msg_controllen = CMSG_SPACE(sizeof info);
    }
    message->header.msg_control = control;
}

void weir_write_segment(struct weir_message *message, void *control, uint16_t bytes) {
    struct cmsghdr *c = (struct cmsghdr *)((char *)control + message->header.msg_controllen);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof bytes);
    memcpy(CMSG_DATA(c), &bytes, sizeof bytes);
    message->header.msg_control = control;
    message->header.msg_controllen += CMSG_SPACE(sizeof bytes);
}

int weir_thread_name(const char *name) { return pthread_setname_np(pthread_self(), name); }
