// A worker whose turns the test makes and whose time it moves, between a client and endpoints of real sockets.

import Glibc
import Reactor
import Telemetry
import WeirBalancing
import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel
import WeirResilience
import WeirRouting

@testable import Proxy

/// One end of a connection, as a test uses it.
final class Peer {
    let socket: Socket
    private(set) var received: [UInt8] = []
    private(set) var hasEnded = false

    init(_ socket: Socket) { self.socket = socket }

    deinit { socket.close() }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        let sent = bytes.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { socket.send($0, bytes.count) } ?? 0
        }
        precondition(sent == bytes.count, "a few bytes fit a socket's buffer")
    }

    /// Takes in what has come.
    func look() {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 65_536) { room in
            guard let base = room.baseAddress else { return }
            while !hasEnded {
                let count = socket.receive(base, room.count)
                if count > 0 {
                    received += UnsafeBufferPointer(start: base, count: count)
                } else {
                    if count != -Int(EAGAIN) { hasEnded = true }
                    return
                }
            }
        }
    }

    var text: String {
        look()
        return String(decoding: received, as: UTF8.self)
    }
}

/// An endpoint: what connects to it, in order.
final class ListeningPeer {
    private let socket: Socket
    private var isStopped = false
    let address: SocketAddress
    private(set) var connections: [Peer] = []

    init() {
        guard
            case .success(let socket) = Socket.listen(
                on: .ip(IPAddress(v4: 0x7f00_0001), port: 0), dualStack: false, reusePort: false),
            let address = socket.localAddress()
        else { preconditionFailure("a port of the loopback interface is to be had") }
        self.socket = socket
        self.address = address
    }

    deinit { stop() }

    /// Nobody listens any more.
    func stop() {
        if !isStopped { socket.close() }
        isStopped = true
    }

    func look() {
        while !isStopped {
            let (accepted, _, _) = socket.accept()
            if accepted.fd < 0 { break }
            connections.append(Peer(accepted))
        }
        for connection in connections { connection.look() }
    }

    /// Requests that have come, on whatever connection.
    var requests: Int {
        look()
        return connections.reduce(0) { $0 + $1.text.components(separatedBy: "\r\n\r\n").count - 1 }
    }

    /// Whether we have ended a connection.
    func hasLost(_ i: Int) -> Bool {
        look()
        return connections[i].hasEnded
    }

    /// Answers on the newest connection.
    func answer(_ body: String, status: String = "200 OK", fields: String = "") {
        look()
        connections.last?.send(
            "HTTP/1.1 \(status)\r\ncontent-length: \(body.utf8.count)\r\n\(fields)\r\n\(body)")
    }
}

extension String {
    func components(separatedBy separator: String) -> [String] {
        var parts: [String] = []
        var rest = self[...]
        while let found = rest.firstRange(of: separator) {
            parts.append(String(rest[..<found.lowerBound]))
            rest = rest[found.upperBound...]
        }
        parts.append(String(rest))
        return parts
    }
}

final class Bench {
    let time = VirtualTime(nowNs: 5_000_000_000, epochUs: 1_700_000_000_000_000)
    let metrics = MetricsRegistry(workers: 1, build: BuildInfo(version: "test"))
    let endpoints: [ListeningPeer]
    /// Of a second service.
    let callees: [ListeningPeer]
    let worker: Worker
    private let ids = EndpointIDs()

    init(
        endpoints count: Int = 2, retry: RetryPolicy = RetryPolicy(), budget: RetryBudget = RetryBudget(),
        headTimeoutMs: UInt64 = 10_000, requestRules: FieldRules? = nil, callees calleeCount: Int = 0,
        policies: [Policy] = []
    ) {
        let peers = (0..<count).map { _ in ListeningPeer() }
        endpoints = peers
        let callees = (0..<calleeCount).map { _ in ListeningPeer() }
        self.callees = callees
        let snapshot = Self.snapshot(
            peers, callees, ids, metrics, policies, retry: retry, budget: budget,
            headTimeoutMs: headTimeoutMs,
            requestRules: requestRules)
        var surroundings = Surroundings()
        surroundings.time = time.source
        surroundings.seed = 1
        worker = Worker(
            index: 0, snapshot: snapshot, limits: WorkerLimits(), log: nil, eventLog: Log(level: .error),
            metrics: metrics.workers, surroundings: surroundings)
        worker.beginTurns()
    }

    deinit { worker.endTurns() }

    private static func snapshot(
        _ peers: [ListeningPeer], _ callees: [ListeningPeer], _ ids: EndpointIDs, _ metrics: MetricsRegistry,
        _ policies: [Policy], retry: RetryPolicy,
        budget: RetryBudget, headTimeoutMs: UInt64, requestRules: FieldRules?
    ) -> Snapshot {
        func service(_ id: Int, _ name: String, _ prefix: String, _ peers: [ListeningPeer]) -> ServicePlan {
            ServicePlan(
                id: id, name: name, balance: .roundRobin,
                endpoints: peers.enumerated().map { i, peer in
                    Endpoint(
                        ids: ids, address: peer.address, weight: 1, name: "\(prefix)-\(i)", host: "127.0.0.1",
                        metrics: metrics.endpoint("\(prefix)-\(i)", service: name))
                },
                connectTimeoutMs: 1_000, idleConnectionsMax: 8, idleTimeoutMs: 60_000, connectionsMax: 0,
                proxyProtocol: nil, retryBudget: budget)
        }
        let services = [service(0, "app", "endpoint", peers), service(1, "auth", "callee", callees)]
        var policies = policies + [HoldPolicy(bytesMax: 65_536, mayRetry: true)]
        if let requestRules {
            policies.append(HeadersPolicy(request: requestRules, response: nil, text: "for a test"))
        }
        let route = RoutePlan(
            name: "all", action: .forward(serviceID: 0), policies: policies, rewrite: nil,
            headTimeoutMs: headTimeoutMs, idleTimeoutMs: 10_000, totalTimeoutMs: 0, upgradedIdleMs: 60_000,
            retry: retry, metrics: metrics.route("all", service: "app"))
        let listener = ListenerPlan(
            id: 0, name: "web", traffic: HTTPTraffic(), sockets: [],
            router: Router([RouteRule(name: "all")]), routeIndexes: [0], requiresProxyHeader: false,
            streams: HTTP2Streams(HTTP2Configuration()), headLimits: HeadLimits(), headTimeoutMs: 10_000,
            idleTimeoutMs: 60_000, bodyTimeoutMs: 10_000, writeTimeoutMs: 10_000, bytesPerSecondMin: 0,
            connectionsMax: 0, requestsPerConnectionMax: 1_000, metrics: metrics.listener("web"),
            unrouted: metrics.route("-", service: "-"))
        return Snapshot(
            generation: 1, listeners: [listener], routes: [route], services: services,
            forwarding: ForwardingPlan(xForwarded: false, forwarded: false, via: false))
    }

    /// A client that has just connected.
    func connect() -> Peer {
        var fds: (Int32, Int32) = (-1, -1)
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let result = withUnsafeMutablePointer(to: &fds) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { socketpair(AF_UNIX, type, 0, $0) }
        }
        precondition(result == 0, "socketpair: \(errno)")
        guard let plan = worker.snapshot.listeners.first ?? nil else { preconditionFailure() }
        worker.openClient(Socket(fd: fds.0), peer: IPAddress(v4: 0x0a00_0001), port: 1234, plan: plan)
        return Peer(Socket(fd: fds.1))
    }

    /// Another configuration, without the second service.
    func publishWithoutCallees() {
        let now = worker.snapshot
        worker.mailbox.send(
            .publish(
                Snapshot(
                    generation: now.generation + 1, listeners: now.listeners, routes: now.routes,
                    services: [now.services[0], nil], forwarding: now.forwarding)))
    }

    // MARK: time

    /// Makes turns until something is so; how long the machine takes for it does not matter. False: it never is.
    func turns(until isSo: () -> Bool) -> Bool {
        for _ in 0..<2_000 {
            if isSo() { return true }
            turn(waitMs: 5)
        }
        return isSo()
    }

    /// Makes turns until nothing more happens.
    func settle() {
        while turn(waitMs: 20) > 0 {}
    }

    @discardableResult
    private func turn(waitMs: Int32) -> Int {
        let count = worker.poller.wait(timeoutMs: worker.unfinished.isEmpty ? waitMs : 0)
        worker.turn(events: worker.poller.events(count), now: time.nowNs)
        return count + worker.unfinished.count
    }

    /// Lets time pass, and does what is due then.
    func pass(ms: UInt64) {
        time.move(toNs: time.nowNs + ms * 1_000_000)
        turn(waitMs: 0)
    }

    // MARK: what the worker has

    /// The one exchange under way.
    var exchange: ExchangePointer? {
        var found: ExchangePointer?
        worker.exchanges.each { if !$0.pointee.isOver { found = $0 } }
        return found
    }

    func values(_ endpoint: Int) -> EndpointValues? {
        metrics.snapshot().endpoints.first { $0.endpoint == "endpoint-\(endpoint)" }
    }

    func failures(_ endpoint: Int) -> [Reason] { values(endpoint)?.failures.map(\.reason) ?? [] }

    /// Answers to tickets nobody waited for.
    var lateAnswers: UInt64 { metrics.snapshot().workers.reduce(0) { $0 + $1.lateAnswers } }

    /// Nothing is under way, nothing is counted as if it were, and nothing was kept that is used by nobody.
    var isAtRest: Bool {
        let loads = worker.snapshot.services.flatMap { $0?.endpoints ?? [] }
            .map { $0.load.load(ordering: .relaxed) }
        return loads.allSatisfy { $0 == 0 } && worker.exchanges.count == 0 && worker.attempts.count == 0
            && worker.streams.count == 0 && worker.sessions.count == 0 && worker.asked.isEmpty
            && endpoints.indices.allSatisfy { values($0)?.active == 0 }
    }
}
