// A service and its endpoints as the workers see them.

import Balancing
import HTTP2
import HTTPModel
import Reactor
import Resilience
import Synchronization
import TLS
import Telemetry

/// A service: endpoints and how one is chosen, or a folder of files. `id` is stable across reloads as long as the name exists.
public final class ServicePlan: @unchecked Sendable {
    public let id: Int
    public let name: StaticBytes
    public let algorithm: Balancer.Algorithm
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
    public let http2: HTTP2Configuration?
    public let retryBudget: RetryBudget
    /// In what its endpoints may break the standard.
    public let quirks: Quirks
    /// The folder that answers instead of endpoints.
    public let files: FilesPlan?

    public init(
        id: Int, name: String, algorithm: Balancer.Algorithm, endpoints: [Endpoint],
        connectTimeoutMs: UInt64, idleConnectionsMax: Int, idleTimeoutMs: UInt64, connectionsMax: Int,
        proxyProtocol: ProxyProtocolVersion?, tls: TLSClientContext? = nil,
        http2: HTTP2Configuration? = nil, retryBudget: RetryBudget, quirks: Quirks = [],
        files: FilesPlan? = nil
    ) {
        self.id = id
        self.name = StaticBytes(name)
        self.algorithm = algorithm
        self.endpoints = endpoints
        lentEndpoints = LentTable(endpoints)
        self.connectTimeoutMs = connectTimeoutMs
        self.idleConnectionsMax = idleConnectionsMax
        self.idleTimeoutMs = idleTimeoutMs
        self.connectionsMax = connectionsMax
        self.proxyProtocol = proxyProtocol
        self.tls = tls
        self.http2 = http2
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
public final class Endpoint: Sendable {
    public let id: Int
    public let address: SocketAddress
    /// 1…1000.
    public let weight: UInt32
    /// As logs and metrics name it: the address, with the configured name when it has one.
    public let name: StaticBytes
    /// The configured name or address without port: what TLS asks for and verifies.
    public let host: String
    public let metrics: EndpointMetrics
    /// Requests and L4 connections under way, over all workers.
    public let load = Atomic<Int>(0)
    /// It refused a datagram: until then (monotonic milliseconds) UDP prefers others.
    let refusedUntilMs = Atomic<UInt64>(0)

    private let ids: EndpointIDs

    public init(
        ids: EndpointIDs, address: SocketAddress, weight: UInt32, name: String, host: String,
        metrics: EndpointMetrics
    ) {
        id = ids.take()
        self.ids = ids
        self.address = address
        self.weight = weight
        self.name = StaticBytes(name)
        self.host = host
        self.metrics = metrics
    }

    deinit { ids.give(id) }
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

/// The balancers' view of a service: weights from the plan, loads from the endpoints.
struct ServiceEndpoints: EndpointView {
    private let endpoints: LentTable<Endpoint>
    var count: Int { endpoints.count }

    init(plan: borrowing ServicePlan) { endpoints = plan.lentEndpoints }

    func weight(_ i: Int) -> UInt32 { endpoints[i]?({ $0.weight }) ?? 0 }
    func load(_ i: Int) -> Int { endpoints[i]?({ $0.load.load(ordering: .relaxed) }) ?? 0 }
    func isAvailable(_ i: Int) -> Bool { true }
}
