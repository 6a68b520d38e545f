#define _GNU_SOURCE 1
#include "CLinux.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

int weir_accept(int fd, struct sockaddr_storage *address, socklen_t *length) {
    return accept4(fd, (struct sockaddr *)address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int weir_pipe(int fds[2]) { return pipe2(fds, O_NONBLOCK | O_CLOEXEC); }

int weir_pipe_capacity(int fd, int bytes) { return fcntl(fd, F_SETPIPE_SZ, bytes); }

ssize_t weir_splice(int from, int to, size_t bytes, int more) {
    return splice(from, 0, to, 0, bytes,
                  SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));
}

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

int weir_thread_name(const char *name) { return pthread_setname_np(pthread_self(), name); }
