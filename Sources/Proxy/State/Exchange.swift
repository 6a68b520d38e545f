// One request with its response: what the phases work on, and what has been decided about it.

import WeirBalancing
import WeirCompression
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting
import Telemetry

extension TokenKind {
    /// Its turn, and what it waits for.
    static let exchange: UInt8 = 6
    /// Its total deadline.
    static let exchangeTotal: UInt8 = 9
}

typealias ExchangePointer = UnsafeMutablePointer<Exchange>

/// One request with its response: what the ten phases work on.
struct Exchange {
    /// The attempt every exchange has. First, so that a pointer to the exchange is one to it (`primary` of the pointer).
    var inlineAttempt: Attempt
    /// The attempt whose answer the client gets, or would.
    var answering: AttemptPointer
    /// Attempts beside the first, in the slab.
    var others: AttemptPointer?
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
    /// Hooks at which a policy may have a step for this request, and what decides which.
    var hooks: Hooks = []
    var traits: Traits = []
    /// Its body, and what is said about it, may be put in another form.
    var mayTransform = true
    var headTimeoutMs: UInt64 = 0
    var idleTimeoutMs: UInt64 = 0

    var phase = Phase.read
    var failure = Failure.none
    /// For what it waits for, or a WebSocket's Pings; -1 until one is needed. The total deadline has its own.
    var timer: TimerID = -1
    var totalTimer: TimerID = -1
    var timerRuns = false
    var waitsFor = Waiting.nothing
    /// The step of a policy that waits: its hook, and its place in the chain.
    var waitingHook: Hooks = []
    var waitingStep: UInt8 = 0
    /// Of a wait for an answer: what is to be said when it does not come in time, and which wait it is.
    var waitReason = Reason.none
    var waitSerial: UInt32 = 0
    /// What policies keep of it.
    var policyMemory: BufferPointer?
    /// What is to be done about it, and for which failure.
    var verdict = Verdict.none
    var noted = Failure.none
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
    /// The client adds to its body when it has something to say (gRPC, `hold: 0B`).
    var streams = false
    /// Set while a gRPC-Web request is served.
    var web: WebBridge?
    /// When a gRPC client stops waiting, as `nowNs` counts; 0 when it did not say.
    var callDeadlineNs: UInt64 = 0
    var peerIsTrusted = false
    var clientAddress = IPAddress.unspecified
    /// Scheme and authority the client used.
    var origin = RequestOrigin(RequestHead(), isSecure: false)
    var sequence: UInt64 = 0

    // The attempts
    var attempts: UInt8 = 0
    var excluded = Excluded()

    // A request body that goes through stages (Bodies/Composition.swift)
    var requestStages: BodyStages?
    /// Not all of it is through them.
    var isStaged = false
    /// The endpoint gets it without the coding it came in.
    var isDecoded = false
    /// Goes on in the next turn of the loop.
    var awaitsTurn = false

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
    var responseBody = BodyReader()
    var responsePipe = Pipe.none
    /// What is left of a file being sent.
    var file: FileSource?
    /// The client takes nothing more of the file now.
    var fileIsBlocked = false
    /// Set while the response body goes through stages.
    var responseStages: BodyStages?

    // The record
    var startNs: UInt64 = 0
    var headUs: UInt32 = 0
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
    /// Who is asked, or was last.
    @inline(__always) var endpoint: Endpoint? { attempt.pointee.lentEndpoint?.object }
    /// What is held of the request's body has been through stages.
    @inline(__always) var holdsStaged: Bool { (pointee.requestStages?.heldAt ?? 0) > 0 }
    /// What is held of the request's body goes through stages before it is sent.
    @inline(__always) var sendsStaged: Bool {
        pointee.isStaged && pointee.requestStages.map { !$0.holdsAll } ?? false
    }
    /// The request's stages go on without another byte of it.
    var stagesHaveWork: Bool { pointee.requestBody.isDone || pointee.requestStages?.isBusy ?? false }
    /// All of the request's body is held or sent.
    @inline(__always) var requestIsComplete: Bool { pointee.requestBody.isDone && !pointee.isStaged }
    /// Bytes of the body as the endpoint gets them.
    @inline(__always) var requestBytes: UInt64 {
        pointee.isDecoded ? pointee.requestStages?.bytesOut ?? 0 : pointee.requestBody.count
    }
}
