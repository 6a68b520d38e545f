// One attempt to have an endpoint answer a request: which endpoint, by which connection, and how far it has come.
//
// Every exchange has one inline, the primary, which is taken again when it is repeated. Whoever holds an
// AttemptPointer does not care where the attempt stands. What the endpoint's side of an exchange is doing is
// here; what the client's side is doing is the exchange's.

import Reactor
import WeirResilience

typealias AttemptPointer = UnsafeMutablePointer<Attempt>

struct Attempt {
    let exchange: ExchangePointer
    /// Who is asked.
    var lentEndpoint: Lent<Endpoint>?
    /// By what; nil before there is a connection, and once it is let go of.
    var upstream: UpstreamPointer?
    /// Counted with its endpoint, and not yet counted off.
    var isOpen = false
    /// Its connection has served before.
    var isReused = false

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
    /// How sending failed.
    var writeErrno: Int32 = 0
    var requestPipe = Pipe.none

    // What came back
    var interimCount: UInt8 = 0
    var connectUs: UInt32 = 0
}

extension AttemptPointer {
    @inline(__always) var exchange: ExchangePointer { pointee.exchange }
    @inline(__always) var endpoint: Endpoint? { pointee.lentEndpoint?.object }
    @inline(__always) var service: ServicePlan? { pointee.exchange.service }

    /// The attempt has failed.
    func fail(_ failure: Failure) { pointee.exchange.attemptFailed(failure) }
}
