// What Swift's Glibc module does not import: GNU extensions and macros with casts.
// Thin, no logic beyond the call. This header must not define _GNU_SOURCE: that would give system
// structs another shape than the Glibc module's.
#ifndef CLINUX_H
#define CLINUX_H
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

/// accept4(2), non-blocking and close-on-exec.
int weir_accept(int fd, struct sockaddr_storage *address, socklen_t *length);

/// The calls of the hot path: recv(2), send(2), sendmsg(2) (never waiting, never raising SIGPIPE) and
/// epoll_wait(2). Not libc's, which are points of thread cancellation: that costs each of them two
/// locked instructions. A count, or -errno.
ssize_t weir_receive(int fd, void *bytes, size_t count);
ssize_t weir_send(int fd, const void *bytes, size_t count, int more);
ssize_t weir_send_parts(int fd, struct iovec *parts, size_t count, int more);
int weir_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms);

/// pipe2(2), non-blocking and close-on-exec.
int weir_pipe(int fds[2]);

/// Asks for a pipe capacity; returns the capacity given, or -1 with errno.
int weir_pipe_capacity(int fd, int bytes);

/// Moves bytes between a socket and a pipe without copying; more: hint that more follows.
ssize_t weir_splice(int from, int to, size_t bytes, int more);

/// Has a listening TCP socket drop the first packet of every new handshake; those under way complete.
/// 0, or -1 with errno.
int weir_drop_new_handshakes(int fd);
/// Puts another file behind a descriptor, whose own file is closed.
int weir_replace(int fd, int by);

/// openat2(2): opens for reading, non-blocking and close-on-exec, a path that stays below a folder;
/// links: 0 symbolic links may lead anywhere, 1 only below the folder, 2 there may be none.
int weir_open_below(int folder, const char *path, int links);

/// Opens a folder as a place to open files below; follow: it may be a symbolic link.
int weir_open_folder(int folder, const char *path, int follow);

/// sendfile(2) from a place in a file.
ssize_t weir_sendfile(int socket, int file, int64_t offset, size_t bytes);

/// Bytes sent on a socket that the peer has not acknowledged (SIOCOUTQ), or -1.
int weir_unacknowledged(int socket);

/// How many bytes the peer has taken of all that was sent on a socket; where the kernel does not count them (Unix
/// sockets), up to a constant and as long as nothing is sent.
uint64_t weir_taken(int socket);

/// The number of processors the calling thread may run on (cpuset), or -1.
int weir_affinity_count(void);

/// epoll_event is packed on x86-64; these keep its layout out of Swift.
int weir_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t data);

/// One datagram of a batch: the kernel's struct mmsghdr.
struct weir_message {
    struct msghdr header;
    unsigned int length;
};

/// recvmmsg(2) and sendmmsg(2), never waiting. The number of messages, or -1 with errno.
int weir_receive_batch(int fd, struct weir_message *messages, unsigned int count);
int weir_send_batch(int fd, struct weir_message *messages, unsigned int count);

/// What the kernel says beside a received datagram. Returns 1 when it told the local address
/// (IP_PKTINFO, IPV6_PKTINFO; IPv4 in its mapped form). overflow (SO_RXQ_OVFL) stays as it is when
/// the kernel says nothing about it.
int weir_read_control(struct weir_message *message, struct in6_addr *local, uint32_t *overflow);

/// Makes a message leave from a local address (IPv4 in its mapped form), by a socket of the given
/// family. control needs weir_control_bytes.
void weir_write_control(struct weir_message *message, void *control, int family,
                        const struct in6_addr *local);

/// Makes a message of several datagrams of one length, the last at most that long (UDP_SEGMENT);
/// after weir_write_control.
void weir_write_segment(struct weir_message *message, void *control, uint16_t bytes);

enum { weir_control_bytes = 64 };

/// Names the calling thread (at most 15 bytes).
int weir_thread_name(const char *name);

#endif
