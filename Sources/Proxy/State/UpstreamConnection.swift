// A connection to an endpoint: plain data in a slab, or a link in its endpoint's pool.

import Reactor
import WeirResilience

extension TokenKind {
    static let upstream: UInt8 = 1
}

typealias UpstreamPointer = UnsafeMutablePointer<UpstreamConnection>

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
    /// Whose it is.
    var attempt: AttemptPointer?
    /// Part of a response head.
    var input: BufferPointer?
    /// Set when the connection carries a session.
    var session: SessionPointer?
    // Links of the endpoint's pool while idle.
    var next: UpstreamPointer?
    var previous: UpstreamPointer?
}
