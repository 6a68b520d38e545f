// A client's connection between its events: plain data in a slab.
//
//     ClientConnection ── exchange ──▶ Exchange ── attempt ──▶ Attempt ── upstream ──▶ UpstreamConnection ──▶ Endpoint
//            ▲──────────── client ──────┘   ▲──── exchange ─────┘   ▲────── attempt ───────┘
//
// An idle client connection holds no buffer, no exchange and no upstream; an idle upstream connection
// is a link in its endpoint's pool. Closed objects stay readable until the end of the loop turn
// (`buryTheDead`), so a function never has to ask whether the memory behind its argument still exists,
// only whether the state is `.closed`.

import Reactor
import WeirResilience
import Telemetry

extension TokenKind {
    static let client: UInt8 = 0
}

typealias ClientPointer = UnsafeMutablePointer<ClientConnection>

/// What a client connection's timer is running for.
enum ClientDeadline: UInt8 {
    case none, handshake, idle, head, body, write, linger
}

/// What follows for a client's connection from what was seen, and is still to be done: by the room that owns
/// connections (`carryOn` in HTTP/ClientEvents.swift), once nothing of it is on the stack.
enum Parting: UInt8 {
    case none
    /// Its exchange is over: the next request, or silence.
    case next
    /// It ends so that the client can read what was sent.
    case close
    /// Something failed on it.
    case breakOff
    /// The same, with a response under way: a reset.
    case cut
    /// The client's direction has ended or broken (`readErrno`) while no exchange is under way.
    case gone
    /// It speaks HTTP/2: from here on the connection carries streams.
    case carry
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

    // In an order that leaves no gaps: each byte is held ten thousand times by ten thousand idle clients.
    var transport: Transport
    let handle: Handle
    let timer: TimerID
    /// How reading ended: 0 for an orderly end.
    var readErrno: Int32 = 0
    let listenerID: Int
    /// The listener's counters, held while the connection exists: a reload may remove the listener.
    let metrics: Unmanaged<ListenerMetrics>
    /// Bytes received but not yet consumed.
    var input: BufferPointer?
    var exchange: ExchangePointer?
    /// Set when the connection carries a session.
    var session: SessionPointer?
    /// Whether it takes what waits for it: judged while `.write` runs.
    var taking = TakingClock()
    /// Address the connection is accounted to: the peer's, or what its PROXY header says.
    var peer: IPAddress
    var requests: UInt32 = 0
    /// Bytes thrown away while lingering.
    var lingerBytes: UInt32 = 0
    /// The port of `peer`.
    var peerPort: UInt16
    var state: State
    var deadline = ClientDeadline.none
    var parting = Parting.none
    /// Edge-triggered readiness: true until a call says otherwise.
    var canRead = false
    /// The client has closed its direction, or the connection is broken.
    var peerEnded = false
    var closeAfterResponse = false
    /// `serve` is on the stack: do not enter it again, the loop there goes on.
    var isServing = false
    /// What `input` holds was parsed and found incomplete.
    var inputIsPartial = false
    /// The client may still be sending when we close: take it off its hands for a while.
    var mustLinger = false
}
