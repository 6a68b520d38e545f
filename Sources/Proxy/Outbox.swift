// What one socket has not taken yet.
//
// A message is sent at once; only when the kernel takes less is the rest copied into pooled buffers.
// Whoever produces stops until the outbox is empty again, so it never holds more than one round of
// input (64 KiB) and a head: that bound is the back-pressure.

import Glibc
import Reactor

/// Bytes accepted for a socket but not yet taken by the kernel, in order.
struct Outbox {
    private var first: BufferPointer?
    private var last: BufferPointer?
    /// Bytes waiting.
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    /// Sends parts behind what already waits; keeps what the kernel does not take. Returns 0 or an errno.
    mutating func send(
        _ parts: UnsafeMutablePointer<iovec>, _ partCount: Int, total: Int, to socket: Socket,
        pool: inout BufferPool, more: Bool = false
    ) -> Int32 {
        var sent = 0
        if count == 0 {
            let result =
                partCount == 1
                ? socket.send(
                    parts[0].iov_base.assumingMemoryBound(to: UInt8.self), parts[0].iov_len, more: more)
                : socket.send(parts, count: partCount, more: more)
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
            keep(parts[i].iov_base.assumingMemoryBound(to: UInt8.self) + skip, length - skip, pool: &pool)
            skip = 0
        }
        return 0
    }

    /// Sends one run of bytes; see above.
    mutating func send(
        _ bytes: UnsafeMutablePointer<UInt8>, _ byteCount: Int, to socket: Socket, pool: inout BufferPool,
        more: Bool = false
    ) -> Int32 {
        var part = iovec(iov_base: bytes, iov_len: byteCount)
        return send(&part, 1, total: byteCount, to: socket, pool: &pool, more: more)
    }

    /// Sends what waits. Returns 0 (look at `isEmpty`) or an errno.
    mutating func flush(to socket: Socket, pool: inout BufferPool) -> Int32 {
        while let buffer = first {
            let sent = socket.send(buffer.readable, buffer.count)
            if sent < 0 {
                return sent == -Int(EAGAIN) || sent == -Int(EINTR) ? 0 : Int32(-sent)
            }
            count -= sent
            buffer.pointee.start += UInt32(sent)
            if buffer.count > 0 { return 0 }
            first = buffer.pointee.next
            if first == nil { last = nil }
            pool.give(buffer)
        }
        return 0
    }

    /// Forgets everything.
    mutating func clear(pool: inout BufferPool) {
        while let buffer = first {
            first = buffer.pointee.next
            pool.give(buffer)
        }
        last = nil
        count = 0
    }

    private mutating func keep(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int, pool: inout BufferPool) {
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
