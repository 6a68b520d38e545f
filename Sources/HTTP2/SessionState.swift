// The memory of one session, reached through one pointer: by the owner's handle and by the library's
// callbacks. Fields are always used through that pointer, never through a mutating method on the whole,
// because the library calls back into it in the middle of a call.

import CNGHTTP2
import WeirHTTP1
import WeirHTTPModel

typealias SessionPointer = UnsafeMutablePointer<SessionState>

struct SessionState {
    let context: UnsafeMutablePointer<ContextState>
    let role: HTTP2Role
    let configuration: HTTP2Configuration
    var library: OpaquePointer
    var nowMs: UInt64
    var streams = StreamTable()
    var budget: FloodBudget

    // Receiving
    var inbox: UnsafeMutablePointer<Inbox>?
    var input: UnsafePointer<UInt8>
    var inputCount = 0
    /// Decoding stopped because the inbox was full; it may have to go on even without further bytes.
    var isPaused = false
    var head = HeadProgress()
    /// Bytes of the input that the library may be given (`watchFrames`).
    var inputWatched = 0
    var watch: FrameWatch
    var closed = ClosedStreams()
    /// PING frames of ours whose answers are under way.
    var pingsUnanswered = 0
    /// What our GOAWAY says; streams above it are passed over.
    var goawayLastSent = Int32.max

    // Sending
    var out: UnsafeMutablePointer<UInt8>
    var outCapacity = 0
    var outCount = 0
    /// What did not fit of a frame, in the library's memory until it is asked for the next frame.
    var rest: UnsafePointer<UInt8>?
    var restCount = 0
    /// Body bytes in all queues.
    var queued = 0
    var progressMs: UInt64 = 0
    /// Bytes of all output so far, and as many of them as end with the last DATA frame.
    var outTotal: UInt64 = 0
    var dataEnd: UInt64 = 0

    // The end
    var violation = HTTP2Violation.none
    /// Of the last frame that the library found invalid, for the reason of the GOAWAY that may follow.
    var invalid = HTTP2Violation.none
    var isTerminated = false
    /// No further bytes are read.
    var isDeaf = false
    /// The library has failed; nothing can be sent any more.
    var isDead = false
    var goawayReceived = false
    var settingsReceived = false
    /// The peer has acknowledged our SETTINGS.
    var settingsAcknowledged = false
    /// Server: our first SETTINGS frame has been written, with the number of streams we allow.
    var limitIsAnnounced = false
    /// Server: streams of the peer that count towards that number.
    var peerStreams = 0
}

/// Numbers of frame types (RFC 9113 §6, RFC 9218 §7.1).
enum FrameType {
    static var data: UInt8 { 0 }
    static var headers: UInt8 { 1 }
    static var priority: UInt8 { 2 }
    static var resetStream: UInt8 { 3 }
    static var settings: UInt8 { 4 }
    static var pushPromise: UInt8 { 5 }
    static var ping: UInt8 { 6 }
    static var goaway: UInt8 { 7 }
    static var windowUpdate: UInt8 { 8 }
    static var continuation: UInt8 { 9 }
    static var priorityUpdate: UInt8 { 0x10 }
}

enum FrameFlag {
    static var endStream: UInt8 { 1 }
    static var acknowledgement: UInt8 { 1 }
    static var padded: UInt8 { 8 }
}

/// What callbacks answer the library.
enum CallbackResult {
    static var fatal: CInt { CInt(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
    static var pause: CInt { CInt(NGHTTP2_ERR_PAUSE.rawValue) }
    static var wouldBlock: CInt { CInt(NGHTTP2_ERR_WOULDBLOCK.rawValue) }
    static var deferred: Int { Int(NGHTTP2_ERR_DEFERRED.rawValue) }
}

// MARK: - Events

@inline(__always)
func inbox(_ s: SessionPointer) -> UnsafeMutablePointer<Inbox> {
    if let inbox = s.pointee.inbox { return inbox }
    let inbox = s.pointee.context.pointee.takeInbox()
    s.pointee.inbox = inbox
    return inbox
}

func enqueue(_ s: SessionPointer, _ event: HTTP2Event) {
    inbox(s).pointee.append(event)
}

func enqueue(_ s: SessionPointer, _ kind: HTTP2Event.Kind, _ record: StreamPointer) {
    var event = HTTP2Event(kind)
    event.stream = record.pointee.id
    event.record = record
    inbox(s).pointee.append(event)
}

// MARK: - The end

/// Ends the connection because of what the peer did: GOAWAY is queued, and nothing more is read.
func violate(_ s: SessionPointer, _ violation: HTTP2Violation) {
    s.pointee.isDeaf = true
    guard s.pointee.violation == .none else { return }
    s.pointee.violation = violation
    var event = HTTP2Event(.violation)
    event.violation = violation
    event.code = violation.code
    enqueue(s, event)
    terminate(s, violation.code)
}

func terminate(_ s: SessionPointer, _ code: HTTP2ErrorCode) {
    s.pointee.isDeaf = true
    guard !s.pointee.isTerminated else { return }
    s.pointee.isTerminated = true
    nghttp2_session_terminate_session(s.pointee.library, code.rawValue)
}

/// Charges a flood; false, and the connection ended, when its budget is used up.
@inline(__always)
func charge(_ s: SessionPointer, _ kind: HTTP2Violation, _ tokens: UInt32 = 1) -> Bool {
    if s.pointee.budget.take(kind, tokens, nowMs: s.pointee.nowMs) { return true }
    violate(s, kind)
    return false
}

/// Resets a stream because of what the peer sent on it.
func malformed(
    _ s: SessionPointer, _ record: StreamPointer, _ violation: HTTP2Violation, cause: Violation = .none
) {
    if record.pointee.flags.contains(.discards) { return }
    record.pointee.flags.insert(.discards)
    var event = HTTP2Event(.malformed)
    event.stream = record.pointee.id
    event.record = record
    event.violation = violation
    event.cause = cause
    event.code = .protocolError
    enqueue(s, event)
    resetStream(s, record, .protocolError)
}

func resetStream(_ s: SessionPointer, _ record: StreamPointer, _ code: HTTP2ErrorCode) {
    if record.pointee.flags.contains(.wasReset) || record.pointee.flags.contains(.isClosed) { return }
    record.pointee.flags.insert(.wasReset)
    dropQueue(s, record)
    submitReset(s, record.pointee.id, code)
}

func submitReset(_ s: SessionPointer, _ id: Int32, _ code: HTTP2ErrorCode) {
    nghttp2_submit_rst_stream(s.pointee.library, 0, id, code.rawValue)
}

/// The stream is gone for the library; its record lives on until the event is delivered.
func closeRecord(_ s: SessionPointer, _ record: StreamPointer, _ code: HTTP2ErrorCode) {
    if record.pointee.flags.contains(.isClosed) { return }
    let flags = record.pointee.flags
    record.pointee.flags.insert(.isClosed)
    if flags.contains(.counts) { s.pointee.peerStreams &-= 1 }
    dropQueue(s, record)
    if record.pointee.unconsumed > 0 {
        // Nobody will say so any more, and the connection's window must not shrink for it.
        nghttp2_session_consume_connection(s.pointee.library, record.pointee.unconsumed)
        record.pointee.unconsumed = 0
    }
    if flags.contains(.remoteEnded), flags.contains(.endSent) { s.pointee.budget.streamCompleted() }
    if flags.contains(.remoteEnded) {
        s.pointee.closed.peerEnded(record.pointee.id, byReset: false)
    } else if flags.contains(.peerReset) {
        s.pointee.closed.peerEnded(record.pointee.id, byReset: true)
    } else {
        // What it may have sent before it learns of the end: a window full, and heads.
        s.pointee.closed.cut(
            windowBytes: max(Int(s.pointee.configuration.streamWindowBytes), 65_536),
            heads: s.pointee.role == .server ? 1 : HTTP2Configuration.interimResponsesMax &+ 2)
    }
    var event = HTTP2Event(.closed)
    event.stream = record.pointee.id
    event.record = record
    event.code = code
    event.isUnprocessed =
        s.pointee.role == .client && (flags.contains(.neverSent) || code == .refusedStream)
    enqueue(s, event)
}

/// Frees a record whose `closed` was delivered, or whose session ends.
func freeRecord(_ s: SessionPointer, _ record: StreamPointer) {
    s.pointee.streams.remove(record)
    releaseMemory(s, record)
    s.pointee.context.pointee.give(record)
}

func releaseMemory(_ s: SessionPointer, _ record: StreamPointer) {
    dropQueue(s, record)
    record.pointee.trailers?.deallocate()
    record.pointee.trailers = nil
}

func dropQueue(_ s: SessionPointer, _ record: StreamPointer) {
    s.pointee.queued &-= record.pointee.queue.count
    if let block = record.pointee.queue.block {
        s.pointee.context.pointee.give(block, capacity: record.pointee.queue.capacity)
    }
    record.pointee.queue = OutQueue()
}

extension HTTP2Violation {
    /// What the peer is told.
    var code: HTTP2ErrorCode {
        switch self {
        case .headFlood, .continuationFlood, .resetFlood, .provokedResetFlood, .pingFlood,
            .settingsFlood, .emptyFrameFlood, .priorityFlood, .windowUpdateFlood, .acknowledgementFlood:
            .enhanceYourCalm
        case .frameSize: .frameSizeError
        case .flowControl: .flowControlError
        case .compression: .compressionError
        case .streamState: .streamClosed
        case .settingsTimeout: .settingsTimeout
        case .libraryFailure: .internalError
        default: .protocolError
        }
    }
}
