// Where counters are found by name, so that a reload finds those of untouched objects again.
//
// Control plane only: every call takes a lock and may allocate. The data plane keeps the CellTables it
// got from here. Names come from the configuration, never from the wire, so their number is bounded
// by what the operator wrote (and, for resolved endpoints, by the resolver's limit).

import HTTPClient
import Reactor

/// All metrics of one process.
public final class MetricsRegistry: Sendable {
    private struct Pair: Hashable {
        var service: String
        var name: String
    }

    private struct Tables {
        var routes: [Pair: RouteMetrics] = [:]
        var endpoints: [Pair: EndpointMetrics] = [:]
        var listeners: [String: ListenerMetrics] = [:]
    }

    public let workerCount: Int
    public let build: BuildInfo
    public let workers: WorkerMetrics
    public let accessLog = AccessLogMetrics()
    public let control = ControlMetrics()
    public let certificates = CertificateMetrics()
    public let client = HTTPClientMetrics()
    /// The process's helper threads; they count themselves.
    public let helpers: HelperThreads
    private let tables = Locked(Tables())

    /// - Parameters:
    ///   - workers: how many threads count, fixed for the life of the process; ≥ 1.
    ///   - helpers: whose jobs are shown.
    public init(
        workers: Int, build: BuildInfo,
        helpers: HelperThreads = HelperThreads(.init(cores: CPUCount.workers()))
    ) {
        self.helpers = helpers
        workerCount = max(1, workers)
        self.build = build
        self.workers = WorkerMetrics(workers: workerCount)
    }

    /// The counters of a route and service, made when they do not exist.
    public func route(_ route: String, service: String) -> RouteMetrics {
        tables.withLock {
            let key = Pair(service: service, name: route)
            if let found = $0.routes[key] { return found }
            let made = RouteMetrics(route: route, service: service, workers: workerCount)
            $0.routes[key] = made
            return made
        }
    }

    /// The counters of an endpoint of a service, made when they do not exist.
    public func endpoint(_ endpoint: String, service: String) -> EndpointMetrics {
        tables.withLock {
            let key = Pair(service: service, name: endpoint)
            if let found = $0.endpoints[key] { return found }
            let made = EndpointMetrics(service: service, endpoint: endpoint, workers: workerCount)
            $0.endpoints[key] = made
            return made
        }
    }

    /// The counters of a listener, made when they do not exist.
    public func listener(_ name: String) -> ListenerMetrics {
        tables.withLock {
            if let found = $0.listeners[name] { return found }
            let made = ListenerMetrics(listener: name, workers: workerCount)
            $0.listeners[name] = made
            return made
        }
    }

    /// Forgets what nobody but the registry holds any more. Call it when a snapshot was released: what
    /// the running and the still used older snapshots hold stays, with its counts.
    /// - Returns: how many objects were forgotten.
    @discardableResult
    public func dropUnused() -> Int {
        tables.withLock { tables in
            Self.drop(&tables.routes) + Self.drop(&tables.endpoints) + Self.drop(&tables.listeners)
        }
    }

    private static func drop<Key, Object: AnyObject>(_ table: inout [Key: Object]) -> Int {
        var unused: [Key] = []
        // Not `for i in table.indices`: that keeps a copy of the table, and nothing would be unique.
        var i = table.startIndex
        while i != table.endIndex {
            if isKnownUniquelyReferenced(&table.values[i]) { unused.append(table[i].key) }
            table.formIndex(after: &i)
        }
        for key in unused { table[key] = nil }
        return unused.count
    }

    /// Everything there is to know now, sorted by name. Reads /proc.
    public func snapshot() -> MetricsSnapshot {
        let (routes, endpoints, listeners) = tables.withLock {
            (Array($0.routes.values), Array($0.endpoints.values), Array($0.listeners.values))
        }
        return MetricsSnapshot(
            build: build,
            routes: routes.map { $0.values() }.sorted {
                ($0.route, $0.service) < ($1.route, $1.service)
            },
            endpoints: endpoints.map { $0.values() }.sorted {
                ($0.service, $0.endpoint) < ($1.service, $1.endpoint)
            },
            listeners: listeners.map { $0.values() }.sorted { $0.listener < $1.listener },
            workers: workers.values(), coding: workers.coding(), accessLog: accessLog.values(),
            control: control.values(nowMs: Clock.monotonicNs() / 1_000_000), process: .read(),
            certificates: certificates.values(),
            responders: certificates.responderValues(), client: client.values(),
            helpers: helpers.values())
    }
}

/// What `weir_build_info` says.
public struct BuildInfo: Sendable, Equatable {
    public var version: String
    /// Short commit id, or "unknown".
    public var commit: String

    public init(version: String, commit: String = "unknown") {
        self.version = version
        self.commit = commit
    }
}

/// All metrics at one moment: what `/metrics` prints and the JSON API shows.
public struct MetricsSnapshot: Sendable, Equatable {
    public var build: BuildInfo
    public var routes: [RouteValues]
    public var endpoints: [EndpointValues]
    public var listeners: [ListenerValues]
    public var workers: [WorkerValues]
    /// Codings that occurred.
    public var coding: [CodingValues]
    public var accessLog: AccessLogValues
    public var control: ControlValues
    public var process: ProcessValues
    public var certificates: [CertificateValues] = []
    public var responders = ResponderValues()
    /// What the HTTP client was asked, by purpose.
    public var client: [HTTPClientValues] = []
    /// Jobs of helper threads, by purpose.
    public var helpers: [HelperValues] = []
}
