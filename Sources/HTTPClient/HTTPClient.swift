// The HTTP client of everything that is not on the data path.
//
// libcurl's multi interface on one thread, started by the first request: all purposes share it, nobody has to have a
// thread in order to ask, a request can be cancelled at any moment, and so can all of them. What is given to
// callers are values; no pointer of libcurl's leaves this module (docs/decisions).

import CCurl
import Reactor

/// Asks HTTP servers, and answers on a thread of its own.
public final class HTTPClient: Sendable {
    /// How names become addresses: called on the client's thread, must not block, and calls back once, from any thread.
    public typealias Names =
        @Sendable (
            _ host: String, _ answer: @escaping @Sendable (Result<[IPAddress], NameFailure>) -> Void
        ) -> Void

    /// Why a name has no address, in words.
    public struct NameFailure: Error, Sendable {
        public var text: String
        public init(_ text: String) { self.text = text }
    }

    public typealias Completion = @Sendable (Result<Response, Failure>) -> Void

    /// A request under way.
    public struct Call: Sendable {
        let client: HTTPClient
        let id: UInt64

        /// Ends it: it is answered with `.cancelled`, unless it is over.
        public func cancel() { client.tell(.cancel(id)) }
    }

    enum Command: Sendable {
        case begin(UInt64, Request, startedMs: UInt64, Completion)
        case named(UInt64, Result<[IPAddress], NameFailure>)
        case cancel(UInt64)
    }

    private struct State {
        var nextID: UInt64 = 0
        var underWay = 0
        var commands: [Command] = []
        var isStopped = false
        var thread: RunningThread?
        var wake: (@Sendable () -> Void)?
    }

    let names: Names
    public let metrics: HTTPClientMetrics
    /// Requests under way at most; what comes beyond is refused.
    public let requestsMax: Int
    private let state = Locked(State())

    /// Starts nothing.
    public init(metrics: HTTPClientMetrics, requestsMax: Int = 128, names: @escaping Names) {
        self.names = names
        self.metrics = metrics
        self.requestsMax = requestsMax
    }

    /// Asks. `completion` is called exactly once, on the client's thread (on the caller's when the request is refused at
    /// once), and must not block.
    @discardableResult
    public func send(_ request: Request, completion: @escaping Completion) -> Call {
        let nowMs = Clock.monotonicNs() / 1_000_000
        // Once in the life of a process this takes as long as loading libraries does.
        let missing = weir_curl_load().map { Failure.unavailable(String(cString: $0)) }
        let (id, refusal): (UInt64, Failure?) = state.withLock { state in
            state.nextID += 1
            if let missing { return (state.nextID, missing) }
            if state.isStopped { return (state.nextID, .stopped) }
            if state.underWay == requestsMax { return (state.nextID, .overloaded) }
            state.underWay += 1
            state.commands.append(.begin(state.nextID, request, startedMs: nowMs, completion))
            if state.thread == nil {
                state.thread = RunningThread.start(name: "weir-http") { ClientLoop(self).run() }
            }
            state.wake?()
            return (state.nextID, nil)
        }
        if let refusal {
            metrics.ended(request.purpose, refusal.outcome, ns: 0)
            completion(.failure(refusal))
        }
        return Call(client: self, id: id)
    }

    /// Ends what is under way with `.stopped`, and the thread. Not to be called on that thread.
    public func stop() {
        let thread = state.withLock { state in
            state.isStopped = true
            state.wake?()
            defer { state.thread = nil }
            return state.thread
        }
        thread?.join()
    }

    // MARK: for the thread

    func tell(_ command: Command) {
        state.withLock { state in
            // Nobody reads commands that come after the end.
            guard state.thread != nil, !state.isStopped else { return }
            state.commands.append(command)
            state.wake?()
        }
    }

    /// How to interrupt the thread's waiting; nil when it does not wait any more.
    func setWake(_ wake: (@Sendable () -> Void)?) { state.withLock { $0.wake = wake } }

    /// What to do, and whether to end.
    func take() -> (commands: [Command], isStopped: Bool) {
        state.withLock { state in
            defer { state.commands = [] }
            return (state.commands, state.isStopped)
        }
    }

    func ended(_ purpose: Purpose, _ outcome: Outcome, ns: UInt64) {
        metrics.ended(purpose, outcome, ns: ns)
        state.withLock { $0.underWay -= 1 }
    }
}
