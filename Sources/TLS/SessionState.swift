// The memory behind one TLS connection, and the BIO through which OpenSSL reaches its socket.
//
// OpenSSL's own socket BIO costs a recv that fails for every readable event. Ours remembers that the
// last recv was short, and does not ask an empty socket again until the event loop says that more has
// come. Outgoing records may be gathered and leave together; what the kernel does not take is kept
// here, up to a bound, so that OpenSSL never holds half a record back.

import COpenSSL
import Glibc

struct SessionState {
    var ssl: OpaquePointer
    var fd: Int32
    var isServer: Bool
    var isEstablished = false
    /// A short recv said that the socket is empty.
    var isDrained = false
    /// The peer will send no more: an empty socket has to be asked for its end of stream.
    var isHungUp = false
    /// The last thing the BIO did was to find nothing to read, or no room to write.
    var wouldBlock = false
    /// That was for room to write.
    var wouldBlockOnWrite = false
    var isEndOfStream = false
    var hasSeenBytes = false
    var isPlainHTTP = false
    /// Records are gathered in the thread's staging room.
    var isCorked = false
    /// `unsent` need not leave at once: it goes with the next write, or before the next wait.
    var isUnsentLazy = false
    /// The last read stopped because it had no more room.
    var mayHaveMore = false
    var closeNotifyReceived = false
    var closeNotifySent = false
    var hasFailed = false
    /// Alert seen by the info callback; -1: none.
    var alert: Int16 = -1
    var isAlertReceived = false
    /// Messages after the handshake (key updates, tickets).
    var lateMessages: UInt16 = 0
    var socketError: Int32 = 0
    var sizing = RecordSizing()
    var failure = TLSFailure(.internalError)
    /// Bytes read from the socket before TLS took it over.
    var fed: UnsafeMutablePointer<UInt8>?
    var fedCount = 0
    var fedOffset = 0
    /// Records the kernel has not taken yet.
    var unsent: UnsafeMutablePointer<UInt8>?
    var unsentCount = 0
    var unsentOffset = 0
    var unsentCapacity = 0
    let thread: Unmanaged<TLSThread>
    /// TLSServerContext or TLSClientContext, retained.
    let context: Unmanaged<AnyObject>
    /// A server that asks for certificates, and its client may have shown one.
    var mayHaveCertificate = false
    /// Read when first asked for.
    var certificate: UnsafeMutablePointer<ClientCertificate>?
    /// Where sessions are saved (client), and for which settings.
    var endpoint = -1
    var contextID: UInt64 = 0

    /// What a connection holds of outgoing records; then OpenSSL has to wait.
    static let unsentMax = 256 * 1024
    /// Key updates and tickets after the handshake.
    static let lateMessagesMax: UInt16 = 256

    init(
        ssl: OpaquePointer, fd: Int32, isServer: Bool, thread: Unmanaged<TLSThread>,
        context: Unmanaged<AnyObject>
    ) {
        self.ssl = ssl
        self.fd = fd
        self.isServer = isServer
        self.thread = thread
        self.context = context
    }

    // MARK: outgoing

    /// Keeps bytes for later; false when that would be too many.
    mutating func keep(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        if count == 0 { return true }
        if unsentOffset > 0 {
            if let unsent { memmove(unsent, unsent + unsentOffset, unsentCount) }
            unsentOffset = 0
        }
        let needed = unsentCount + count
        if needed > Self.unsentMax { return false }
        if needed > unsentCapacity {
            let capacity = max(needed, min(unsentCapacity * 2, Self.unsentMax))
            guard let grown = realloc(unsent, capacity) else { return false }
            unsent = grown.assumingMemoryBound(to: UInt8.self)
            unsentCapacity = capacity
        }
        guard let unsent else { return false }
        memcpy(unsent + unsentCount, bytes, count)
        unsentCount = needed
        return true
    }

    mutating func dropUnsent() {
        Glibc.free(unsent)
        unsent = nil
        unsentCount = 0
        unsentOffset = 0
        unsentCapacity = 0
        isUnsentLazy = false
    }

    /// Sends what is kept: 0 when nothing is left, -EAGAIN, or -errno.
    mutating func flush() -> Int {
        while unsentCount > 0, let bytes = unsent {
            let sent = send(fd, bytes + unsentOffset, unsentCount, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            if sent < 0 {
                isUnsentLazy = false
                let error = errno
                if error == EINTR { continue }
                if error == EAGAIN { return -Int(EAGAIN) }
                socketError = error
                return -Int(error)
            }
            unsentOffset += sent
            unsentCount -= sent
        }
        if unsent != nil { dropUnsent() }
        return 0
    }

    /// Sends what lies in the staging room; the kernel's leavings are kept. 0, or -errno.
    mutating func sendStaged() -> Int {
        let thread = thread.takeUnretainedValue()
        let count = thread.stagedCount
        thread.stagedCount = 0
        return put(thread.staging, count)
    }

    /// Sends bytes behind what is kept already; keeps what the kernel does not take. 0, or -errno.
    mutating func put(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var offset = 0
        while unsentCount == 0, offset < count {
            let sent = send(fd, bytes + offset, count - offset, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            if sent < 0 {
                let error = errno
                if error == EINTR { continue }
                if error == EAGAIN { break }
                socketError = error
                return -Int(error)
            }
            offset += sent
        }
        return keep(bytes + offset, count - offset) ? 0 : -Int(ENOBUFS)
    }

    // MARK: what OpenSSL calls

    /// 1: taken; -1: not.
    mutating func bioWrite(_ bio: OpaquePointer, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
        weir_bio_clear_retry(bio)
        wouldBlock = false
        if isPlainHTTP { return -1 }
        if isCorked {
            let thread = thread.takeUnretainedValue()
            if thread.stagedCount + count > TLSThread.stagingCapacity, sendStaged() != 0 { return -1 }
            if count <= TLSThread.stagingCapacity {
                memcpy(thread.staging + thread.stagedCount, bytes, count)
                thread.stagedCount += count
                return 1
            }
        }
        if unsentCount + count > Self.unsentMax, flush() == -Int(EAGAIN) {
            wouldBlock = true
            wouldBlockOnWrite = true
            weir_bio_set_retry_write(bio)
            return -1
        }
        return put(bytes, count) == 0 ? 1 : -1
    }

    /// > 0: bytes read; 0: end of stream; -1: none now, or an error.
    mutating func bioRead(_ bio: OpaquePointer, _ into: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int {
        weir_bio_clear_retry(bio)
        wouldBlock = false
        var count = 0
        if fedCount > 0, let fed {
            count = min(fedCount, capacity)
            memcpy(into, fed + fedOffset, count)
            fedOffset += count
            fedCount -= count
            if fedCount == 0 { dropFed() }
        } else if isDrained {
            return block(bio)
        } else {
            repeat { count = recv(fd, into, capacity, Int32(MSG_DONTWAIT)) } while count < 0 && errno == EINTR
            if count == 0 {
                isEndOfStream = true
                return 0
            }
            if count < 0 {
                if errno == EAGAIN {
                    isDrained = true
                    return block(bio)
                }
                socketError = errno
                return -1
            }
            if count < capacity && !isHungUp { isDrained = true }
        }
        if !hasSeenBytes {
            hasSeenBytes = true
            // A TLS record begins with 22 (RFC 8446 §5.1), an HTTP request with a capital letter.
            if isServer, into[0] >= 0x41, into[0] <= 0x5a {
                isPlainHTTP = true
                return -1
            }
        }
        return count
    }

    private mutating func block(_ bio: OpaquePointer) -> Int {
        wouldBlock = true
        wouldBlockOnWrite = false
        weir_bio_set_retry_read(bio)
        return -1
    }

    mutating func dropFed() {
        Glibc.free(fed)
        fed = nil
        fedCount = 0
        fedOffset = 0
    }
}

/// The BIO method of all connections.
enum SocketBIO {
    /// Made once and never freed. Immutable after that.
    nonisolated(unsafe) static let method: OpaquePointer? = {
        guard let method = BIO_meth_new(BIO_get_new_index() | typeSourceSink, "weir") else {
            return nil
        }
        BIO_meth_set_read_ex(method) { bio, into, capacity, count in
            guard let bio, let into, let state = SocketBIO.state(bio) else { return -1 }
            let result = into.withMemoryRebound(to: UInt8.self, capacity: capacity) {
                state.pointee.bioRead(bio, $0, capacity)
            }
            count?.pointee = max(0, result)
            return result > 0 ? 1 : Int32(result)
        }
        BIO_meth_set_write_ex(method) { bio, bytes, byteCount, count in
            guard let bio, let bytes, let state = SocketBIO.state(bio) else { return -1 }
            let result = bytes.withMemoryRebound(to: UInt8.self, capacity: byteCount) {
                state.pointee.bioWrite(bio, $0, byteCount)
            }
            count?.pointee = result == 1 ? byteCount : 0
            return result
        }
        BIO_meth_set_ctrl(method) { bio, command, _, _ in
            switch command {
            case BIO_CTRL_FLUSH: return 1
            case BIO_CTRL_EOF:
                guard let bio, let state = SocketBIO.state(bio) else { return 0 }
                return state.pointee.isEndOfStream ? 1 : 0
            default: return 0
            }
        }
        return method
    }()

    private static let typeSourceSink: Int32 = 0x0400

    @inline(__always)
    private static func state(_ bio: OpaquePointer) -> UnsafeMutablePointer<SessionState>? {
        BIO_get_data(bio)?.assumingMemoryBound(to: SessionState.self)
    }
}
