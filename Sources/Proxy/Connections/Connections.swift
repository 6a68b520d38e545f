// The state of clients, exchanges and upstream connections: plain data in slabs.
//
//     ClientConnection ── exchange ──▶ Exchange ── upstream ──▶ UpstreamConnection ──▶ Endpoint
//            ▲──────────── client ──────┘    ▲───── exchange ─────┘
//
// An idle client connection holds no buffer, no exchange and no upstream; an idle upstream connection
// is a link in its endpoint's pool. Closed objects stay readable until the end of the loop turn
// (Worker.bury), so a function never has to ask whether the memory behind its argument still exists,
// only whether the state is `.closed`.

import Balancing
import Compression
import HTTP1
import HTTPModel
import Reactor
import Resilience
import Routing
import Telemetry
import WebSocket

typealias ClientPointer = UnsafeMutablePointer<ClientConnection>
typealias ExchangePointer = UnsafeMutablePointer<Exchange>
typealias UpstreamPointer = UnsafeMutablePointer<UpstreamConnection>

/// What a client connection's timer is running for.
enum ClientDeadline: UInt8 {
    case none, handshake, idle, head, body, write, linger
}

/// One accepted HTTP connection.
struct ClientConnection {
    enum State: UInt8 {
        /// Waiting for a PROXY protocol header.
        case proxyHeader
        /// TLS is being agreed on.
        case handshake
        /// Between requests.
        case idle
        /// Part of a request head has arrived.
        case head
        /// An exchange is under way.
        case exchange
        /// Carries a session; its streams are connections of their own.
        case session
        /// We have closed our direction and wait for the client to notice.
        case lingering
        case closed
    }

    var transport: Transport
    let handle: Handle
    let timer: TimerID
    let listenerID: Int
    /// The listener's counters, held while the connection exists: a reload may remove the listener.
    let metrics: Unmanaged<ListenerMetrics>
    var state: State
    var deadline = ClientDeadline.none
    /// Whether it takes what waits for it: judged while `.write` runs.
    var taking = TakingClock()
    /// Edge-triggered readiness: true until a call says otherwise.
    var canRead = false
    /// The client has closed its direction, or the connection is broken.
    var peerEnded = false
    var closeAfterResponse = false
    /// `serve` is on the stack: do not enter it again, the loop there goes on.
    var isServing = false
    /// What `input` holds was parsed and found incomplete.
    var inputIsPartial = false
    /// Address and port the connection is accounted to: the peer, or what its PROXY header says.
    var peer: IPAddress
    var peerPort: UInt16
    var requests: UInt32 = 0
    /// Bytes received but not yet consumed.
    var input: BufferPointer?
    var exchange: ExchangePointer?
    /// Set when the connection carries a session.
    var session: SessionPointer?
    /// The client may still be sending when we close: take it off its hands for a while.
    var mustLinger = false
    /// Bytes thrown away while lingering.
    var lingerBytes = 0
}

/// Which part of a body is left to read, whatever its framing.
struct BodyReader {
    var framing = BodyFraming.none
    var isDone = true
    /// Payload bytes left, for `.length`.
    var remaining: UInt64 = 0
    /// Payload bytes seen.
    var count: UInt64 = 0
    /// More of them than this are not taken.
    var countMax = UInt64.max
    /// Not done before its stream is: one frame more may show that its length was wrong (RFC 9113 §8.1.1).
    var endsWithStream = false
    var chunked = ChunkedDecoder()
    /// Follows WebSocket frames, so that we know where one of ours may stand.
    var frames: FrameFollower?
    /// A WebSocket client's direction: the answers to our Pings are taken out of it.
    var pings: PingsPointer?
    /// Trailers that came with the end of a stream, as lines; the reader's to give back.
    var trailers: BufferPointer?
    /// The bytes go on in another coding: digests of those that came do not (RFC 9530 §3).
    var dropsDigests = false

    var hasTrailers: Bool { framing == .chunked ? chunked.hasTrailers : trailers != nil }

    mutating func begin(_ framing: BodyFraming, length: UInt64, endsWithStream: Bool = false) {
        self.framing = framing
        self.endsWithStream = endsWithStream
        remaining = length
        count = 0
        countMax = .max
        isDone = framing == .none || (framing == .length && length == 0 && !endsWithStream)
        if framing == .chunked { chunked = ChunkedDecoder() }
    }

    var isTooLong: Bool { count > countMax }

    /// Payload bytes of a `.length` body have passed.
    mutating func took(_ byteCount: Int) {
        remaining -= UInt64(byteCount)
        count += UInt64(byteCount)
        if remaining == 0 && !endsWithStream { isDone = true }
    }
}

/// One request with its response: what the ten phases work on.
struct Exchange {
    let handle: Handle
    let client: ClientPointer
    let lease: UnsafeMutablePointer<SnapshotLease>
    unowned(unsafe) let listener: ListenerPlan
    var lentRoute: Lent<RoutePlan>?
    var lentService: Lent<ServicePlan>?
    // What the plain path needs of the plans, as plain values: no reference counting on the way.
    /// Where this request is counted: its route's counters, or those of requests without one.
    var counters: RouteCell
    var serviceID = -1
    var hasResponseRules = false
    var compresses = false
    var bridgesWeb = false
    var decompresses = false
    var headTimeoutMs: UInt64 = 0
    var idleTimeoutMs: UInt64 = 0
    /// The endpoint of the current (or last) attempt.
    var lentEndpoint: Lent<Endpoint>?
    var upstream: UpstreamPointer?

    var phase = Phase.read
    var failure = Failure.none
    /// Back-off or hold; -1 until one is needed. The total deadline has its own.
    var timer: TimerID = -1
    var totalTimer: TimerID = -1
    var timerPurpose = ExchangeTimer.none
    /// Recorded and on its way to be freed.
    var isOver = false

    // The request: head bytes and field table share one retained buffer.
    var head: BufferPointer?
    var fields: UnsafeMutablePointer<Field>?
    var request = RequestHead()
    var match = RouteMatch()
    var requestBody = BodyReader()
    /// Payload held for replay before and while it is sent (law 11).
    var held: BufferPointer?
    /// `held` is (or will be) the whole body.
    var isReplayable = true
    /// As much of the body as will be held is held.
    var holdIsOver = false
    /// The body is being waited for, before an endpoint is chosen.
    var isHolding = false
    /// The client adds to its body when it has something to say (gRPC, `hold: 0B`).
    var streams = false
    /// Set while a gRPC-Web request is served (WebBridge).
    var web: BufferPointer?
    /// When a gRPC client stops waiting, as `nowNs` counts; 0 when it did not say.
    var callDeadlineNs: UInt64 = 0
    var peerIsTrusted = false
    var clientAddress = IPAddress.unspecified
    /// Scheme and authority the client used.
    var origin = RequestOrigin(RequestHead(), isSecure: false)
    var sequence: UInt64 = 0

    // The attempt
    var attempts: UInt8 = 0
    var excluded = Excluded()
    /// Counted with its endpoint, and not yet counted off.
    var attemptIsOpen = false
    /// The next attempt must not use a pooled connection: the last one's had been closed under it.
    var needsFreshConnection = false
    /// The head (and what is held of the body) was handed to the kernel or the outbox.
    var requestStarted = false
    /// All of the request has left.
    var requestSentWhole = false
    /// The endpoint takes nothing more now.
    var requestIsBlocked = false
    var writeErrno: Int32 = 0
    /// The upstream no longer takes the request's body; whatever the client still sends is thrown away.
    var discardsRequestBody = false
    var upstreamChunked = false

    // A request body that is decoded (Bodies/Decompress.swift)
    var requestCoding: DecodedCoding?
    var decoding = RequestDecoding.none
    /// Not all of the decoded body is held or sent.
    var isDecoding = false
    /// The decoder has more to say, or there is something in `held` for it.
    var codedWaits = false
    /// Goes on in the next turn of the loop.
    var awaitsTurn = false
    var decoder: Decoder?
    /// Bytes of `held` the decoder has taken.
    var codedTaken: UInt32 = 0
    var decodedBytes: UInt64 = 0

    // The response
    var response = ResponseHead()
    /// From this status on, what an endpoint says is looked at before it goes to the client: errors, and all
    /// that is said to a request for a page.
    var judgedStatusMin: UInt16 = 400
    var status: UInt16 = 0
    var responseStarted = false
    var responseDone = false
    /// Our side re-chunks.
    var clientChunked = false
    var isLocal = false
    /// Set once a page is asked for in place of an error (FetchedPage).
    var pageFetch: BufferPointer?
    var upgrade = Upgrade.none
    /// A WebSocket's sides were told that we go away.
    var clientKnowsWeGo = false
    var endpointKnowsWeGo = false
    var interimCount: UInt8 = 0
    var responseBody = BodyReader()
    var responsePipe = Pipe.none
    /// What is left of a file being sent (FileBody).
    var fileBody: BufferPointer?
    /// The client takes nothing more of the file now.
    var fileIsBlocked = false
    /// Set while the response body is being coded.
    var encoder: Encoder?
    var flushesWhenIdle = false
    var requestPipe = Pipe.none

    // The record
    var startNs: UInt64 = 0
    var connectUs: UInt32 = 0
    var headUs: UInt32 = 0
    var usedReusedConnection = false
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0
    /// The client's rate while it owes us a body.
    var meter: ProgressMeter

}

/// What follows from an exchange's state. Of the pointer: a property of the struct may be given a copy of
/// all of it.
extension ExchangePointer {
    @inline(__always) var route: RoutePlan? { pointee.lentRoute?.object }
    @inline(__always) var service: ServicePlan? { pointee.lentService?.object }
    @inline(__always) var endpoint: Endpoint? { pointee.lentEndpoint?.object }
    /// All of the request's body is held or sent.
    @inline(__always) var requestIsComplete: Bool { pointee.requestBody.isDone && !pointee.isDecoding }
    /// Bytes of the body as the endpoint gets them.
    @inline(__always) var requestBytes: UInt64 {
        pointee.decoding == .none ? pointee.requestBody.count : pointee.decodedBytes
    }
}

enum ExchangeTimer: UInt8 {
    case none, backoff, hold, ping
}

/// One connection to an endpoint.
struct UpstreamConnection {
    enum State: UInt8 {
        case connecting
        /// TLS is being agreed on.
        case handshake
        case busy, idle
        /// Carries a session; its streams are connections of their own.
        case session
        case closed
    }
    enum Deadline: UInt8 { case none, connect, handshake, head, body, write, idle, upgraded }

    var transport: Transport
    let handle: Handle
    let timer: TimerID
    /// Retained while the connection exists.
    let endpoint: Unmanaged<Endpoint>
    let serviceID: Int
    var state: State
    var deadline = Deadline.none
    /// Whether it takes what waits for it: judged while `.write` runs.
    var taking = TakingClock()
    var canRead = false
    var peerEnded = false
    var isReused = false
    var writeFailed = false
    /// How long it may stay idle; lowered by the endpoint's `Keep-Alive: timeout`.
    var idleTimeoutMs: UInt64
    /// How reading ended: 0 for an orderly end of stream.
    var readErrno: Int32 = 0
    var startNs: UInt64
    var exchange: ExchangePointer?
    /// Part of a response head.
    var input: BufferPointer?
    /// Set when the connection carries a session.
    var session: SessionPointer?
    // Links of the endpoint's pool while idle.
    var next: UpstreamPointer?
    var previous: UpstreamPointer?
}

/// Keeps a snapshot alive for the exchanges that started with it. Counted by one worker, so plain.
struct SnapshotLease {
    let snapshot: Unmanaged<Snapshot>
    var users: Int
    var isCurrent: Bool
}
