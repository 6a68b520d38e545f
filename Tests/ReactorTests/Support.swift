// What the Reactor tests share: sockets that close themselves.

import Glibc

@testable import Reactor

/// Two connected, non-blocking stream sockets. Closed with the object; an end may be closed earlier.
final class SocketPair {
    private(set) var near: Socket
    private(set) var far: Socket

    /// sendBytes: SO_SNDBUF of both ends (the kernel doubles it), nil for the default.
    init(sendBytes: Int32? = nil) {
        var fds: (Int32, Int32) = (-1, -1)
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let result = withUnsafeMutablePointer(to: &fds) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { socketpair(AF_UNIX, type, 0, $0) }
        }
        precondition(result == 0, "socketpair: \(errno)")
        near = Socket(fd: fds.0)
        far = Socket(fd: fds.1)
        if let sendBytes {
            near.set(SOL_SOCKET, SO_SNDBUF, sendBytes)
            far.set(SOL_SOCKET, SO_SNDBUF, sendBytes)
        }
    }

    /// Two ends somebody else has made.
    init(_ near: Socket, _ far: Socket) {
        self.near = near
        self.far = far
    }

    func closeNear() {
        near.close()
        near = .none
    }

    func closeFar() {
        far.close()
        far = .none
    }

    /// Closes the far end with a reset.
    func resetFar() {
        far.closeWithReset()
        far = .none
    }

    deinit {
        if near != .none { near.close() }
        if far != .none { far.close() }
    }
}

/// Waits until the descriptor is ready for `events`, an end or an error; false after five seconds.
/// A wait for the kernel, not for time: loopback delivers from another context.
func awaitReady(_ socket: Socket, _ events: Int32 = POLLIN) -> Bool {
    var entry = pollfd(fd: socket.fd, events: Int16(events), revents: 0)
    return poll(&entry, 1, 5000) == 1
}

extension Socket {
    /// Sends all of text, which must fit the socket's buffer; the result of the call.
    func sendText(_ text: String) -> Int {
        let bytes = Array(text.utf8)
        return bytes.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { send($0, bytes.count) } ?? 0
        }
    }

    /// What one receive returns: its result, and the bytes.
    func receiveOnce(_ capacity: Int = 64) -> (result: Int, bytes: [UInt8]) {
        var result = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { room, count in
            if let base = room.baseAddress { result = receive(base, capacity) }
            count = max(result, 0)
        }
        return (result, bytes)
    }

    /// Everything up to EAGAIN or the end of the stream.
    func receiveAll() -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let (result, bytes) = receiveOnce(16_384)
            if result <= 0 { return all }
            all += bytes
        }
    }

    /// Sends until the kernel takes no more; returns how many bytes it took.
    func fillUp() -> Int {
        let chunk = [UInt8](repeating: 0x61, count: 4096)
        var total = 0
        while true {
            let sent = chunk.withUnsafeBufferPointer { chunk in
                chunk.baseAddress.map { send($0, chunk.count) } ?? 0
            }
            if sent <= 0 { return total }
            total += sent
        }
    }
}
