// One HTTP/2 connection as a codec (RFC 9113): bytes in, events out; messages in, bytes out. Server or
// client. No sockets, no clocks: now is a parameter, in milliseconds of any monotonic clock.
//
//   received bytes ─▶ receive ─▶ nextEvent, until nil ─▶ the owner acts: submit…, consumed, reset
//   output, until 0 ─▶ bytes for the wire ─▶ nextEvent, until nil
//
// The library (nghttp2) does frames, HPACK, stream states and windows. Messages are judged here, by the
// rules of HTTP/1.1's parsers and those of RFC 9113 §8 (HeadBuilder, HeadFinish), and so is what a peer
// may do how often (FloodBudget). Memory per connection is bounded whatever the peer does: see
// HTTP2Configuration. Does not decide what to answer, when to time out, or which requests to retry.

import CNGHTTP2
import WeirHTTP1
import WeirHTTPModel

/// A handle of one connection's state: plain data, to be kept in a slab. Made with `init`, ended with
/// `destroy`; not valid afterwards.
public struct HTTP2Session: BitwiseCopyable {
    let s: SessionPointer

    /// Starts a session; the preface and SETTINGS wait in the output at once. Nil: out of memory.
    public init?(
        _ context: HTTP2Context, role: HTTP2Role, configuration: HTTP2Configuration, nowMs: UInt64
    ) {
        let state = SessionPointer.allocate(capacity: 1)
        var library: OpaquePointer?
        let made =
            role == .server
            ? nghttp2_session_server_new2(
                &library, context.c.pointee.callbacks, state, context.c.pointee.options)
            : nghttp2_session_client_new2(
                &library, context.c.pointee.callbacks, state, context.c.pointee.options)
        guard made == 0, let library else {
            state.deallocate()
            return nil
        }
        state.initialize(
            to: SessionState(
                context: context.c, role: role, configuration: configuration, library: library,
                nowMs: nowMs, budget: FloodBudget(configuration.floods, nowMs: nowMs),
                input: HTTP2Event.nowhere, watch: FrameWatch(role: role),
                out: UnsafeMutablePointer(mutating: HTTP2Event.nowhere)))
        s = state
        submitSettings()
    }

    private func submitSettings() {
        let configuration = s.pointee.configuration
        withUnsafeTemporaryAllocation(of: nghttp2_settings_entry.self, capacity: 6) { entries in
            var count = 0
            func set(_ id: nghttp2_settings_id, _ value: UInt32) {
                entries[count] = nghttp2_settings_entry(
                    settings_id: Int32(bitPattern: id.rawValue), value: value)
                count &+= 1
            }
            if s.pointee.role == .server {
                // The library ends the connection at one stream too many; refusing that stream is ours, and
                // so is telling the peer the real number (`announceStreamsMax`).
                set(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, UInt32(Int32.max))
                if configuration.offersExtendedConnect { set(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1) }
            } else {
                set(NGHTTP2_SETTINGS_ENABLE_PUSH, 0)
            }
            set(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, min(configuration.streamWindowBytes, 1 << 31 - 1))
            set(
                NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
                UInt32(truncatingIfNeeded: min(configuration.head.bytesMax, 1 << 30)))
            set(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1)
            nghttp2_submit_settings(s.pointee.library, 0, entries.baseAddress, count)
        }
        nghttp2_session_set_local_window_size(
            s.pointee.library, 0, 0,
            Int32(truncatingIfNeeded: min(configuration.connectionWindowBytes, 1 << 31 - 1)))
    }

    /// Frees the session and its streams without a word to anybody.
    public func destroy() {
        nghttp2_session_del(s.pointee.library)
        while let record = s.pointee.streams.first(where: { _ in true }) { freeRecord(s, record) }
        s.pointee.streams.deallocate()
        if let box = s.pointee.inbox { s.pointee.context.pointee.give(box) }
        s.deinitialize(count: 1)
        s.deallocate()
    }

    // MARK: - Receiving

    /// Hands over bytes from the peer; then call `nextEvent` until it answers nil, which is when they
    /// are used up and may go away. Not to be called before that.
    public func receive(_ bytes: UnsafePointer<UInt8>, count: Int, nowMs: UInt64) {
        s.pointee.nowMs = nowMs
        s.pointee.input = bytes
        s.pointee.inputCount = count
        s.pointee.inputWatched = 0
    }

    /// The next event, also of those that `output` causes; nil when there is none. Pointers in the event
    /// before become invalid.
    public func nextEvent() -> HTTP2Event? { nextEventInPlace()?.pointee }

    /// The same where it lies, for who takes what it needs of it before anything else is done with the session.
    public func nextEventInPlace() -> UnsafePointer<HTTP2Event>? {
        while true {
            if let box = s.pointee.inbox, box.pointee.eventNext < box.pointee.eventCount {
                let event = box.pointee.events + box.pointee.eventNext
                box.pointee.eventNext &+= 1
                if event.pointee.bytesOffset >= 0 {
                    event.pointee.bytes = UnsafePointer(box.pointee.bytes + event.pointee.bytesOffset)
                    event.pointee.fields = UnsafePointer(box.pointee.fields + event.pointee.fieldsOffset)
                }
                if let record = event.pointee.record {
                    event.pointee.userData = record.pointee.userData
                    if s.pointee.role == .server, !mayDeliver(event, record) { continue }
                    if event.pointee.kind == .closed {
                        let isKnown = record.pointee.flags.contains(.isKnown)
                        event.pointee.record = nil
                        freeRecord(s, record)
                        if !isKnown { continue }
                    }
                }
                return UnsafePointer(event)
            }
            if !s.pointee.isDeaf, s.pointee.isPaused || s.pointee.inputCount > 0 {
                decode()
                continue
            }
            s.pointee.inputCount = 0
            releaseInbox()
            return nil
        }
    }

    private func decode() {
        restartInbox()
        // As much as the inbox takes before anything is delivered: a request that is withdrawn further on in
        // this block is then never seen.
        repeat {
            // A library that stands in the middle of a frame first gets to its end.
            let count = s.pointee.isPaused ? s.pointee.inputWatched : watchFrames(s)
            s.pointee.isPaused = false
            if s.pointee.isDeaf { return }
            let taken = nghttp2_session_mem_recv(s.pointee.library, s.pointee.input, count)
            if taken < 0 {
                violate(s, HTTP2Violation(libraryError: taken))
            } else if taken == 0 && count > 0 && !s.pointee.isPaused {
                s.pointee.inputCount = 0
            } else {
                s.pointee.input += min(taken, count)
                s.pointee.inputCount &-= min(taken, count)
                s.pointee.inputWatched = count &- min(taken, count)
            }
        } while s.pointee.inputCount > 0 && !s.pointee.isPaused && !s.pointee.isDeaf
    }

    /// Keeps from the owner what came of a request that was withdrawn in the same breath, but for the fact.
    private func mayDeliver(_ event: UnsafeMutablePointer<HTTP2Event>, _ record: StreamPointer) -> Bool {
        if event.pointee.kind == .head {
            if record.pointee.flags.contains(.peerReset) {
                record.pointee.flags.insert(.isWithdrawn)
                record.pointee.flags.remove(.isKnown)
                event.pointee.kind = .withdrawn
                return true
            }
            record.pointee.flags.insert(.isSeen)
        }
        return event.pointee.kind == .closed || !record.pointee.flags.contains(.isWithdrawn)
    }

    /// Everything in the inbox is delivered; an unfinished head moves to its start.
    private func restartInbox() {
        guard let box = s.pointee.inbox else { return }
        if s.pointee.head.kind == .none {
            box.pointee.restart(
                keepingBytesFrom: box.pointee.byteCount, fieldsFrom: box.pointee.fieldCount)
        } else {
            box.pointee.restart(
                keepingBytesFrom: s.pointee.head.byteStart, fieldsFrom: s.pointee.head.fieldStart)
        }
        s.pointee.head.byteStart = 0
        s.pointee.head.fieldStart = 0
    }

    private func releaseInbox() {
        guard let box = s.pointee.inbox else { return }
        if s.pointee.head.kind == .none || s.pointee.isDeaf {
            s.pointee.head.kind = .none
            s.pointee.context.pointee.give(box)
            s.pointee.inbox = nil
        } else {
            restartInbox()
        }
    }

    /// Body bytes are out of the owner's hands: the peer may send as many again. What was delivered of a
    /// stream that ends otherwise needs no `consumed`.
    public func consumed(_ stream: Int32, _ count: Int) {
        guard count > 0, let record = s.pointee.streams.find(stream) else { return }
        let count = min(count, record.pointee.unconsumed)
        record.pointee.unconsumed &-= count
        if count > 0 { nghttp2_session_consume(s.pointee.library, stream, count) }
    }

    // MARK: - State

    /// Attaches the owner's word to a stream; events carry it, those already waiting too. False: there
    /// is no such stream.
    @discardableResult
    public func setUserData(_ stream: Int32, _ userData: UInt) -> Bool {
        guard let record = s.pointee.streams.find(stream) else { return false }
        record.pointee.userData = userData
        return true
    }

    /// 0 when there is no such stream.
    public func userData(_ stream: Int32) -> UInt {
        s.pointee.streams.find(stream)?.pointee.userData ?? 0
    }

    /// Nothing more will be read or written: close the connection.
    public var isFinished: Bool {
        if s.pointee.isDead { return true }
        return s.pointee.restCount == 0 && nghttp2_session_want_read(s.pointee.library) == 0
            && nghttp2_session_want_write(s.pointee.library) == 0
    }

    /// Whether `output` has something to write.
    public var wantsOutput: Bool {
        !s.pointee.isDead
            && (s.pointee.restCount > 0 || nghttp2_session_want_write(s.pointee.library) != 0)
    }

    /// False while too many frames wait for a peer that does not read, or after the end: stop reading.
    public var wantsInput: Bool {
        !s.pointee.isDeaf
            && nghttp2_session_get_outbound_queue_size(s.pointee.library)
                < HTTP2Configuration.controlFramesMax + Int(s.pointee.configuration.streamsMax)
    }

    /// Why the connection is over, `.none` while it is not or when it ends in order.
    public var violation: HTTP2Violation { s.pointee.violation }

    /// Streams whose `closed` has not been delivered.
    public var streamsOpen: Int { s.pointee.streams.count }

    /// Whether the peer has acknowledged our settings; it has to in reasonable time (RFC 9113 §6.5.3).
    public var settingsAreAcknowledged: Bool { s.pointee.settingsAcknowledged }

    /// Client: streams that may be opened now; more would wait inside.
    public var streamsFree: Int {
        if acceptsNoStreams { return 0 }
        // What is assumed until the peer has spoken (RFC 9113 §6.5.2 recommends no less).
        let announced: UInt32 =
            s.pointee.settingsReceived
            ? nghttp2_session_get_remote_settings(
                s.pointee.library, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) : 100
        let most = Int(min(announced, s.pointee.configuration.streamsMax))
        return max(0, most &- s.pointee.streams.count)
    }

    /// Client: the peer's settings offer extended CONNECT (RFC 8441 §3).
    public var peerOffersExtendedConnect: Bool {
        s.pointee.settingsReceived
            && nghttp2_session_get_remote_settings(
                s.pointee.library, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1
    }

    /// Client: GOAWAY came or went, or stream numbers are used up: open a new connection.
    public var acceptsNoStreams: Bool {
        s.pointee.goawayReceived || s.pointee.isTerminated || s.pointee.isDead
            || nghttp2_session_check_request_allowed(s.pointee.library) == 0
    }

    // MARK: Stalls

    // All but the first of these look at every stream: they are for timers.

    /// Whether body bytes wait for the peer's windows. Meaningful when `output` has been drained to 0.
    public var isWaiting: Bool { s.pointee.queued > 0 }

    /// A peer gives no window for bytes that have not reached it: the time of the streams whose last ones are among
    /// those begins when they have arrived. For a look from time to time, before the stalled are asked for.
    ///
    /// - Parameter untaken: how many of the last bytes of the output are still under way.
    public func areUnderWay(_ untaken: Int, nowMs: UInt64) {
        let taken = taken(untaken)
        if s.pointee.dataEnd > taken { s.pointee.progressMs = nowMs }
        _ = s.pointee.streams.first {
            if $0.pointee.queue.count > 0, $0.pointee.dataEnd > taken { $0.pointee.progressMs = nowMs }
            return false
        }
    }

    /// A total to be compared with an earlier one: how much of the output the peer has taken, at most up to the
    /// last body bytes of this stream.
    public func taken(_ stream: Int32, untaken: Int) -> UInt64 {
        min(s.pointee.streams.find(stream)?.pointee.dataEnd ?? 0, taken(untaken))
    }

    private func taken(_ untaken: Int) -> UInt64 {
        let bytes = UInt64(untaken)
        return s.pointee.outTotal > bytes ? s.pointee.outTotal &- bytes : 0
    }

    /// Since when none has left of the stream that has waited longest; nil: none waits.
    public func waitingSinceMs() -> UInt64? {
        var oldest: UInt64?
        _ = s.pointee.streams.first {
            if $0.pointee.queue.count > 0 { oldest = min(oldest ?? .max, $0.pointee.progressMs) }
            return false
        }
        return oldest
    }

    /// A stream whose bytes the peer has given no window since `sinceMs` or longer; nil: none. One that waits while
    /// others use up the connection, or its window, is none.
    ///
    /// - Parameter isDrained: all of the output has been taken, so that nothing but windows holds up what waits.
    public func firstStalled(since sinceMs: UInt64, isDrained: Bool) -> Int32? {
        if s.pointee.queued == 0 { return nil }
        return s.pointee.streams.first { isStalled($0, sinceMs, isDrained) }?.pointee.id
    }

    /// Whether that is so of every stream, the output being drained.
    public func isStalled(since sinceMs: UInt64) -> Bool {
        s.pointee.queued > 0
            && s.pointee.streams.first {
                $0.pointee.flags.isDisjoint(with: [.wasReset, .isClosed]) && !isStalled($0, sinceMs, true)
            } == nil
    }

    private func isStalled(_ record: StreamPointer, _ sinceMs: UInt64, _ isDrained: Bool) -> Bool {
        guard record.pointee.queue.count > 0, record.pointee.progressMs <= sinceMs else { return false }
        return isDrained && s.pointee.progressMs <= sinceMs
            || nghttp2_session_get_stream_remote_window_size(s.pointee.library, record.pointee.id) <= 0
    }
}
