// One TLS connection over a non-blocking socket, server or client side (RFC 8446, RFC 5246).
//
// A pointer to plain memory: copying it costs nothing, and its owner frees it once. Nothing here
// throws or allocates Swift memory once the connection stands. Works with an edge-triggered loop: after
// a readable event call `socketReadable`, then read until -EAGAIN or until `hasPending` is false.
// Deadlines are the owner's business, and so is closing the socket.

import COpenSSL
import Glibc

/// What became of a step of the handshake.
public enum HandshakeResult: Sendable, Equatable {
    case done
    /// Call again when the socket is readable.
    case wantRead
    /// Call again when the socket is writable.
    case wantWrite
    case failed(TLSFailure)
}

/// A handle to one connection. Not thread-safe; belongs to the worker whose TLSThread it was made with.
public struct TLSSession: BitwiseCopyable {
    let state: UnsafeMutablePointer<SessionState>

    // MARK: life

    /// The server side of a connection, nil when memory is short.
    /// - Parameter socket: a connected non-blocking socket; stays the caller's to close.
    public static func server(_ context: TLSServerContext, socket: Int32, thread: TLSThread) -> TLSSession? {
        guard let session = make(context.defaultContext, socket, isServer: true, thread, context) else {
            return nil
        }
        SSL_set_accept_state(session.state.pointee.ssl)
        session.state.pointee.mayHaveCertificate = context.settings.clientCertificates != nil
        return session
    }

    /// The client side of a connection to an endpoint, nil when memory is short.
    /// - Parameters:
    ///   - endpoint: a number that stands for the endpoint: a session saved for it is offered.
    ///   - host: the name or IP address to ask for and to verify when the context names none.
    public static func client(
        _ context: TLSClientContext, socket: Int32, thread: TLSThread, endpoint: Int, host: String? = nil
    ) -> TLSSession? {
        guard let session = make(context.sslContext, socket, isServer: false, thread, context) else {
            return nil
        }
        let ssl = session.state.pointee.ssl
        guard context.prepare(ssl, host: host) else {
            session.free()
            return nil
        }
        session.state.pointee.endpoint = endpoint
        session.state.pointee.contextID = context.id
        if let saved = thread.takeSession(endpoint: endpoint, contextID: context.id) {
            SSL_set_session(ssl, saved)
            SSL_SESSION_free(saved)
        }
        SSL_set_connect_state(ssl)
        return session
    }

    private static func make(
        _ sslContext: OpaquePointer, _ socket: Int32, isServer: Bool, _ thread: TLSThread, _ owner: AnyObject
    ) -> TLSSession? {
        guard let method = SocketBIO.method, let ssl = SSL_new(sslContext) else { return nil }
        guard let bio = BIO_new(method) else {
            SSL_free(ssl)
            return nil
        }
        let state = UnsafeMutablePointer<SessionState>.allocate(capacity: 1)
        state.initialize(
            to: SessionState(
                ssl: ssl, fd: socket, isServer: isServer, thread: .passUnretained(thread),
                context: .passRetained(owner)))
        BIO_set_data(bio, state)
        BIO_set_init(bio, 1)
        SSL_set_bio(ssl, bio, bio)
        weir_ssl_set_app_data(ssl, state)
        return TLSSession(state: state)
    }

    /// Frees the connection's memory. Sends nothing and does not close the socket; the handle and its
    /// copies are invalid afterwards.
    public func free() {
        // Without this OpenSSL makes the session unusable for resumption when close_notify is missing. A
        // cut connection is no fault of the session; anything else may be.
        let wasCut =
            state.pointee.failure.reason == .truncated || state.pointee.failure.reason == .socketFailed
        if !state.pointee.hasFailed || state.pointee.isEstablished && wasCut {
            SSL_set_shutdown(state.pointee.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        }
        SSL_free(state.pointee.ssl)
        state.pointee.dropUnsent()
        state.pointee.dropFed()
        if let certificate = state.pointee.certificate {
            certificate.pointee.deallocate()
            certificate.deallocate()
        }
        state.pointee.context.release()
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Gives bytes that were read from the socket before TLS took it over; they come first. Before the
    /// handshake only. False when memory is short.
    public func feed(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) -> Bool {
        if byteCount == 0 { return true }
        guard state.pointee.fed == nil, let memory = malloc(byteCount) else { return false }
        memcpy(memory, bytes, byteCount)
        state.pointee.fed = memory.assumingMemoryBound(to: UInt8.self)
        state.pointee.fedCount = byteCount
        return true
    }

    // MARK: events

    /// The event loop reported that the socket is readable. Without this call a socket that was found
    /// empty is not asked again.
    /// - Parameter hangUp: the peer has ended its direction (EPOLLRDHUP), so that no further event comes.
    @inline(__always)
    public func socketReadable(hangUp: Bool = false) {
        state.pointee.isDrained = false
        if hangUp { state.pointee.isHungUp = true }
    }

    /// Whether the last recv found the socket empty: the next bytes come with an event.
    public var socketIsDrained: Bool { state.pointee.isDrained }

    /// Whether `read` has to be called again without waiting for an event.
    @inline(__always)
    public var hasPending: Bool { state.pointee.mayHaveMore || state.pointee.fedCount > 0 }

    /// Whether encrypted bytes wait for the socket to become writable: call `flush` then.
    @inline(__always)
    public var hasUnsent: Bool { state.pointee.unsentCount > 0 && !state.pointee.isUnsentLazy }

    /// Encrypted bytes held because the kernel did not take them.
    public var unsentByteCount: Int { state.pointee.unsentCount }

    // MARK: handshake

    /// Goes on with the handshake as far as possible.
    public func handshake() -> HandshakeResult {
        if state.pointee.hasFailed { return .failed(state.pointee.failure) }
        if state.pointee.unsentCount > 0 {
            let flushed = state.pointee.flush()
            if flushed == -Int(EAGAIN) { return .wantWrite }
            if flushed < 0 { return .failed(fail(isHandshake: true)) }
        }
        ERR_clear_error()
        state.pointee.isCorked = true
        state.pointee.wouldBlock = false
        let result = SSL_do_handshake(state.pointee.ssl)
        state.pointee.isCorked = false
        if result == 1 { return established() }
        let sent = state.pointee.sendStaged()
        if state.pointee.wouldBlock, sent == 0 {
            return state.pointee.unsentCount > 0 || state.pointee.wouldBlockOnWrite ? .wantWrite : .wantRead
        }
        return .failed(fail(isHandshake: true))
    }

    private func established() -> HandshakeResult {
        // Errors of attempts that were followed by a success.
        ERR_clear_error()
        state.pointee.isEstablished = true
        // Data may have come with the end of the handshake, and no event will tell.
        state.pointee.mayHaveMore = !state.pointee.isDrained || SSL_has_pending(state.pointee.ssl) == 1
        let thread = state.pointee.thread.takeUnretainedValue()
        let count = thread.stagedCount
        // A server's tickets need not have a packet of their own: they go with the first answer.
        if state.pointee.isServer, count > 0, SSL_version(state.pointee.ssl) >= TLS1_3_VERSION {
            thread.stagedCount = 0
            state.pointee.isUnsentLazy = state.pointee.unsentCount == 0
            if state.pointee.keep(thread.staging, count) { return .done }
            return .failed(fail(isHandshake: true))
        }
        return state.pointee.sendStaged() == 0 ? .done : .failed(fail(isHandshake: true))
    }

    /// Why the connection failed, once a call has said so.
    public var failure: TLSFailure? { state.pointee.hasFailed ? state.pointee.failure : nil }

    public var isEstablished: Bool { state.pointee.isEstablished }

    // MARK: reading

    /// Reads as much plaintext as there is and fits.
    /// - Returns: > 0 bytes; 0: the peer sent close_notify; -EAGAIN: none now; other negative values:
    ///   failed, see `failure` (a connection that ended without close_notify is `.truncated`).
    public func read(_ into: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int {
        if state.pointee.hasFailed { return -Int(EPROTO) }
        if state.pointee.closeNotifyReceived { return 0 }
        var total = 0
        state.pointee.mayHaveMore = false
        while total < capacity {
            var count = 0
            state.pointee.wouldBlock = false
            if SSL_read_ex(state.pointee.ssl, into + total, capacity - total, &count) == 1 {
                total += count
                continue
            }
            if state.pointee.lateMessages > SessionState.lateMessagesMax {
                _ = fail(isHandshake: false)
            } else if state.pointee.wouldBlock {
                if total > 0 { return total }
                // Nobody is going to write now: what was held back to go with an answer leaves.
                if state.pointee.isUnsentLazy, state.pointee.flush() < 0, state.pointee.socketError != 0 {
                    _ = fail(isHandshake: false)
                    return -Int(EPROTO)
                }
                return -Int(EAGAIN)
            } else if !state.pointee.isEndOfStream, ERR_peek_error() == 0,
                SSL_get_shutdown(state.pointee.ssl) & SSL_RECEIVED_SHUTDOWN != 0
            {
                state.pointee.closeNotifyReceived = true
            } else {
                _ = fail(isHandshake: false)
            }
            // What came before the end is delivered first.
            if total > 0 {
                state.pointee.mayHaveMore = true
                return total
            }
            return state.pointee.closeNotifyReceived ? 0 : -Int(EPROTO)
        }
        state.pointee.mayHaveMore = true
        return total
    }

    // MARK: writing

    /// Encrypts and sends bytes. Accepted bytes are the connection's: what the socket does not take at
    /// once is kept (`hasUnsent`), and more is accepted only after it has left.
    /// - Returns: > 0 bytes accepted, at most `writeMax`; -EAGAIN: wait until the socket is writable,
    ///   then `flush`; other negative values: -errno, or -EPROTO with `failure` set.
    public func write(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int, nowMs: UInt64) -> Int {
        let limit = state.pointee.sizing.limit(nowMs: nowMs)
        if byteCount <= limit && state.pointee.unsentCount == 0 {
            if state.pointee.hasFailed || byteCount == 0 { return state.pointee.hasFailed ? -Int(EPROTO) : 0 }
            var count = 0
            state.pointee.wouldBlock = false
            guard SSL_write_ex(state.pointee.ssl, bytes, byteCount, &count) == 1 else { return writeFailed() }
            state.pointee.sizing.wrote(count)
            return count
        }
        let ready = beginGathering()
        if ready < 0 { return ready }
        return endGathering(gather(bytes, min(byteCount, Self.writeMax)))
    }

    /// Encrypts and sends several runs of bytes. Small ones share a record; all records leave in one
    /// system call. As `write`; the count accepted may end within any part.
    public func write(_ parts: UnsafePointer<iovec>, count partCount: Int, nowMs: UInt64) -> Int {
        let limit = state.pointee.sizing.limit(nowMs: nowMs)
        var total = 0
        for i in 0..<partCount { total += parts[i].iov_len }
        if partCount == 1, let base = parts[0].iov_base {
            return write(base.assumingMemoryBound(to: UInt8.self), parts[0].iov_len, nowMs: nowMs)
        }
        let thread = state.pointee.thread.takeUnretainedValue()
        if total <= limit {
            var at = 0
            for i in 0..<partCount {
                guard let base = parts[i].iov_base else { continue }
                memcpy(thread.plaintext + at, base, parts[i].iov_len)
                at += parts[i].iov_len
            }
            return write(thread.plaintext, total, nowMs: nowMs)
        }
        let ready = beginGathering()
        if ready < 0 { return ready }
        return endGathering(gather(parts, partCount, thread.plaintext))
    }

    /// The most one `write` accepts.
    public static let writeMax = 65_536

    /// Sends what earlier writes left. Call when the socket is writable.
    /// - Returns: 0: all gone; -EAGAIN; other: -errno.
    public func flush() -> Int {
        let result = state.pointee.flush()
        if result < 0, result != -Int(EAGAIN) { _ = fail(isHandshake: !state.pointee.isEstablished) }
        return result
    }

    private func beginGathering() -> Int {
        if state.pointee.hasFailed { return -Int(EPROTO) }
        let thread = state.pointee.thread.takeUnretainedValue()
        if state.pointee.unsentCount > 0 {
            if state.pointee.isUnsentLazy, state.pointee.unsentCount <= TLSThread.stagingCapacity / 4,
                let unsent = state.pointee.unsent
            {
                memcpy(thread.staging, unsent + state.pointee.unsentOffset, state.pointee.unsentCount)
                thread.stagedCount = state.pointee.unsentCount
                state.pointee.dropUnsent()
            } else {
                let flushed = flush()
                if flushed < 0 { return flushed }
            }
        }
        state.pointee.isCorked = true
        return 0
    }

    /// Encrypts into the staging room; the count taken, or negative.
    private func gather(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) -> Int {
        var done = 0
        while done < byteCount {
            var count = 0
            state.pointee.wouldBlock = false
            let piece = min(byteCount - done, state.pointee.sizing.limit)
            guard SSL_write_ex(state.pointee.ssl, bytes + done, piece, &count) == 1 else {
                return done > 0 ? done : writeFailed()
            }
            state.pointee.sizing.wrote(count)
            done += count
        }
        return done
    }

    /// The same for several parts: whatever is left of one goes with the beginning of the next.
    private func gather(
        _ parts: UnsafePointer<iovec>, _ partCount: Int, _ room: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var done = 0
        var part = 0
        var offset = 0
        while part < partCount, done < Self.writeMax {
            let limit = min(state.pointee.sizing.limit, Self.writeMax - done)
            guard let base = parts[part].iov_base, parts[part].iov_len > offset else {
                part += 1
                offset = 0
                continue
            }
            let left = parts[part].iov_len - offset
            let taken: Int
            if left >= limit || part == partCount - 1 {
                taken = gather(base.assumingMemoryBound(to: UInt8.self) + offset, min(left, limit))
                if taken > 0 { offset += taken }
            } else {
                var filled = 0
                while part < partCount, filled < limit {
                    let piece = min(parts[part].iov_len - offset, limit - filled)
                    if piece > 0, let base = parts[part].iov_base {
                        memcpy(room + filled, base + offset, piece)
                    }
                    filled += piece
                    offset += piece
                    if offset == parts[part].iov_len {
                        part += 1
                        offset = 0
                    }
                }
                taken = gather(room, filled)
                // A record is written whole or not at all; a failure is kept for the next call.
                if taken >= 0, taken < filled { return done + taken }
            }
            if taken < 0 { return done > 0 ? done : taken }
            done += taken
        }
        return done
    }

    private func endGathering(_ accepted: Int) -> Int {
        state.pointee.isCorked = false
        let sent = state.pointee.sendStaged()
        if sent < 0 {
            _ = fail(isHandshake: false)
            return sent
        }
        return accepted
    }

    private func writeFailed() -> Int {
        // Only a connection that holds as much as it may gets here without having failed.
        if state.pointee.wouldBlock { return -Int(EAGAIN) }
        let error = state.pointee.socketError
        _ = fail(isHandshake: false)
        return error != 0 ? -Int(error) : -Int(EPROTO)
    }

    // MARK: end

    /// Sends close_notify: nothing can be written afterwards, reading goes on.
    /// - Returns: 0: sent, or the connection had failed; -EAGAIN: wait, then `flush`; other: -errno.
    @discardableResult
    public func shutdown() -> Int {
        if state.pointee.hasFailed || !state.pointee.isEstablished { return 0 }
        if !state.pointee.closeNotifySent {
            state.pointee.closeNotifySent = true
            state.pointee.isUnsentLazy = false
            state.pointee.wouldBlock = false
            if SSL_shutdown(state.pointee.ssl) < 0 { ERR_clear_error() }
        }
        return flush()
    }

    // MARK: failure

    /// Records why the connection failed, the first time.
    private func fail(isHandshake: Bool) -> TLSFailure {
        let code = TLSFailure.drainErrorQueue()
        if state.pointee.hasFailed { return state.pointee.failure }
        state.pointee.hasFailed = true
        // The alert that tells the peer why may stand behind tickets that wait for an answer to go with.
        if state.pointee.isUnsentLazy, state.pointee.socketError == 0 {
            state.pointee.isUnsentLazy = false
            _ = state.pointee.flush()
        }
        let verifyResult = code != 0 ? Int32(truncatingIfNeeded: SSL_get_verify_result(state.pointee.ssl)) : 0
        let reason: TLSFailure.Reason
        if state.pointee.isPlainHTTP {
            reason = .plainHTTPReceived
        } else if state.pointee.lateMessages > SessionState.lateMessagesMax {
            reason = .tooManyKeyUpdates
        } else if state.pointee.isEndOfStream {
            // The alert that answers it may not be sendable any more: that is not the cause.
            reason = isHandshake ? .closedDuringHandshake : .truncated
            state.pointee.socketError = 0
        } else if state.pointee.socketError != 0 {
            // A peer that resets instead of closing has closed all the same.
            reason =
                isHandshake && [ECONNRESET, EPIPE].contains(state.pointee.socketError)
                ? .closedDuringHandshake : .socketFailed
        } else if code != 0 {
            reason = TLSFailure.reason(
                code: code, isHandshake: isHandshake, isServer: state.pointee.isServer,
                verifyResult: verifyResult)
        } else {
            reason = .internalError
        }
        state.pointee.failure = TLSFailure(
            reason, alert: state.pointee.alert, isAlertReceived: state.pointee.isAlertReceived,
            systemError: state.pointee.socketError, verifyResult: verifyResult, code: code)
        return state.pointee.failure
    }
}
