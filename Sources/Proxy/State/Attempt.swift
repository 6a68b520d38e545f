// One attempt to have an endpoint answer: whom it asks, by which connection, and how far it has come.
//
// What the endpoint's side of an exchange is doing is here; what its client's side is doing is the exchange's.
// Every exchange has one attempt inline, the primary, which is taken again when it is repeated. Others that are
// under way at the same time (hedges) stand in the worker's slab, linked to their exchange. Whoever holds an
// AttemptPointer does not care where the attempt stands.
//
//     Exchange ── answering ──▶ Attempt (inline) ── upstream ──▶ UpstreamConnection
//         └── others ──▶ Attempt ── next ──▶ Attempt …

import Reactor
import WeirResilience

typealias AttemptPointer = UnsafeMutablePointer<Attempt>

/// What an attempt is for.
enum AttemptRole: UInt8 {
    /// The one that is asked, and asked again.
    case primary
    /// Another endpoint is asked while the first has not answered: whoever answers first is heard.
    case hedge
}

/// What there is to be counted of an attempt, whatever its protocol: of `Attempt`, of a tunnel, of a session of
/// datagrams. Kept by Attempts/Attempts.swift.
struct AttemptAccount {
    /// Counted with its endpoint, and not yet counted off.
    var isOpen = false
    var role = AttemptRole.primary
    /// Of the endpoint's answer; 0: there was none, or it has none.
    var status: UInt16 = 0
    /// From the beginning to a connection that can be used; 0: it had one.
    var connectUs: UInt32 = 0
    var beganNs: UInt64 = 0
    /// When the endpoint's answer began; 0: it has not.
    var headNs: UInt64 = 0
}

/// How an attempt ended: the one value for everybody who wants to know about endpoints.
struct AttemptOutcome {
    /// What failed, and `.none` where nothing did, or another attempt was faster.
    let reason: Reason
    let account: AttemptAccount
    let bytesSent: UInt64
    let bytesReceived: UInt64

    /// Law 8: only what happened on the wire to the endpoint counts against it.
    var fault: Reason { reason.side == .upstream ? reason : .none }
}

struct Attempt {
    let exchange: ExchangePointer
    /// Of its slot in the slab; `.none` inline.
    var handle = Handle.none
    /// Further attempts of the exchange.
    var next: AttemptPointer?
    /// Who is asked.
    var lentEndpoint: Lent<Endpoint>?
    /// By what; nil before there is a connection, and once it is let go of.
    var upstream: UpstreamPointer?
    var account = AttemptAccount()
    /// Its connection has served before.
    var isReused = false
    /// It must not use a pooled connection: one had been closed under it.
    var needsFreshConnection = false
    /// What it has failed for, until that is dealt with (`tryElsewhere`).
    var failure: Failure?

    // What was sent
    /// The head (and what is held of the body) was handed to the kernel or the outbox.
    var requestStarted = false
    /// All of the request has left.
    var requestSentWhole = false
    /// The endpoint takes nothing more now.
    var requestIsBlocked = false
    /// The endpoint no longer takes the request's body; whatever the client still sends is thrown away.
    var discardsRequestBody = false
    /// The body goes in chunks of ours.
    var upstreamChunked = false
    var interimCount: UInt8 = 0
    /// How sending failed.
    var writeErrno: Int32 = 0
    var requestPipe = Pipe.none
}

extension AttemptPointer {
    @inline(__always) var exchange: ExchangePointer { pointee.exchange }
    @inline(__always) var endpoint: Endpoint? { pointee.lentEndpoint?.object }
    @inline(__always) var service: ServicePlan? { pointee.exchange.service }
    /// It is the one whose answer the client gets, or would.
    @inline(__always) var isAnswering: Bool { pointee.exchange.attempt == self }

    /// Somebody is being asked, and has not failed.
    var isUnderWay: Bool { pointee.account.isOpen && pointee.failure == nil }

    /// The attempt has failed. What was seen first stands.
    func fail(_ failure: Failure) {
        if pointee.failure == nil { pointee.failure = failure }
        pointee.exchange.attemptFailed()
    }
}

extension ExchangePointer {
    /// The attempt every exchange has.
    @inline(__always) var primary: AttemptPointer {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: Attempt.self)
    }

    /// The attempt whose answer the client gets, or would.
    @inline(__always) var attempt: AttemptPointer { pointee.answering }

    /// Calls for every attempt, whatever became of it. The body may free the one it is called for.
    func eachAttempt(_ body: (AttemptPointer) -> Void) {
        var following = pointee.others
        body(primary)
        while let attempt = following {
            following = attempt.pointee.next
            body(attempt)
        }
    }

    /// An attempt that is under way; nil: none is.
    var attemptUnderWay: AttemptPointer? {
        var found: AttemptPointer?
        eachAttempt { if $0.isUnderWay { found = $0 } }
        return found
    }

    /// An attempt whose failure has to be dealt with; the primary after all others.
    var failedAttempt: AttemptPointer? {
        var found: AttemptPointer?
        eachAttempt { if $0.pointee.failure != nil { found = $0 } }
        return found
    }
}
