// The seam behind which versions of HTTP carry streams: one connection's session as the rooms above see it.
//
// A version brings a `StreamProtocol` (what is configured of it) that makes `StreamSession`s, and tells what happens on a
// connection as `StreamEvent`s; neither knows who its streams are for. Bytes come and go by the carrier's Transport or,
// over datagrams, as the version has it. The calls go through a class's table (20 instructions), its references are
// not counted (`SessionPointer.session`).
//
// Field lines are given as they are written for any version, "name: value" CR LF.

import Glibc
import Reactor
import TLS
import WeirHTTPModel
import WeirResilience

typealias StreamEventPointer = UnsafeMutablePointer<StreamEvent>

/// One thing that happened on a connection that carries streams. Plain data; pointers in it are valid until the session
/// is asked for the next.
///
/// The order on one stream is: heads, data, then exactly one event with `endsStream` unless the stream is cut short, and
/// last exactly one `closed`.
struct StreamEvent: BitwiseCopyable {
    enum Kind: UInt8 {
        /// Of a client's session a request head in `request`, of an endpoint's a response head in `response`, also
        /// interim ones. Their bytes are in `bytes`/`count`, their fields in `fields`.
        case head
        /// A request that its client withdrew before we looked at it. Nothing else of its stream is told.
        case withdrawn
        /// A well-formed head that is not acceptable: a client is answered with `status`, an endpoint's stream reset.
        /// Nothing more of the message comes.
        case headRefused
        /// Body bytes in `bytes`/`count`; to be `consumed` when they are out of our hands.
        case data
        /// Trailer fields, as for heads, with their number in `fieldCount`. They end the stream.
        case trailers
        /// The peer's direction is at its end, and no other event was left to say so.
        case end
        /// What the peer sent on this stream is malformed (`detail`); it has been reset.
        case malformed
        /// The peer has reset the stream.
        case reset
        /// The stream is gone.
        case closed
        /// There is room again in a queue that had refused bytes.
        case writable
        /// The peer has said how many streams it takes (`streamsFree`).
        case settings
        /// What `announceShutdown` asked for: the peer has read our notice.
        case roundTrip
        /// The connection is over, because of `StreamSession.violation`.
        case violation
    }

    var kind: Kind
    /// With `head`, `headRefused`, `data`, `trailers`, `end`: nothing more comes from the peer on this stream.
    var endsStream: Bool
    /// With `reset` and `closed`: the peer promises that it did nothing with the request.
    var isUnprocessed: Bool
    /// With `headRefused`: what a client is answered.
    var status: UInt16
    var detail: Detail
    var fieldCount: Int32
    var stream: Int64
    /// What is attached to the stream, 0 until then.
    var userData: UInt
    var count: Int
    var bytes: UnsafePointer<UInt8>
    var fields: UnsafePointer<Field>
    /// With a request `head`: the protocol of an extended CONNECT ("websocket"), else empty.
    var protocolName: ByteRange
    /// Only with `head`, one of the two.
    var request: RequestHead
    var response: ResponseHead
}

/// How a stream is cut off.
enum StreamCut: UInt8 {
    /// All that mattered was sent: the rest of the request is not wanted.
    case unwanted
    /// We have not looked at it: it may be sent again.
    case refused
    /// We failed.
    case failed
    /// Its answer is not wanted any more.
    case cancelled
    /// The peer keeps us waiting.
    case tooSlow
}

/// What a peer did to a connection that had to end for it.
struct StreamViolation {
    let detail: Detail
    let text: StaticString
    let section: StaticString
}

/// A request as it opens a stream. Everything is valid during the call.
struct StreamRequest {
    var method: UnsafeBufferPointer<UInt8>
    var scheme: StaticString
    var authority: UnsafeBufferPointer<UInt8>
    /// Empty for CONNECT.
    var path: UnsafeBufferPointer<UInt8>
    /// Makes it an extended CONNECT.
    var protocolName: UnsafeBufferPointer<UInt8>?
    var lines: UnsafeMutablePointer<UInt8>
    var lineBytes: Int
}

/// What one step of sending came to.
enum StreamOutput {
    /// Some of it has left; there may be more, and events.
    case sent
    /// Nothing waits, or nothing is taken now.
    case nothing
    /// The connection is broken.
    case broken
}

/// A version of HTTP that carries streams, with what is configured of it on a listener or for a service. Constants only:
/// plans are shared.
public class StreamProtocol: @unchecked Sendable {
    /// What ALPN calls it.
    var alpn: NegotiatedProtocol { .none }

    /// Whether these first bytes of a plain connection are its own.
    func opens(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool { false }

    /// What the sessions of one worker share; nil: no memory.
    func makeShared() -> AnyObject? { nil }

    /// A session on a new connection; nil: no memory.
    func makeSession(_ role: StreamRole, shared: AnyObject, nowMs: UInt64) -> StreamSession? { nil }

    init() {}
}

/// Which side of a connection we are.
enum StreamRole: UInt8 {
    case server, client
}

/// One connection's session. A call for a stream that has gone answers false or 0 and does nothing.
class StreamSession {
    /// As requests on it have it.
    var version: Version { .http11 }

    // MARK: bytes and events

    /// Hands over bytes from the peer; then `nextEvent` until it answers false, which is when they are used up.
    func receive(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, nowMs: UInt64) {}

    /// The next event, also of those that sending causes; false when there is none. `into` need not be initialised.
    func nextEvent(into event: StreamEventPointer) -> Bool { false }

    /// Sends some of what waits, as much as one call takes.
    ///
    /// - Parameter room: where frames are put together.
    func send(
        _ transport: UnsafeMutablePointer<Transport>, room: UnsafeMutablePointer<UInt8>, _ capacity: Int,
        pool: inout BufferPool, nowMs: UInt64
    ) -> StreamOutput { .nothing }

    /// Frees what the session has, without a word to anybody.
    func destroy() {}

    // MARK: the connection

    /// Nothing more will be read or written.
    var isFinished: Bool { true }
    /// False: stop reading, too much waits for a peer that does not read.
    var wantsInput: Bool { false }
    /// Why the connection is over; nil while it is not, or when it ends in order.
    var violation: StreamViolation? { nil }
    /// Streams whose `closed` has not been told.
    var streamsOpen: Int { 0 }
    /// Endpoints: streams that may be opened now.
    var streamsFree: Int { 0 }
    /// Endpoints: a new connection is needed for more.
    var acceptsNoStreams: Bool { true }
    var settingsAreAcknowledged: Bool { true }

    /// They have not been in time: the connection ends.
    func settingsTimedOut() {}

    /// First step of an orderly end: asks the peer to open no more streams, and for a `roundTrip`.
    func announceShutdown() {}

    /// Last step: streams opened from now on are not served.
    func shutdown() {}

    /// Ends the connection for a peer that keeps us waiting.
    func terminate() {}

    // MARK: stalls

    /// Whether body bytes wait for the peer's windows. Meaningful when nothing is left to send.
    var isWaiting: Bool { false }

    /// The last bytes of the output are still under way: for their streams, time begins when they arrive.
    func areUnderWay(_ untaken: Int, nowMs: UInt64) {}

    /// Since when none has left of the stream that has waited longest; nil: none waits.
    func waitingSinceMs() -> UInt64? { nil }

    /// Whether every stream has been given no window since then.
    func isStalled(since sinceMs: UInt64) -> Bool { false }

    /// A stream of which that is so; isDrained: nothing but windows holds up what waits.
    func firstStalled(since sinceMs: UInt64, isDrained: Bool) -> Int64? { nil }

    /// How much of the output the peer has taken, at most up to the last body bytes of this stream: a total.
    func taken(_ stream: Int64, untaken: Int) -> UInt64 { 0 }

    /// Body bytes of this stream that wait.
    func queuedBytes(_ stream: Int64) -> Int { 0 }

    // MARK: streams

    /// Attaches a word to a stream, for its events.
    func setUserData(_ stream: Int64, _ userData: UInt) {}
    func userData(_ stream: Int64) -> UInt { 0 }

    /// Body bytes are out of our hands: the peer may send as many again.
    func consumed(_ stream: Int64, _ count: Int) {}

    /// Opens a stream; nil: none can be opened on this connection.
    func submitRequest(_ request: StreamRequest, ends: Bool, userData: UInt) -> Int64? { nil }

    /// Sends a response head; interim ones (1xx) leave the stream as it was.
    func submitHead(
        _ stream: Int64, status: UInt16, lines: UnsafeMutablePointer<UInt8>, _ count: Int, ends: Bool
    ) -> Bool { false }

    /// Queues body bytes; answers how many were taken. When fewer than `count`, `writable` comes later.
    func submitData(_ stream: Int64, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int { 0 }

    /// Ends our direction behind what is queued, with trailers if there are any.
    func submitEnd(_ stream: Int64, trailers: UnsafeMutablePointer<UInt8>?, _ count: Int) {}

    /// When the end of our direction left; nil: it has not. A peer that is told at once not to go on takes that for a
    /// failure, so one waits a little before a stream is cut as unwanted.
    func endSentMs(_ stream: Int64) -> UInt64? { nil }

    /// Cuts the stream off; what is queued is dropped.
    func reset(_ stream: Int64, _ cut: StreamCut) {}
}
