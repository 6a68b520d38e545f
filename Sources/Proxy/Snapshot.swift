// What the data plane runs on: an immutable picture of the configuration, compiled.
//
// The control plane builds a Snapshot and sends it to every worker; a worker swaps it in at a loop
// turn. Exchanges under way keep the snapshot they started with (SnapshotLease) until they end.
// Objects that live longer than a snapshot (endpoints, metrics) are shared between snapshots, so a
// reload touches only what changed.

import Balancing
import Compression
import HTTP1
import HTTP2
import HTTPModel
import Reactor
import Resilience
import Routing
import Synchronization
import TLS
import Telemetry

/// A reference to an object that something else keeps alive (a lease, a table), used without counting:
/// plans and endpoints are shared by all workers, and a count they all wrote with every request would
/// travel from core to core.
struct Lent<Object: AnyObject>: BitwiseCopyable {
    private let reference: Unmanaged<Object>

    init(_ object: Object) { reference = .passUnretained(object) }

    /// The object, counted: off the hot path.
    var object: Object { reference.takeUnretainedValue() }

    @inline(__always)
    func callAsFunction<Result>(_ body: (Object) -> Result) -> Result {
        reference._withUnsafeGuaranteedRef(body)
    }
}

/// What an array of shared objects looks like to those who must not count: the array stays the owner.
struct LentTable<Object: AnyObject>: @unchecked Sendable {
    private let base: UnsafeMutablePointer<Lent<Object>?>
    let count: Int

    init(_ objects: [Object?]) {
        base = .allocate(capacity: max(1, objects.count))
        count = objects.count
        for (i, object) in objects.enumerated() { base[i] = object.map { Lent($0) } }
    }

    /// The object at an index; nil when there is none (any more).
    @inline(__always)
    subscript(_ i: Int) -> Lent<Object>? { i < count ? base[i] : nil }

    func deallocate() { base.deallocate() }
}

/// Everything a worker needs to serve requests. Immutable.
public final class Snapshot: Sendable {
    /// Counts up from 1 with every change published.
    public let generation: UInt64
    /// By listener id; nil where a listener was removed.
    public let listeners: [ListenerPlan?]
    public let routes: [RoutePlan]
    /// By service id; nil where a service was removed.
    public let services: [ServicePlan?]
    /// Clients in these blocks are believed about whom they speak for (law 9).
    public let trusted: [AddressBlock]
    public let forwarding: ForwardingPlan
    /// The same, to be read without counting references.
    let lentListeners: LentTable<ListenerPlan>
    let lentRoutes: LentTable<RoutePlan>
    let lentServices: LentTable<ServicePlan>

    public init(
        generation: UInt64, listeners: [ListenerPlan?], routes: [RoutePlan], services: [ServicePlan?],
        trusted: [AddressBlock], forwarding: ForwardingPlan
    ) {
        self.generation = generation
        self.listeners = listeners
        self.routes = routes
        self.services = services
        self.trusted = trusted
        self.forwarding = forwarding
        lentListeners = LentTable(listeners)
        lentRoutes = LentTable(routes)
        lentServices = LentTable(services)
    }

    deinit {
        lentListeners.deallocate()
        lentRoutes.deallocate()
        lentServices.deallocate()
    }
}

/// Which fields tell the endpoint about the client and the way here.
public struct ForwardingPlan: Sendable, BitwiseCopyable {
    public var xForwarded: Bool
    public var forwarded: Bool
    public var via: Bool

    public init(xForwarded: Bool, forwarded: Bool, via: Bool) {
        self.xForwarded = xForwarded
        self.forwarded = forwarded
        self.via = via
    }
}

/// A listener as the workers see it. `id` is stable across reloads as long as the name exists.
public final class ListenerPlan: Sendable {
    public enum Traffic: Sendable {
        case http
        /// L4: every connection goes to one service.
        case tcp(serviceID: Int)
        /// L4: the server name in its ClientHello says to which.
        case tcpByName(ServerNamePlan)
        /// L4: so does every datagram.
        case udp(serviceID: Int, DatagramPlan)
    }

    public let id: Int
    public let name: StaticBytes
    public let traffic: Traffic
    /// One entry per address the listener is bound to.
    public let sockets: [ListeningSockets]
    public let router: Router
    /// Router rule number → index into Snapshot.routes.
    public let routeIndexes: [Int32]
    public let requiresProxyHeader: Bool
    /// nil: connections are not encrypted.
    public let tls: TLSServerContext?
    public let http2: HTTP2Configuration
    /// An HTTP/2 connection is asked to end at about this age; 0: at none.
    public let sessionAgeMaxMs: UInt64
    public let parser: RequestParser
    public let headBytesMax: Int
    public let headTimeoutMs: UInt64
    public let idleTimeoutMs: UInt64
    /// Longest time without a byte from a client that owes us a body.
    public let bodyTimeoutMs: UInt64
    /// Longest time without a byte accepted by a client we owe a response.
    public let writeTimeoutMs: UInt64
    /// A client that owes us a body and sends it slower than this is cut. Bytes per second; 0 = off.
    public let bytesPerSecondMin: UInt64
    /// Open client connections per worker.
    public let connectionsMax: Int
    public let requestsPerConnectionMax: UInt32
    public let metrics: ListenerMetrics
    /// Requests that found no route, and L4 connections.
    public let unrouted: RouteMetrics

    public init(
        id: Int, name: String, traffic: Traffic, sockets: [ListeningSockets], router: Router,
        routeIndexes: [Int32], requiresProxyHeader: Bool, tls: TLSServerContext? = nil,
        http2: HTTP2Configuration, sessionAgeMaxMs: UInt64 = 0, headLimits: HeadLimits, headTimeoutMs: UInt64,
        idleTimeoutMs: UInt64,
        bodyTimeoutMs: UInt64,
        writeTimeoutMs: UInt64, bytesPerSecondMin: UInt64,
        connectionsMax: Int, requestsPerConnectionMax: UInt32, metrics: ListenerMetrics,
        unrouted: RouteMetrics
    ) {
        self.id = id
        self.name = StaticBytes(name)
        self.traffic = traffic
        self.sockets = sockets
        self.router = router
        self.routeIndexes = routeIndexes
        self.requiresProxyHeader = requiresProxyHeader
        self.tls = tls
        self.http2 = http2
        self.sessionAgeMaxMs = sessionAgeMaxMs
        self.parser = RequestParser(limits: headLimits)
        self.headBytesMax = headLimits.bytesMax
        self.headTimeoutMs = headTimeoutMs
        self.idleTimeoutMs = idleTimeoutMs
        self.bodyTimeoutMs = bodyTimeoutMs
        self.writeTimeoutMs = writeTimeoutMs
        self.bytesPerSecondMin = bytesPerSecondMin
        self.connectionsMax = connectionsMax
        self.requestsPerConnectionMax = requestsPerConnectionMax
        self.metrics = metrics
        self.unrouted = unrouted
    }
}

/// The services of a TCP listener that passes TLS on by server name.
public struct ServerNamePlan: Sendable {
    public struct Target: Sendable {
        public let serviceID: Int
        /// Where its connections are counted.
        public let counters: RouteMetrics

        public init(serviceID: Int, counters: RouteMetrics) {
            self.serviceID = serviceID
            self.counters = counters
        }
    }
    /// Its choices are places in `targets`.
    public let names: ServerNames
    public let targets: [Target]

    public init(names: ServerNames, targets: [Target]) {
        self.names = names
        self.targets = targets
    }
}

/// How a UDP listener's datagrams become sessions.
public struct DatagramPlan: Sendable, BitwiseCopyable {
    /// An endpoint for each datagram instead of one for each session.
    public var isPerPacket: Bool
    /// Answers to each of the client's datagrams, after which a session ends; nil: any number.
    public var responses: Int?
    /// Open sessions per worker.
    public var sessionsMax: Int
    /// Bytes of a datagram in either direction.
    public var bytesMax: Int

    public init(isPerPacket: Bool, responses: Int?, sessionsMax: Int, bytesMax: Int) {
        self.isPerPacket = isPerPacket
        self.responses = responses
        self.sessionsMax = sessionsMax
        self.bytesMax = bytesMax
    }
}

/// The sockets of one listener address: one per worker (SO_REUSEPORT), or one shared by all (Unix).
/// Opened by the control plane before a snapshot is published; closed when the last snapshot that
/// names them and the workers have let go.
public final class ListeningSockets: Sendable {
    public let address: SocketAddress
    /// Counts up over the life of the process; tells a worker whether it already listens on these.
    public let id: Int
    /// UDP: nothing to accept.
    public let isDatagram: Bool
    private let descriptors: [Int32]

    public init(id: Int, address: SocketAddress, descriptors: [Int32], isDatagram: Bool = false) {
        self.id = id
        self.address = address
        self.descriptors = descriptors
        self.isDatagram = isDatagram
    }

    /// The socket for a worker.
    public func socket(worker: Int) -> Socket { Socket(fd: descriptors[worker % descriptors.count]) }
    /// Whether the workers share one descriptor.
    public var isShared: Bool { descriptors.count == 1 }

    deinit {
        for fd in descriptors { Socket(fd: fd).close() }
    }
}

/// What a route does with a request it matched.
public enum RouteAction: Sendable {
    case forward(serviceID: Int)
    /// Answered from the folder of a service.
    case files(serviceID: Int)
    case redirect(to: Template, status: UInt16)
    /// `coded` where the route compresses.
    case respond(status: UInt16, contentType: StaticBytes, body: StaticBytes, coded: CodedBodies?)
}

/// A route with its policies, compiled.
public final class RoutePlan: Sendable {
    public let name: StaticBytes
    public let action: RouteAction
    /// The request target sent upstream; nil: as received.
    public let rewrite: Rewrite?
    public let requestRules: FieldRules?
    public let responseRules: FieldRules?
    /// Longest wait for the response head, once the request was sent.
    public let headTimeoutMs: UInt64
    /// Longest pause within a response body.
    public let idleTimeoutMs: UInt64
    /// Longest whole exchange; 0: none.
    public let totalTimeoutMs: UInt64
    /// Longest silence on a connection that was upgraded.
    public let upgradedIdleMs: UInt64
    public let retry: RetryPolicy
    /// How much of a request body is held before an endpoint is chosen (law 11).
    public let holdBytes: Int
    /// Protocols a client may change to, lower case; "connect" stands for CONNECT.
    public let upgrades: [StaticBytes]
    /// Pings of our own on WebSockets; nil: none.
    public let pings: PingPlan?
    /// Which responses are compressed; nil: none.
    public let compression: CompressionRule?
    /// gRPC-Web requests are forwarded as gRPC.
    public let bridgesWeb: Bool
    /// Bounds of request bodies that are decoded; nil: they go as they come.
    public let decompression: DecoderLimits?
    public let metrics: RouteMetrics

    public init(
        name: String, action: RouteAction, rewrite: Rewrite?, requestRules: FieldRules?,
        responseRules: FieldRules?, headTimeoutMs: UInt64, idleTimeoutMs: UInt64, totalTimeoutMs: UInt64,
        upgradedIdleMs: UInt64, retry: RetryPolicy, holdBytes: Int, upgrades: [String],
        pings: PingPlan? = nil, compression: CompressionRule? = nil, bridgesWeb: Bool = false,
        decompression: DecoderLimits? = nil, metrics: RouteMetrics
    ) {
        self.name = StaticBytes(name)
        self.action = action
        self.rewrite = rewrite
        self.requestRules = requestRules
        self.responseRules = responseRules
        self.headTimeoutMs = headTimeoutMs
        self.idleTimeoutMs = idleTimeoutMs
        self.totalTimeoutMs = totalTimeoutMs
        self.upgradedIdleMs = upgradedIdleMs
        self.retry = retry
        self.holdBytes = holdBytes
        self.upgrades = upgrades.map { StaticBytes($0) }
        self.pings = pings
        self.compression = compression
        self.bridgesWeb = bridgesWeb
        self.decompression = decompression
        self.metrics = metrics
    }

    /// Whether a client may change to this protocol here; case does not matter (RFC 9110 §7.8).
    public func allowsUpgrade(to token: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = token.baseAddress else { return false }
        return upgrades.contains { equalIgnoringASCIICase(base, token.count, $0.base, $0.count) }
    }
}

/// When WebSocket clients are sent a Ping.
public struct PingPlan: Sendable, BitwiseCopyable {
    /// Silence before it.
    public var intervalMs: UInt64
    /// Silence after it that ends the connection.
    public var patienceMs: UInt64

    public init(intervalMs: UInt64, patienceMs: UInt64) {
        self.intervalMs = intervalMs
        self.patienceMs = patienceMs
    }
}

/// How the target changes on its way upstream.
public enum Rewrite: Sendable {
    /// The whole target (path and query) from a template.
    case target(Template)
    /// The path's first `matched` bytes are replaced; the rest and the query stay.
    case prefix(from: StaticBytes, to: StaticBytes)
}

/// Header rules of one direction. Removal is by name; set replaces, add appends.
public final class FieldRules: Sendable {
    public struct Rule: Sendable {
        public let name: StaticBytes
        public let value: Template
        public init(name: String, value: Template) {
            self.name = StaticBytes(name)
            self.value = value
        }
    }
    public let set: [Rule]
    public let add: [Rule]
    public let remove: [StaticBytes]

    public init(set: [Rule], add: [Rule], remove: [String]) {
        self.set = set
        self.add = add
        self.remove = remove.map { StaticBytes($0) }
    }

    /// Whether a field that arrived is dropped (because it is removed or replaced).
    func drops(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        for rule in set where equalIgnoringASCIICase(name, count, rule.name.base, rule.name.count) {
            return true
        }
        for removed in remove where equalIgnoringASCIICase(name, count, removed.base, removed.count) {
            return true
        }
        return false
    }

    /// The replacement for a field by name, if there is one.
    func replacement(for name: StaticString) -> Template? {
        for rule in set
        where equalIgnoringASCIICase(name.utf8Start, name.utf8CodeUnitCount, rule.name.base, rule.name.count)
        {
            return rule.value
        }
        return nil
    }
}

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
    /// The folder that answers instead of endpoints.
    public let files: FilesPlan?

    public init(
        id: Int, name: String, algorithm: Balancer.Algorithm, endpoints: [Endpoint],
        connectTimeoutMs: UInt64, idleConnectionsMax: Int, idleTimeoutMs: UInt64, connectionsMax: Int,
        proxyProtocol: ProxyProtocolVersion?, tls: TLSClientContext? = nil,
        http2: HTTP2Configuration? = nil, retryBudget: RetryBudget, files: FilesPlan? = nil
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

/// Bytes that live as long as the object that holds them: names and fixed bodies, readable without
/// reference counting or copying.
public final class StaticBytes: @unchecked Sendable, CustomStringConvertible {
    public let base: UnsafeMutablePointer<UInt8>
    public let count: Int

    public convenience init(_ text: String) { self.init(Array(text.utf8)) }

    public init(_ bytes: [UInt8]) {
        base = .allocate(capacity: max(1, bytes.count))
        count = bytes.count
        for (i, byte) in bytes.enumerated() { base[i] = byte }
    }

    deinit { base.deallocate() }

    public var bytes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}
