// A policy: what a route does with requests and responses besides answering them, as steps of the phases.
//
// A policy is a folder of Policies/, named like its key: its subclass here, with the steps it has, and what belongs to
// them. Which policies a route has is compiled from the configuration (Control/Policies), in the order fixed there; a
// route without one pays nothing for it, and a request that it does not concern (`Traits`) does not either. Steps are
// methods of a class (a call through a vtable costs 20 instructions); what a policy keeps of an exchange has a type of
// its own and stands in memory of the exchange, taken when the policy first needs it (PolicyState.swift).

import Reactor
import WeirHTTPModel
import WeirResilience

/// Where steps run.
public struct Hooks: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Behind the route: may this request be served, and is what is needed of it here.
    public static let admit = Hooks(rawValue: 1 << 0)
    /// Before the route's own answer, or an endpoint's: is there one already.
    public static let lookup = Hooks(rawValue: 1 << 1)
    /// Before the first endpoint is chosen: may it go to one. Not before further attempts.
    public static let select = Hooks(rawValue: 1 << 2)
    /// The fields of the request as an endpoint gets them stand as lines. For each attempt.
    public static let requestHead = Hooks(rawValue: 1 << 3)
    /// The fields of a response stand as lines; whose they are, says `ResponseDraft`.
    public static let responseHead = Hooks(rawValue: 1 << 4)
    /// The exchange is over: its record is made.
    public static let record = Hooks(rawValue: 1 << 5)

    /// As documents and `weir explain` call them, in the order of the phases.
    public static let names: [(hook: Hooks, name: String)] = [
        (.admit, "admit"), (.lookup, "lookup"), (.select, "select"), (.requestHead, "request head"),
        (.responseHead, "response head"), (.record, "record"),
    ]
}

/// What a request is like, as far as it decides which steps concern it.
public struct Traits: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A body is to come.
    public static let body = Traits(rawValue: 1 << 0)
    /// The client asks for another protocol.
    public static let upgrade = Traits(rawValue: 1 << 1)
    /// It came on a stream and takes trailers: it may be a gRPC call.
    public static let call = Traits(rawValue: 1 << 2)

    /// As `weir explain` calls them.
    public static let names: [(trait: Traits, name: String)] = [
        (.body, "with a body"), (.upgrade, "for another protocol"), (.call, "that may be gRPC calls"),
    ]
}

/// What a step answers.
enum StepResult {
    /// On to the next.
    case pass
    /// The exchange fails.
    case refuse(Failure)
    /// The exchange has its answer, or what becomes of it is noted (State/Verdict.swift).
    case answered
    /// `waitsFor` says for what; whoever brings it, or its deadline, calls `resume`.
    case wait
}

/// What may have come for a step that waits.
enum Brought {
    /// Bytes of the request's body, or its end.
    case body
    /// Nothing: it is time.
    case time
    /// What a ticket was taken for.
    case answer(any Sendable)
}

/// The head of a request as its lines stand in a writer.
struct RequestDraft {
    let view: RequestView
    /// Where the fields begin.
    let start: Int
}

/// The head an endpoint sent, with its fields and its bytes, behind which part of the body may stand: the bytes are valid
/// only as long as the block they came in, the fields until another head is parsed.
struct ResponseView {
    var head: ResponseHead
    let fields: UnsafeMutablePointer<Field>
    let bytes: UnsafeMutablePointer<UInt8>

    /// What has come behind a head, when there are `count` bytes from its first on.
    func body(of count: Int) -> (bytes: UnsafeMutablePointer<UInt8>, count: Int) {
        (bytes + Int(head.byteCount), count - Int(head.byteCount))
    }
}

/// The head of a response as its lines stand in a writer, without framing.
struct ResponseDraft {
    enum Source {
        /// An endpoint's final head.
        case endpoint(ResponseView)
        /// An interim head of an endpoint's.
        case interim
        /// Made here.
        case weir
    }
    let source: Source
    /// Where the fields begin.
    let start: Int
}

/// A route's policy. Immutable; each stands in one chain.
open class Policy: @unchecked Sendable {
    /// As its key is called: "hold", "limits.body".
    public let name: StaticString
    /// What it does here, for `weir explain`: its settings in effect.
    public let text: String
    /// Which hooks it has steps at.
    public let hooks: Hooks
    /// Its steps concern requests with all of these.
    public let traits: Traits
    /// Bytes it keeps of an exchange, and where in the exchange's memory; the chain says the latter.
    let stateBytes: Int
    var stateOffset = -1
    /// Which of those with state it is.
    var stateIndex = -1

    init(_ name: StaticString, _ text: String, _ hooks: Hooks, for traits: Traits = [], stateBytes: Int = 0) {
        self.name = name
        self.text = text
        self.hooks = hooks
        self.traits = traits
        self.stateBytes = stateBytes
    }

    func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult { .pass }

    func lookup(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult { .pass }

    func select(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult { .pass }

    /// A step of `admit`, `lookup` or `select` that waits may go on.
    func resume(_ worker: Worker, _ exchange: ExchangePointer, _ brought: Brought) -> StepResult { .pass }

    func requestHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: RequestDraft, _ writer: inout ByteWriter
    ) {}

    func responseHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: ResponseDraft, _ writer: inout ByteWriter
    ) {}

    func record(_ worker: Worker, _ exchange: ExchangePointer) {}

    /// The exchange goes: what the policy keeps of it ends. Only where it keeps something.
    func endState(_ worker: Worker, _ exchange: ExchangePointer) {}
}
