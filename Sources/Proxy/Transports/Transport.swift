// How a connection's bytes leave and arrive, and what the other side has not taken yet.
//
// Whoever speaks for a client or an endpoint works with a Transport and does not learn what is behind
// it: a socket, TLS over a socket, or one stream of a session that shares a socket with others (Streams.swift). A message
// is sent at once; only when less is taken is the rest copied into pooled buffers. Whoever produces
// stops until nothing waits any more (`isBlocked`), so a transport never holds more than one round of
// input (64 KiB) and a head: that bound is the back-pressure.

import Glibc
import Reactor
import TLS

struct Transport {
    let socket: Socket
    /// Set for a stream; there is no socket of its own then.
    let stream: StreamPointer?
    /// Set once TLS was begun on the socket.
    private(set) var tls: TLSSession?
    private var outbox = Outbox()

    init(_ socket: Socket) {
        self.socket = socket
        stream = nil
    }

    init(_ stream: StreamPointer) {
        socket = .none
        self.stream = stream
    }

    static var none: Transport { Transport(.none) }

    @inline(__always) var exists: Bool { socket.fd >= 0 || stream != nil }
    @inline(__always) var isStream: Bool { stream != nil }

    /// What has come is taken now, though whom it is for has not taken what it has: at most what a stream's window lets come.
    var isLastCall: Bool { stream?.pointee.isLastCall ?? false }

    /// Bytes go in and out as they are, so that the kernel can move them without us.
    @inline(__always) var isPlainSocket: Bool { stream == nil && tls == nil }

    /// The TLS between us and the peer, here or on the connection that carries the stream.
    var encryption: TLSSession? {
        if let stream { return stream.pointee.session.pointee.transport.pointee.tls }
        return tls
    }
    var isEncrypted: Bool { encryption != nil }

    /// From here on bytes are encrypted.
    mutating func begin(_ session: TLSSession) { tls = session }

    /// The event loop says that bytes, or the end, have come.
    @inline(__always)
    func becameReadable(hangUp: Bool) {
        if let tls { tls.socketReadable(hangUp: hangUp) }
    }

    // MARK: in

    /// Bytes received, 0 at the end of the stream, or -errno.
    @inline(__always)
    func receive(_ into: UnsafeMutablePointer<UInt8>, _ capacity: Int, pool: inout BufferPool) -> Int {
        if let stream { return stream.receive(into, capacity, pool: &pool) }
        guard let tls else { return socket.receive(into, capacity) }
        let received = tls.read(into, capacity)
        if received >= 0 || received == -Int(EAGAIN) { return received }
        // Without close_notify nobody can say that what came is whole (RFC 8446 §6.1).
        let error = tls.failure.map { $0.systemError } ?? 0
        return -Int(error != 0 ? error : ECONNRESET)
    }

    /// The same for who wants none of it any more: bytes as they came, of TLS that may have failed too.
    func receiveUnread(_ into: UnsafeMutablePointer<UInt8>, _ capacity: Int, pool: inout BufferPool) -> Int {
        stream.map { $0.receive(into, capacity, pool: &pool) } ?? socket.receive(into, capacity)
    }

    /// After a receive that was not filled: whether another may bring something without a further event.
    @inline(__always)
    var hasMore: Bool {
        if let stream { return stream.hasMore }
        if let tls { return tls.hasPending }
        return false
    }

    /// The trailers that came behind a body which ended with its stream, as lines; the caller gives them back.
    func takeTrailers() -> BufferPointer? { stream?.takeTrailers() }

    /// Whether the peer has closed or sent something, without consuming it: > 0 bytes waiting, 0 end of
    /// stream, -EAGAIN quiet.
    func peek() -> Int {
        if let stream { return stream.hasMore ? 1 : -Int(EAGAIN) }
        if let tls, tls.hasPending { return 1 }
        return socket.peek()
    }

    /// Whether an idle connection has neither ended nor sent anything for us. What TLS has to say to
    /// itself (session tickets) is taken in on the way.
    func isQuiet() -> Bool {
        guard let tls else { return peek() == -Int(EAGAIN) }
        tls.socketReadable()
        var byte: UInt8 = 0
        return tls.read(&byte, 1) == -Int(EAGAIN)
    }

    // MARK: out

    /// Something waits to be taken: nothing more should be produced for this side.
    @inline(__always) var isBlocked: Bool { outbox.count > 0 || tls.map { $0.hasUnsent } ?? false }

    /// Bytes accepted and not yet taken.
    var waiting: Int { outbox.count }

    /// The same, with those that the kernel, or the session that carries the stream, holds for the peer:
    /// about what it has not acknowledged. For timers; asks the kernel.
    var untaken: Int {
        guard let stream else {
            return outbox.count + (tls.map { $0.unsentByteCount } ?? 0) + socket.unacknowledged
        }
        let session = stream.pointee.session
        return outbox.count + session.session({ $0.queuedBytes(stream.pointee.id) })
            + session.pointee.transport.pointee.untaken
    }

    /// A total to be compared with an earlier one (`TakingClock`): it is another as soon as the peer has taken bytes.
    /// That of a stream moves with its own bytes, and with all where the connection holds up those of the stream.
    var taken: UInt64 {
        guard let stream else { return socket.taken }
        let carrier = stream.pointee.session.pointee.transport
        if carrier.pointee.isBlocked { return carrier.pointee.taken }
        return stream.pointee.session.session {
            $0.taken(stream.pointee.id, untaken: carrier.pointee.untaken)
        }
    }

    /// Sends parts behind what already waits; keeps what is not taken. Returns 0 or an errno.
    mutating func send(
        _ parts: UnsafeMutablePointer<iovec>, _ partCount: Int, total: Int, pool: inout BufferPool,
        nowMs: UInt64
    ) -> Int32 {
        var sent = 0
        if outbox.count == 0 {
            let result = write(parts, partCount, nowMs)
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
        return tls == nil ? 0 : flush(pool: &pool, nowMs: nowMs)
    }

    /// Sends one run of bytes; see above.
    mutating func send(
        _ bytes: UnsafeMutablePointer<UInt8>, _ byteCount: Int, pool: inout BufferPool, nowMs: UInt64
    ) -> Int32 {
        var part = iovec(iov_base: bytes, iov_len: byteCount)
        return send(&part, 1, total: byteCount, pool: &pool, nowMs: nowMs)
    }

    @inline(__always)
    private func write(_ parts: UnsafeMutablePointer<iovec>, _ partCount: Int, _ nowMs: UInt64) -> Int {
        if let stream { return stream.send(parts, partCount) }
        if let tls { return tls.write(parts, count: partCount, nowMs: nowMs) }
        return partCount == 1
            ? socket.send(parts[0].iov_base.assumingMemoryBound(to: UInt8.self), parts[0].iov_len)
            : socket.send(parts, count: partCount)
    }

    /// Sends what waits. Returns 0 (look at `isBlocked`) or an errno.
    mutating func flush(pool: inout BufferPool, nowMs: UInt64) -> Int32 {
        if let tls {
            let result = tls.flush()
            if result == -Int(EAGAIN) { return 0 }
            if result < 0 { return Int32(-result) }
        }
        while let buffer = outbox.first {
            var part = iovec(iov_base: buffer.readable, iov_len: buffer.count)
            let sent = write(&part, 1, nowMs)
            if sent < 0 {
                return sent == -Int(EAGAIN) || sent == -Int(EINTR) ? 0 : Int32(-sent)
            }
            outbox.took(sent, pool: &pool)
            // A socket that takes a part is full, and says when it no longer is. TLS takes a part because
            // it takes no more at a time.
            if outbox.first == buffer && tls == nil { return 0 }
        }
        if let stream { stream.endIfDue(pool: &pool) }
        return 0
    }

    /// Forgets what waits.
    mutating func forgetOutput(pool: inout BufferPool) { outbox.clear(pool: &pool) }

    // MARK: the end

    /// TLS failed, and the peer is told why (`TLSFailure.isTold`).
    var isTold: Bool { tls?.failure?.isTold ?? false }

    /// Ends our direction, behind what waits; the peer sees end of stream.
    func shutdownWrite(pool: inout BufferPool) {
        if let stream {
            stream.end(trailers: nil, 0, isBlocked: isBlocked, pool: &pool)
        } else {
            if let tls { tls.shutdown() }
            socket.shutdownWrite()
        }
    }

    /// Closes. reset: the peer must not take what it has for complete.
    mutating func close(reset: Bool = false, pool: inout BufferPool) {
        outbox.clear(pool: &pool)
        if let stream {
            stream.close(reset: reset, pool: &pool)
            return
        }
        if let tls {
            if !reset { tls.shutdown() }
            tls.free()
            self.tls = nil
        }
        if reset {
            socket.closeWithReset()
        } else {
            socket.close()
        }
    }

    /// The error the connection ended with, 0 when none.
    func pendingError() -> Int32 { stream.map { $0.pointee.error } ?? socket.pendingError() }

    /// Where the connection arrived; nil when it is gone.
    func localAddress() -> SocketAddress? {
        stream.map { $0.pointee.session.pointee.transport.pointee.localAddress() } ?? socket.localAddress()
    }
}

/// Bytes accepted for a peer but not yet taken, in order.
struct Outbox {
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
