// One stream of a session, as the transport of a client or upstream connection.
//
// HTTP/2 and what comes after it put many exchanges on one connection. Each of the streams is given to the phases as a
// connection of its own, with one exchange: what arrives on it waits in an inbox until it is received
// (and only then may the peer send more: the stream's window is the back-pressure), what is sent goes
// into the session's queue for that stream as far as it has room. The session itself, its socket and
// its events are for Carriers/ and HTTP/.

import Glibc
import Reactor

extension TokenKind {
    static let session: UInt8 = 10
    static let stream: UInt8 = 16
}

typealias StreamPointer = UnsafeMutablePointer<StreamEnd>
typealias SessionPointer = UnsafeMutablePointer<SessionRecord>

/// Our end of one stream. Lives until the connection it is the transport of is closed.
struct StreamEnd {
    let handle: Handle
    let session: SessionPointer
    /// 0 until a request is submitted on it.
    var id: Int64
    /// Whose transport it is.
    var client: ClientPointer?
    var upstream: UpstreamPointer?
    var isOpening = false
    /// Received and not yet taken.
    var inbox = Outbox()
    /// The peer has ended its direction.
    var ended = false
    /// errno-like: how the stream broke, 0 while it has not.
    var error: Int32 = 0
    /// The peer promised that it did nothing with the request.
    var isUnprocessed = false
    /// The session does not know it any more.
    var isGone = false
    /// The session ends with what it is called for next: what has come is all there will be, and is taken now or never.
    var isLastCall = false
    /// Trailer fields that came, as lines.
    var trailers: BufferPointer?
    /// The head of a response without content, until it is certain that none comes (`keepHead`).
    var head: BufferPointer?
    /// Our direction is ended, or will be once nothing waits.
    var endIsSubmitted = false
    var endIsDue = false
    var endTrailers: BufferPointer?
    // Links of the session's streams.
    var next: StreamPointer?
    var previous: StreamPointer?
}

/// What the sessions of one worker share.
struct SessionShared {
    /// Sessions with something to send, linked by `nextDirty`.
    var firstDirty: SessionPointer?
}

/// One connection that carries streams.
struct SessionRecord {
    let handle: Handle
    /// The version's session, retained while the connection carries one.
    let object: Unmanaged<StreamSession>
    let shared: UnsafeMutablePointer<SessionShared>
    /// The connection's own way out and in.
    let transport: UnsafeMutablePointer<Transport>
    /// Whose connection it is.
    let client: ClientPointer?
    let upstream: UpstreamPointer?
    var firstStream: StreamPointer?
    var streamCount = 0
    /// Streams given to attempts that have not opened them yet.
    var streamsOpening = 0
    /// The peer has said how many streams it takes.
    var settingsAreKnown = false
    var isDirty = false
    var isShuttingDown = false
    var finalGoawayIsSent = false
    /// No stream has been open since we asked the client to open no more.
    var isQuiet = false
    /// Nor is the client owed anything: it has read all that was sent, and knows that we go.
    var hasReadAll = false
    /// A client's session: its timer, and what that is for; 0 where nothing is due.
    var timer: TimerID = -1
    var settingsDueMs: UInt64 = 0
    var retireAtMs: UInt64 = 0
    var finalGoawayAtMs: UInt64 = 0
    var nextDirty: SessionPointer?
    // Links of an endpoint's pool.
    var nextInPool: SessionPointer?
    var previousInPool: SessionPointer?
}

extension UnsafeMutablePointer<SessionRecord> {
    /// Calls the version's session, without counting references to it.
    @inline(__always)
    func session<Result>(_ body: (StreamSession) -> Result) -> Result {
        pointee.object._withUnsafeGuaranteedRef(body)
    }

    /// There is something to send: done at the end of the loop turn, for all streams in one go.
    @inline(__always)
    func mark() {
        if pointee.isDirty { return }
        pointee.isDirty = true
        pointee.nextDirty = pointee.shared.pointee.firstDirty
        pointee.shared.pointee.firstDirty = self
    }
}

extension UnsafeMutablePointer<StreamEnd> {
    // MARK: in

    func receive(_ into: UnsafeMutablePointer<UInt8>, _ capacity: Int, pool: inout BufferPool) -> Int {
        var count = 0
        while count < capacity, let buffer = pointee.inbox.first {
            let fits = min(buffer.count, capacity - count)
            memcpy(into + count, buffer.readable, fits)
            pointee.inbox.took(fits, pool: &pool)
            count += fits
        }
        if count > 0 {
            if !pointee.isGone {
                pointee.session.session { $0.consumed(pointee.id, count) }
                pointee.session.mark()
            }
            return count
        }
        if pointee.error != 0 { return -Int(pointee.error) }
        return pointee.ended ? 0 : -Int(EAGAIN)
    }

    /// What came behind the body, as lines; the caller's to give back.
    func takeTrailers() -> BufferPointer? {
        let trailers = pointee.trailers
        pointee.trailers = nil
        return trailers
    }

    @inline(__always)
    var hasMore: Bool { pointee.inbox.count > 0 || pointee.ended || pointee.error != 0 }

    /// Our direction is at its end and the peer's is not.
    var mayCarryMore: Bool { pointee.endIsSubmitted && !pointee.ended && !pointee.isGone }

    // MARK: out

    func send(_ parts: UnsafeMutablePointer<iovec>, _ partCount: Int) -> Int {
        if pointee.isGone || pointee.id == 0 { return -Int(EPIPE) }
        var sent = 0
        for i in 0..<partCount {
            let count = parts[i].iov_len
            if count == 0 { continue }
            let bytes = parts[i].iov_base.assumingMemoryBound(to: UInt8.self)
            let taken = pointee.session.session { $0.submitData(pointee.id, bytes, count) }
            sent += taken
            if taken < count { break }
        }
        pointee.session.mark()
        // It may have gone by what it was given.
        if pointee.isGone { return -Int(EPIPE) }
        return sent > 0 ? sent : -Int(EAGAIN)
    }

    /// Opens the stream with a request head. False: the session takes no more.
    func submitRequest(
        _ text: UnsafeMutablePointer<UInt8>, _ written: WrittenRequest, fieldsEnd: Int, scheme: StaticString,
        isExtendedConnect: Bool, ends: Bool
    ) -> Bool {
        let connect: StaticString = "CONNECT"
        let websocket: StaticString = "websocket"
        let request = StreamRequest(
            method: isExtendedConnect
                ? UnsafeBufferPointer(start: connect.utf8Start, count: connect.utf8CodeUnitCount)
                : UnsafeBufferPointer(start: text + written.start, count: written.methodCount),
            scheme: scheme,
            authority: UnsafeBufferPointer(start: text + written.hostStart, count: written.hostCount),
            path: UnsafeBufferPointer(start: text + written.targetStart, count: written.targetCount),
            protocolName: isExtendedConnect
                ? UnsafeBufferPointer(start: websocket.utf8Start, count: websocket.utf8CodeUnitCount) : nil,
            lines: text + written.fieldsStart, lineBytes: fieldsEnd - written.fieldsStart)
        let session = pointee.session
        isOpening(false)
        guard
            let id = session.session({
                $0.submitRequest(request, ends: ends, userData: UInt(bitPattern: self))
            })
        else { return false }
        pointee.id = id
        if ends { pointee.endIsSubmitted = true }
        session.mark()
        return true
    }

    /// Sends a response head, whose fields stand as lines. Interim heads leave the stream as it was.
    func sendHead(status: UInt16, lines: UnsafeMutablePointer<UInt8>, _ count: Int, ends: Bool) -> Bool {
        pointee.session.mark()
        if ends && status >= 200 { pointee.endIsSubmitted = true }
        return pointee.session.session {
            $0.submitHead(pointee.id, status: status, lines: lines, count, ends: ends)
        }
    }

    /// Ends our direction, at once or when what waits has been taken; trailers stand as lines.
    func end(
        trailers: UnsafeMutablePointer<UInt8>?, _ count: Int, isBlocked: Bool, pool: inout BufferPool
    ) {
        if pointee.endIsSubmitted || pointee.endIsDue || pointee.isGone { return }
        if isBlocked {
            pointee.endIsDue = true
            if let trailers, count > 0 {
                let kept = pool.take(count)
                kept.append(trailers, count)
                pointee.endTrailers = kept
            }
            return
        }
        pointee.endIsSubmitted = true
        pointee.session.session { $0.submitEnd(pointee.id, trailers: trailers, count) }
        pointee.session.mark()
    }

    /// What waited has been taken: an end that stood behind it follows.
    func endIfDue(pool: inout BufferPool) {
        guard pointee.endIsDue else { return }
        pointee.endIsDue = false
        let trailers = pointee.endTrailers
        pointee.endTrailers = nil
        end(trailers: trailers?.readable, trailers?.count ?? 0, isBlocked: false, pool: &pool)
        if let trailers { pool.give(trailers) }
    }

    /// Lets go of the stream. reset, or a message not ended: the peer is told that it was cut.
    func close(reset: Bool, pool: inout BufferPool) {
        pointee.inbox.clear(pool: &pool)
        if let trailers = pointee.trailers { pool.give(trailers) }
        if let trailers = pointee.endTrailers { pool.give(trailers) }
        if let head = pointee.head { pool.give(head) }
        pointee.head = nil
        pointee.trailers = nil
        pointee.endTrailers = nil
        let session = pointee.session
        isOpening(false)
        if pointee.id != 0 && !pointee.isGone {
            session.session { $0.setUserData(pointee.id, 0) }
            if reset || !pointee.endIsSubmitted {
                let cut: StreamCut = session.pointee.client != nil ? .failed : .cancelled
                session.session { $0.reset(pointee.id, cut) }
            } else if !pointee.ended {
                // The answer is whole and the rest of the request not wanted (RFC 9113 §8.1).
                session.session { $0.reset(pointee.id, .unwanted) }
            }
            session.mark()
        }
        pointee.isGone = true
        if let next = pointee.next { next.pointee.previous = pointee.previous }
        if let previous = pointee.previous {
            previous.pointee.next = pointee.next
        } else if session.pointee.firstStream == self {
            session.pointee.firstStream = pointee.next
        }
        session.pointee.streamCount -= 1
    }

    /// Whether the stream has a place in the session without having been opened yet.
    func isOpening(_ value: Bool) {
        if pointee.isOpening == value { return }
        pointee.isOpening = value
        pointee.session.pointee.streamsOpening += value ? 1 : -1
    }
}
