// How a connection's bytes leave and arrive, and what the other side has not taken yet.
//
// Whoever speaks for a client or an endpoint works with a Transport and does not learn what is behind
// it. A message is sent at once; only when less is taken is the rest copied into pooled buffers.
// Whoever produces stops until nothing waits any more (`isBlocked`), so a transport never holds more
// than one round of input (64 KiB) and a head: that bound is the back-pressure.

import Glibc
import Reactor

struct Transport {
    let socket: Socket
    private var outbox = Outbox()

    init(_ socket: Socket) { self.socket = socket }

    static var none: Transport { Transport(.none) }

    @inline(__always) var exists: Bool { socket.fd >= 0 }

    /// Bytes go in and out as they are, so that the kernel can move them without us.
    @inline(__always) var isPlainSocket: Bool { true }

    // MARK: in

    /// Bytes received, 0 at the end of the stream, or -errno.
    @inline(__always)
    func receive(_ into: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int {
        socket.receive(into, capacity)
    }

    /// Whether the peer has closed or sent something, without consuming it: > 0 bytes waiting, 0 end of
    /// stream, -EAGAIN quiet.
    func peek() -> Int { socket.peek() }

    // MARK: out

    /// Something waits to be taken: nothing more should be produced for this side.
    @inline(__always) var isBlocked: Bool { outbox.count > 0 }

    /// Bytes accepted and not yet taken.
    var waiting: Int { outbox.count }

    /// Sends parts behind what already waits; keeps what is not taken. Returns 0 or an errno.
    mutating func send(
        _ parts: UnsafeMutablePointer<iovec>, _ partCount: Int, total: Int, pool: inout BufferPool
    ) -> Int32 {
        var sent = 0
        if outbox.count == 0 {
            let result =
                partCount == 1
                ? socket.send(parts[0].iov_base.assumingMemoryBound(to: UInt8.self), parts[0].iov_len)
                : socket.send(parts, count: partCount)
            if result == total { return 0 }
            if result >= 0 {
                sent = result
            } else if result != -Int(EAGAIN) && result != -Int(EINTR) {
                return Int32(-result)
            }
        }
        var skip = sent
        for i in 0..<partCount {
            let length = parts[i].iov_len
            if skip >= length {
                skip -= length
                continue
            }
            outbox.keep(
                parts[i].iov_base.assumingMemoryBound(to: UInt8.self) + skip, length - skip, pool: &pool)
            skip = 0
        }
        return 0
    }

    /// Sends one run of bytes; see above.
    mutating func send(_ bytes: UnsafeMutablePointer<UInt8>, _ byteCount: Int, pool: inout BufferPool)
        -> Int32
    {
        var part = iovec(iov_base: bytes, iov_len: byteCount)
        return send(&part, 1, total: byteCount, pool: &pool)
    }

    /// Sends what waits. Returns 0 (look at `isBlocked`) or an errno.
    mutating func flush(pool: inout BufferPool) -> Int32 {
        while let buffer = outbox.first {
            let sent = socket.send(buffer.readable, buffer.count)
            if sent < 0 {
                return sent == -Int(EAGAIN) || sent == -Int(EINTR) ? 0 : Int32(-sent)
            }
            outbox.took(sent, pool: &pool)
            if outbox.first == buffer { return 0 }
        }
        return 0
    }

    /// Forgets what waits.
    mutating func forgetOutput(pool: inout BufferPool) { outbox.clear(pool: &pool) }

    // MARK: the end

    /// Ends our direction; the peer sees end of stream.
    func shutdownWrite() { socket.shutdownWrite() }

    /// Closes. reset: the peer must not take what it has for complete.
    mutating func close(reset: Bool = false, pool: inout BufferPool) {
        outbox.clear(pool: &pool)
        if reset { socket.closeWithReset() } else { socket.close() }
    }

    /// The error the connection ended with, 0 when none.
    func pendingError() -> Int32 { socket.pendingError() }
}

/// Bytes accepted for a peer but not yet taken, in order.
private struct Outbox {
    private(set) var first: BufferPointer?
    private var last: BufferPointer?
    /// Bytes waiting.
    private(set) var count = 0

    /// Bytes of the first buffer have been taken.
    mutating func took(_ byteCount: Int, pool: inout BufferPool) {
        guard let buffer = first else { return }
        count -= byteCount
        buffer.pointee.start += UInt32(byteCount)
        if buffer.count > 0 { return }
        first = buffer.pointee.next
        if first == nil { last = nil }
        pool.give(buffer)
    }

    mutating func clear(pool: inout BufferPool) {
        while let buffer = first {
            first = buffer.pointee.next
            pool.give(buffer)
        }
        last = nil
        count = 0
    }

    mutating func keep(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int, pool: inout BufferPool) {
        count += byteCount
        var bytes = bytes
        var rest = byteCount
        if let last, last.room > 0 {
            let fits = min(last.room, rest)
            last.append(bytes, fits)
            bytes += fits
            rest -= fits
        }
        guard rest > 0 else { return }
        let buffer = pool.take(rest)
        buffer.append(bytes, rest)
        if let last {
            last.pointee.next = buffer
        } else {
            first = buffer
        }
        last = buffer
    }
}
