// HTTP/2 behind the seam of versions that carry streams (Transports/StreamSession.swift): the codec of floor 2 as one
// connection's session, its events as those of any version.

import Glibc
import Reactor
import TLS
import WeirHTTP2
import WeirHTTPModel
import WeirResilience

extension Detail {
    init(_ violation: HTTP2Violation) { self.init(.http2, violation.rawValue) }
}

/// HTTP/2 with a listener's or a service's limits.
public final class HTTP2Streams: StreamProtocol, @unchecked Sendable {
    private let configuration: HTTP2Configuration

    public init(_ configuration: HTTP2Configuration) {
        self.configuration = configuration
        super.init()
    }

    override var alpn: NegotiatedProtocol { .h2 }

    /// "PRI * HTTP/2.0": no method begins like this (RFC 9113 §3.4).
    override func opens(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
        count >= 3 && bytes[0] == 0x50 && bytes[1] == 0x52 && bytes[2] == 0x49
    }

    override func makeShared() -> AnyObject? { HTTP2Context().map { HTTP2Shared($0) } }

    override func makeSession(_ role: StreamRole, shared: AnyObject, nowMs: UInt64) -> StreamSession? {
        guard let shared = shared as? HTTP2Shared else { return nil }
        let session = HTTP2Session(
            shared.context, role: role == .server ? .server : .client, configuration: configuration,
            nowMs: nowMs)
        return session.map { HTTP2StreamSession($0, shared) }
    }
}

/// What a worker's sessions share: the codec's free lists, and where fields are listed for a call.
private final class HTTP2Shared {
    let context: HTTP2Context
    let fields: UnsafeMutablePointer<HTTP2Field>

    init(_ context: HTTP2Context) {
        self.context = context
        fields = .allocate(capacity: Worker.fieldsMax)
    }

    deinit {
        context.destroy()
        fields.deallocate()
    }
}

private final class HTTP2StreamSession: StreamSession {
    private let session: HTTP2Session
    private let shared: HTTP2Shared
    private let fields: UnsafeMutablePointer<HTTP2Field>

    init(_ session: HTTP2Session, _ shared: HTTP2Shared) {
        self.session = session
        self.shared = shared
        fields = shared.fields
    }

    override var version: Version { .http2 }

    /// Numbers of streams have 31 bits here.
    @inline(__always)
    private func number(_ stream: Int64) -> Int32 { Int32(truncatingIfNeeded: stream) }

    // MARK: bytes and events

    override func receive(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, nowMs: UInt64) {
        session.receive(bytes, count: count, nowMs: nowMs)
    }

    override func nextEvent(into event: StreamEventPointer) -> Bool {
        while let next = session.nextEventInPlace() {
            let kind = next.pointee.kind
            switch kind {
            case .head:
                event.pointee.kind = .head
                event.pointee.protocolName = next.pointee.protocolName
                event.pointee.request = next.pointee.request
                event.pointee.response = next.pointee.response
            case .withdrawn: event.pointee.kind = .withdrawn
            case .headRefused: event.pointee.kind = .headRefused
            case .data: event.pointee.kind = .data
            case .trailers: event.pointee.kind = .trailers
            case .end: event.pointee.kind = .end
            case .malformed: event.pointee.kind = .malformed
            case .reset: event.pointee.kind = .reset
            case .closed: event.pointee.kind = .closed
            case .writable: event.pointee.kind = .writable
            case .settings: event.pointee.kind = .settings
            case .pingAck: event.pointee.kind = .roundTrip
            case .violation: event.pointee.kind = .violation
            // A connection that takes no more streams says so when it is asked (`acceptsNoStreams`).
            case .priority, .goaway: continue
            }
            event.pointee.endsStream = next.pointee.endsStream
            event.pointee.isUnprocessed = next.pointee.isUnprocessed || next.pointee.code == .refusedStream
            event.pointee.status = next.pointee.status
            event.pointee.detail =
                kind == .headRefused ? Detail(next.pointee.cause) : Detail(next.pointee.violation)
            event.pointee.fieldCount = next.pointee.fieldCount
            event.pointee.stream = Int64(next.pointee.stream)
            event.pointee.userData = next.pointee.userData
            event.pointee.count = next.pointee.count
            event.pointee.bytes = next.pointee.bytes
            event.pointee.fields = next.pointee.fields
            return true
        }
        return false
    }

    override func send(
        _ transport: UnsafeMutablePointer<Transport>, room: UnsafeMutablePointer<UInt8>, _ capacity: Int,
        pool: inout BufferPool, nowMs: UInt64
    ) -> StreamOutput {
        if transport.pointee.isBlocked { return .nothing }
        let count = session.output(into: room, capacity: capacity, nowMs: nowMs)
        if count == 0 { return .nothing }
        return transport.pointee.send(room, count, pool: &pool, nowMs: nowMs) == 0 ? .sent : .broken
    }

    override func destroy() { session.destroy() }

    // MARK: the connection

    override var isFinished: Bool { session.isFinished }
    override var wantsInput: Bool { session.wantsInput }
    override var violation: StreamViolation? {
        let violation = session.violation
        if violation == .none { return nil }
        return StreamViolation(
            detail: Detail(violation), text: violation.text, section: violation.section)
    }
    override var streamsOpen: Int { session.streamsOpen }
    override var streamsFree: Int { session.streamsFree }
    override var acceptsNoStreams: Bool { session.acceptsNoStreams }
    override var settingsAreAcknowledged: Bool { session.settingsAreAcknowledged }
    override func settingsTimedOut() { session.settingsTimedOut() }
    override func announceShutdown() { session.announceShutdown() }
    override func shutdown() { session.shutdown() }
    override func terminate() { session.terminate(.enhanceYourCalm) }

    // MARK: stalls

    override var isWaiting: Bool { session.isWaiting }
    override func areUnderWay(_ untaken: Int, nowMs: UInt64) { session.areUnderWay(untaken, nowMs: nowMs) }
    override func waitingSinceMs() -> UInt64? { session.waitingSinceMs() }
    override func isStalled(since sinceMs: UInt64) -> Bool { session.isStalled(since: sinceMs) }
    override func firstStalled(since sinceMs: UInt64, isDrained: Bool) -> Int64? {
        session.firstStalled(since: sinceMs, isDrained: isDrained).map { Int64($0) }
    }
    override func taken(_ stream: Int64, untaken: Int) -> UInt64 {
        session.taken(number(stream), untaken: untaken)
    }
    override func queuedBytes(_ stream: Int64) -> Int { session.queuedBytes(number(stream)) }

    // MARK: streams

    override func setUserData(_ stream: Int64, _ userData: UInt) {
        session.setUserData(number(stream), userData)
    }
    override func userData(_ stream: Int64) -> UInt { session.userData(number(stream)) }
    override func consumed(_ stream: Int64, _ count: Int) { session.consumed(number(stream), count) }

    override func submitRequest(_ request: StreamRequest, ends: Bool, userData: UInt) -> Int64? {
        let count = list(request.lines, request.lineBytes)
        return session.submitRequest(
            method: request.method, scheme: request.scheme, authority: request.authority, path: request.path,
            protocolName: request.protocolName, fields: fields, count: count, endStream: ends,
            userData: userData
        ).map { Int64($0) }
    }

    override func submitHead(
        _ stream: Int64, status: UInt16, lines: UnsafeMutablePointer<UInt8>, _ count: Int, ends: Bool
    ) -> Bool {
        let fieldCount = list(lines, count)
        if status >= 100 && status < 200 {
            return session.submitInterim(number(stream), status: status, fields: fields, count: fieldCount)
        }
        return session.submitResponseHead(
            number(stream), status: status, fields: fields, count: fieldCount, endStream: ends)
    }

    override func submitData(_ stream: Int64, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        session.submitData(number(stream), bytes, count: count)
    }

    override func submitEnd(_ stream: Int64, trailers: UnsafeMutablePointer<UInt8>?, _ count: Int) {
        let fieldCount = trailers.map { list($0, count) } ?? 0
        session.submitEnd(
            number(stream), trailers: fieldCount > 0 ? UnsafePointer(fields) : nil, count: fieldCount)
    }

    override func endSentMs(_ stream: Int64) -> UInt64? { session.endSentMs(number(stream)) }

    override func reset(_ stream: Int64, _ cut: StreamCut) {
        let code: HTTP2ErrorCode =
            switch cut {
            case .unwanted: .noError
            case .refused: .refusedStream
            case .failed: .internalError
            case .cancelled: .cancel
            case .tooSlow: .enhanceYourCalm
            }
        session.reset(number(stream), code)
    }

    /// Splits lines of our own making, "name: value" CR LF, into `fields`. Answers how many.
    private func list(_ lines: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        var at = 0
        var found = 0
        while at < count, found < Worker.fieldsMax {
            guard let colon = memchr(lines + at, 0x3a, count - at),
                let end = memchr(lines + at, 0x0d, count - at)
            else { break }
            let name = lines + at
            let nameCount = colon.assumingMemoryBound(to: UInt8.self) - name
            let lineCount = end.assumingMemoryBound(to: UInt8.self) - name
            let valueStart = min(nameCount + 2, lineCount)
            fields[found] = HTTP2Field(
                name: name, nameCount: nameCount, value: name + valueStart,
                valueCount: lineCount - valueStart)
            found += 1
            at += lineCount + 2
        }
        return found
    }
}
