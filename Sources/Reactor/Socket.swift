// System calls on sockets, with errors as values.
//
// Every function returns a count or a descriptor ≥ 0, or -errno. Nothing here throws, logs or decides.

import CLinux
import Glibc

/// A file descriptor of a socket and what can be done with it. Does not own: closing is explicit.
public struct Socket: Sendable, BitwiseCopyable, Equatable {
    public let fd: Int32

    @inlinable @inline(__always)
    public init(fd: Int32) { self.fd = fd }

    @inlinable public static var none: Socket { Socket(fd: -1) }

    // MARK: bytes

    /// Receives up to `capacity` bytes; 0 at end of stream.
    @inline(__always)
    public func receive(_ into: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int {
        weir_receive(fd, into, capacity)
    }

    /// Whether the peer has closed or sent something, without consuming it: > 0 bytes waiting, 0 end of
    /// stream, -EAGAIN quiet.
    public func peek() -> Int {
        var byte: UInt8 = 0
        let count = recv(fd, &byte, 1, Int32(MSG_DONTWAIT | MSG_PEEK))
        return count >= 0 ? count : Int(-errno)
    }

    /// Sends bytes; more: more will follow at once, so let the kernel fill the segment.
    @inline(__always)
    public func send(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int, more: Bool = false) -> Int {
        weir_send(fd, bytes, byteCount, more ? 1 : 0)
    }

    /// Sends several runs of bytes in one call.
    @inline(__always)
    public func send(_ parts: UnsafeMutablePointer<iovec>, count partCount: Int, more: Bool = false) -> Int {
        weir_send_parts(fd, parts, partCount, more ? 1 : 0)
    }

    /// While it is on, the kernel sends full segments only, or what has waited for 200 ms (tcp(7), TCP_CORK).
    public func cork(_ isOn: Bool) { set(Int32(IPPROTO_TCP), TCP_CORK, isOn ? 1 : 0) }

    // MARK: life

    /// A non-blocking stream socket with a connect under way. Returns the socket and 0 (connected),
    /// EINPROGRESS, or the errno of the failure (the socket is then closed).
    public static func connect(to address: SocketAddress) -> (socket: Socket, error: Int32) {
        let fd = socket(
            address.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if fd < 0 { return (.none, errno) }
        let socket = Socket(fd: fd)
        if address.family != AF_UNIX { socket.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        let result = address.withSockaddr { Glibc.connect(fd, $0, $1) }
        if result == 0 { return (socket, 0) }
        let error = errno
        // A full backlog on a Unix socket answers EAGAIN and starts nothing.
        if error == EINPROGRESS { return (socket, error) }
        socket.close()
        return (.none, error)
    }

    /// The error a pending connect (or the connection) ended with, 0 when none.
    public func pendingError() -> Int32 {
        var error: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        // A descriptor that cannot be asked is not a connection that stands.
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno
    }

    /// Bytes sent that the peer's side has not acknowledged, 0 where the kernel does not say.
    public var unacknowledged: Int { max(0, Int(weir_unacknowledged(fd))) }

    /// A total to be compared with an earlier one: it is another as soon as the peer's side has acknowledged bytes.
    public var taken: UInt64 { weir_taken(fd) }

    @inline(__always)
    public func close() { _ = Glibc.close(fd) }

    /// Sends a reset instead of an orderly end: the peer must not take what it has for complete.
    public func closeWithReset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        close()
    }

    /// Ends our direction; the peer sees end of stream.
    public func shutdownWrite() { _ = shutdown(fd, Int32(SHUT_WR)) }

    /// Has a listening TCP socket ignore who begins a handshake now; clients try again after a second.
    public func dropNewHandshakes() { _ = weir_drop_new_handshakes(fd) }

    /// Ends a listening socket while its descriptor stays open: new connections are refused. What waits in
    /// its backlog is reset (TCP), or can still be accepted (Unix).
    public func shutdownListening() { _ = shutdown(fd, Int32(SHUT_RD)) }

    /// Ends the socket at once while its descriptor's number stays taken: whoever still knows the number
    /// never meets another socket under it.
    public func end() {
        let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard nothing >= 0 else { return shutdownListening() }
        _ = weir_replace(fd, nothing)
        _ = Glibc.close(nothing)
    }

    @discardableResult
    public func set(_ level: Int32, _ option: Int32, _ value: Int32) -> Bool {
        var value = value
        return setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
    }

    /// The local address, nil when the socket is gone.
    public func localAddress() -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd, $0, &length) }
        }
        return result == 0 ? SocketAddress(storage) : nil
    }

    // MARK: listening

    /// A listening Unix socket, and the file it has unless its name is an abstract one.
    public static func listenUnix(_ path: String, access: UnixSocketAccess, backlog: Int32 = 4096)
        -> Result<(socket: Socket, file: UnixSocketFile?), UnixSocketRefusal>
    {
        let address = SocketAddress.unix(path: path)
        let fd = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if fd < 0 { return .failure(.system("socket", errno)) }
        let socket = Socket(fd: fd)
        var file: UnixSocketFile?
        if path.hasPrefix("@") {
            if address.withSockaddr({ Glibc.bind(fd, $0, $1) }) != 0 {
                let error = errno
                socket.close()
                return .failure(error == EADDRINUSE ? .inUse : .system("bind", error))
            }
        } else {
            switch UnixSocketFile.bind(socket, path: path, access: access) {
            case .success(let made): file = made
            case .failure(let why):
                socket.close()
                return .failure(why)
            }
        }
        if Glibc.listen(fd, backlog) != 0 {
            let error = errno
            file?.remove()
            socket.close()
            return .failure(.system("listen", error))
        }
        return .success((socket, file))
    }

    /// A listening TCP socket, with SO_REUSEPORT so that every worker has its own. dualStack: an
    /// unspecified IPv6 address accepts IPv4 too. Accepted sockets inherit TCP_NODELAY.
    /// Returns -errno in error when it cannot be had.
    public static func listen(
        on address: SocketAddress, dualStack: Bool, reusePort: Bool = true, backlog: Int32 = 4096
    ) -> Result<Socket, SystemError> {
        let fd = socket(
            address.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if fd < 0 { return .failure(SystemError(call: "socket", code: errno)) }
        let socket = Socket(fd: fd)
        socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
        if reusePort { socket.set(SOL_SOCKET, SO_REUSEPORT, 1) }
        socket.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        if address.family == AF_INET6 { socket.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, dualStack ? 0 : 1) }
        if address.withSockaddr({ Glibc.bind(fd, $0, $1) }) != 0 {
            let error = SystemError(call: "bind", code: errno)
            socket.close()
            return .failure(error)
        }
        if Glibc.listen(fd, backlog) != 0 {
            let error = SystemError(call: "listen", code: errno)
            socket.close()
            return .failure(error)
        }
        return .success(socket)
    }

    /// Accepts one connection: its socket (or -errno in fd), peer address and port.
    public func accept() -> (socket: Socket, peer: IPAddress, port: UInt16) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let accepted = weir_accept(fd, &storage, &length)
        if accepted < 0 { return (Socket(fd: -errno), .unspecified, 0) }
        if Int32(storage.ss_family) == AF_UNIX { return (Socket(fd: accepted), .unix, 0) }
        if case .ip(let address, let port) = SocketAddress(storage) {
            return (Socket(fd: accepted), address, port)
        }
        return (Socket(fd: accepted), .unspecified, 0)
    }
}

/// A system call that failed.
public struct SystemError: Error, Sendable, CustomStringConvertible {
    public let call: StaticString
    /// errno.
    public let code: Int32

    public init(call: StaticString, code: Int32) {
        self.call = call
        self.code = code
    }

    public var description: String { "\(call): \(String(cString: strerror(code)))" }
}
