// A service and its endpoints as the workers see them.

import WeirBalancing
import WeirHTTPModel
import Reactor
import WeirResilience
import Synchronization
import TLS
import Telemetry

/// A service: endpoints and how one is chosen, or a folder of files. `id` is stable across reloads as long as the name exists.
public final class ServicePlan: @unchecked Sendable {
    public let id: Int
    public let name: StaticBytes
    public let balance: BalancingMethodName
    public let endpoints: [Endpoint]
    /// The same, to be read without counting references.
    let lentEndpoints: LentTable<Endpoint>
    var endpointCount: Int { lentEndpoints.count }
    public let connectTimeoutMs: UInt64
    /// Idle connections kept per endpoint and worker.
    public let idleConnectionsMax: Int
    /// Idle connections are closed after this; an endpoint's `Keep-Alive: timeout` lowers it.
    public let idleTimeoutMs: UInt64
    /// Connections per endpoint and worker, 0: no bound.
    public let connectionsMax: Int
    public let proxyProtocol: ProxyProtocolVersion?
    /// nil: connections to endpoints are not encrypted.
    public let tls: TLSClientContext?
    /// nil: endpoints speak HTTP/1.1.
    public let streams: StreamProtocol?
    public let retryBudget: RetryBudget
    /// In what its endpoints may break the standard.
    public let quirks: Quirks
    /// The folder that answers instead of endpoints.
    public let files: FilesPlan?

    public init(
        id: Int, name: String, balance: BalancingMethodName, endpoints: [Endpoint],
        connectTimeoutMs: UInt64, idleConnectionsMax: Int, idleTimeoutMs: UInt64, connectionsMax: Int,
        proxyProtocol: ProxyProtocolVersion?, tls: TLSClientContext? = nil,
        streams: StreamProtocol? = nil, retryBudget: RetryBudget, quirks: Quirks = [],
        files: FilesPlan? = nil
    ) {
        self.id = id
        self.name = StaticBytes(name)
        self.balance = balance
        self.endpoints = endpoints
        lentEndpoints = LentTable(endpoints)
        self.connectTimeoutMs = connectTimeoutMs
        self.idleConnectionsMax = idleConnectionsMax
        self.idleTimeoutMs = idleTimeoutMs
        self.connectionsMax = connectionsMax
        self.proxyProtocol = proxyProtocol
        self.tls = tls
        self.streams = streams
        self.retryBudget = retryBudget
        self.quirks = quirks
        self.files = files
    }

    deinit { lentEndpoints.deallocate() }
}

/// Version of the PROXY header sent to endpoints.
public enum ProxyProtocolVersion: UInt8, Sendable {
    case v1 = 1
    case v2 = 2
}

/// One address traffic can be sent to. Shared by all workers and by successive snapshots; `id` is
/// dense and stable for the endpoint's life, so that workers keep their pools by it.
///
/// A snapshot says that it exists. How much it gets and what speaks against it stands here, and changes
/// without a snapshot: every worker reads it with its next choice.
public final class Endpoint: Sendable {
    public let id: Int
    /// The same in every process that has the same configuration: of the name.
    public let identity: UInt64
    public let address: SocketAddress
    /// As logs and metrics name it: the address, with the configured name when it has one.
    public let name: StaticBytes
    /// The configured name or address without port: what TLS asks for and verifies.
    public let host: String
    public let metrics: EndpointMetrics
    /// Requests and L4 connections under way, over all workers.
    public let load = Atomic<Int>(0)
    /// How long it takes to answer, smoothed, in microseconds; 0: nobody has measured it.
    public let latencyUs = Atomic<UInt32>(0)

    private let ids: EndpointIDs
    private let weightNow: Atomic<UInt32>
    private let weightInFile: Atomic<UInt32>
    /// What speaks against it; above the low 16 bits until when it rests (monotonic milliseconds). One word,
    /// so that a choice is one load and one comparison with 0.
    private let state = Atomic<UInt64>(0)

    public init(
        ids: EndpointIDs, address: SocketAddress, weight: UInt32, name: String, host: String,
        metrics: EndpointMetrics
    ) {
        id = ids.take()
        identity = StableHash.of(name.utf8)
        self.ids = ids
        self.address = address
        weightNow = Atomic(weight)
        weightInFile = Atomic(weight)
        self.name = StaticBytes(name)
        self.host = host
        self.metrics = metrics
    }

    deinit { ids.give(id) }

    // MARK: weight

    /// Its share relative to the others of the service; 0: none.
    public var weight: UInt32 { weightNow.load(ordering: .relaxed) }
    /// The weight the configuration gives it, 1…1000.
    public var configuredWeight: UInt32 { weightInFile.load(ordering: .relaxed) }

    /// The operator's word. Workers have to be told (`WorkerMessage.reweigh`): methods plan ahead.
    public func set(weight: UInt32) { weightNow.store(weight, ordering: .relaxed) }

    /// The configuration's word, which counts when it is a new one: the newest counts.
    public func configure(weight: UInt32) {
        if weightInFile.exchange(weight, ordering: .relaxed) != weight { set(weight: weight) }
    }

    // MARK: standing

    /// What speaks against it now.
    @inline(__always)
    public func standing(nowMs: UInt64) -> Standing {
        let word = state.load(ordering: .relaxed)
        return word == 0 ? [] : Self.standing(word, nowMs)
    }

    private static func standing(_ word: UInt64, _ nowMs: UInt64) -> Standing {
        var standing = Standing(rawValue: UInt16(truncatingIfNeeded: word))
        if word >> 16 > nowMs { standing.insert(.resting) }
        return standing
    }

    /// The operator's word: at most one of `Standing.byOperator`.
    public func administer(_ standing: Standing) { set(standing, of: .byOperator) }

    /// The word of the source of endpoints: whether it still names this one.
    public func discovered(_ isNamed: Bool) { set(isNamed ? [] : .withdrawn, of: .withdrawn) }

    /// The word of checks.
    public func checked(isHealthy: Bool) { set(isHealthy ? [] : .failing, of: .failing) }

    /// Something was observed to go wrong: others are preferred until then (monotonic milliseconds).
    public func rest(untilMs: UInt64) { change { $0 & 0xffff | untilMs << 16 } }

    private func set(_ standing: Standing, of kind: Standing) {
        change { $0 & ~UInt64(kind.rawValue) | UInt64(standing.intersection(kind).rawValue) }
    }

    private func change(_ change: (UInt64) -> UInt64) {
        var old = state.load(ordering: .relaxed)
        while true {
            let (isExchanged, current) = state.compareExchange(
                expected: old, desired: change(old), ordering: .relaxed)
            if isExchanged { return }
            old = current
        }
    }
}

/// Dense ids for endpoints. An id is free again when the endpoint is gone, and with it every
/// connection that held it, so workers may index tables by it however often names resolve anew.
public final class EndpointIDs: Sendable {
    private struct State {
        var next = 0
        var free: [Int] = []
    }
    private let state = Locked(State())

    public init() {}

    func take() -> Int {
        state.withLock { state in
            if let id = state.free.popLast() { return id }
            state.next += 1
            return state.next - 1
        }
    }

    func give(_ id: Int) { state.withLock { $0.free.append(id) } }
}

/// The balancers' view of a service: which endpoints there are, from the plan; everything else, from the endpoints.
struct ServiceEndpoints: EndpointView {
    private let endpoints: LentTable<Endpoint>
    private let nowMs: UInt64
    var barring = Standing.byAnyone
    var count: Int { endpoints.count }

    init(plan: borrowing ServicePlan, nowMs: UInt64) {
        endpoints = plan.lentEndpoints
        self.nowMs = nowMs
    }

    func identity(_ i: Int) -> UInt64 { endpoints[i]?({ $0.identity }) ?? 0 }
    func weight(_ i: Int) -> UInt32 { endpoints[i]?({ $0.weight }) ?? 0 }
    func load(_ i: Int) -> Int { endpoints[i]?({ $0.load.load(ordering: .relaxed) }) ?? 0 }
    func latencyUs(_ i: Int) -> UInt32 { endpoints[i]?({ $0.latencyUs.load(ordering: .relaxed) }) ?? 0 }
    func standing(_ i: Int) -> Standing { endpoints[i]?({ $0.standing(nowMs: nowMs) }) ?? .byAnyone }
}
