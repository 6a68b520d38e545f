// What `weir status`, `/api/v1/status` and the dashboard show: one plain value.
//
// The program fills it from the running snapshot, the pools and the metrics; the JSON and the text are
// made from it and from nothing else. Member names here are the member names of the JSON, in
// snake_case (StatusJSON.swift).

import Control
import Telemetry

/// Everything Weir believes, at one moment.
public struct StatusSnapshot: Sendable, Equatable {
    public enum State: String, Sendable, CaseIterable {
        /// No snapshot serves yet.
        case starting
        case ready
        /// No new connections; those open are being finished.
        case draining
    }

    public var version = ""
    public var commit = ""
    public var pid = 0
    public var state = State.starting
    /// Wall clock, microseconds since 1970.
    public var startedUs: UInt64 = 0
    public var uptimeSeconds: UInt64 = 0
    public var configuration = ConfigurationStatus()
    public var workers: [WorkerStatus] = []
    public var listeners: [ListenerStatus] = []
    public var routes: [RouteStatus] = []
    public var services: [ServiceStatus] = []
    public var limits: [LimitStatus] = []

    public init() {}
}

/// The running configuration, its predecessors still in use, and the last reload.
public struct ConfigurationStatus: Sendable, Equatable {
    /// Path of the file; empty without one (`weir proxy`).
    public var file = ""
    /// Counts up from 1 with every snapshot.
    public var generation: UInt64 = 0
    /// Wall clock, microseconds since 1970.
    public var loadedUs: UInt64 = 0
    /// Replaced snapshots that requests or connections still use, oldest first.
    public var held: [HeldSnapshot] = []
    public var lastReload: ReloadResult?
    /// The snapshots made for it, and the newest of them.
    public var snapshots: ControlValues?

    public init() {}
}

/// A replaced snapshot that requests or L4 connections still use.
public struct HeldSnapshot: Sendable, Equatable {
    public var generation: UInt64

    public init(generation: UInt64) { self.generation = generation }
}

public struct WorkerStatus: Sendable, Equatable {
    /// Client connections this worker serves.
    public var connections: Int
    public var metrics: WorkerValues

    public init(metrics: WorkerValues, connections: Int) {
        self.metrics = metrics
        self.connections = connections
    }
}

public struct ListenerStatus: Sendable, Equatable {
    /// Where it really listens, "0.0.0.0:8080".
    public var address: String
    /// "http", "tcp" or "udp".
    public var `protocol`: String
    /// Accepting is suspended for want of file descriptors.
    public var isPaused: Bool
    public var metrics: ListenerValues

    public init(address: String, protocol: String, isPaused: Bool, metrics: ListenerValues) {
        self.address = address
        self.protocol = `protocol`
        self.isPaused = isPaused
        self.metrics = metrics
    }
}

public struct RouteStatus: Sendable, Equatable {
    /// The match as a person would write it, "api.example.com /v1/*".
    public var match: String
    public var metrics: RouteValues

    public init(match: String, metrics: RouteValues) {
        self.match = match
        self.metrics = metrics
    }
}

public struct ServiceStatus: Sendable, Equatable {
    public var name: String
    /// "round-robin", "random", "least-request"; "files" for a folder.
    public var balance: String
    public var endpoints: [EndpointStatus]
    /// Names that have never been resolved: they have no endpoint yet.
    public var unresolved: [UnresolvedName] = []

    public init(name: String, balance: String, endpoints: [EndpointStatus]) {
        self.name = name
        self.balance = balance
        self.endpoints = endpoints
    }
}

public struct EndpointStatus: Sendable, Equatable {
    /// The weight in effect, and the one in the configuration where an operator has set another.
    public var weight: Int
    public var configuredWeight: Int
    /// "active", "drain", "down": the operator's word.
    public var state: String
    /// "healthy", "failing", "resting".
    public var health: String
    /// The configured name this address was resolved from; empty for a literal address.
    public var resolvedFrom: String
    /// Since when the name could not be resolved anew, microseconds since 1970; 0 = fresh.
    public var staleSinceUs: UInt64
    /// Address, attempts, failures, in flight, idle: all from the counters.
    public var metrics: EndpointValues

    public init(
        metrics: EndpointValues, weight: Int, configuredWeight: Int? = nil, state: String = "active",
        health: String = "healthy", resolvedFrom: String = "", staleSinceUs: UInt64 = 0
    ) {
        self.metrics = metrics
        self.weight = weight
        self.configuredWeight = configuredWeight ?? weight
        self.state = state
        self.health = health
        self.resolvedFrom = resolvedFrom
        self.staleSinceUs = staleSinceUs
    }
}

/// A name of an endpoint that DNS has not answered yet.
public struct UnresolvedName: Sendable, Equatable {
    /// As configured, with the port.
    public var name: String
    /// Questions that failed.
    public var failures: Int
    /// Why the last one failed; empty while the first is under way.
    public var lastFailure: String

    public init(name: String, failures: Int, lastFailure: String) {
        self.name = name
        self.failures = failures
        self.lastFailure = lastFailure
    }
}

/// A bound and how near it is.
public struct LimitStatus: Sendable, Equatable {
    /// As in the configuration, "file-descriptors", "pool.connections".
    public var name: String
    public var used: UInt64
    public var max: UInt64

    public init(name: String, used: UInt64, max: UInt64) {
        self.name = name
        self.used = used
        self.max = max
    }
}

/// What a reload came to.
public struct ReloadResult: Sendable, Equatable {
    /// The new configuration serves.
    public var ok: Bool
    /// The generation that serves now.
    public var generation: UInt64
    /// Wall clock, microseconds since 1970.
    public var atUs: UInt64
    /// Why it was refused; all of them.
    public var problems: [ReloadProblem]
    /// What a configuration that serves does not do, or not yet.
    public var warnings: [ReloadProblem]

    public init(
        ok: Bool, generation: UInt64, atUs: UInt64, problems: [ReloadProblem] = [],
        warnings: [ReloadProblem] = []
    ) {
        self.ok = ok
        self.generation = generation
        self.atUs = atUs
        self.problems = problems
        self.warnings = warnings
    }
}

/// One error of a configuration file, or one warning.
public struct ReloadProblem: Sendable, Equatable {
    public var message: String
    public var file: String
    /// From 1; 0 when there is no position.
    public var line: Int
    public var column: Int
    /// "did you mean …"; empty when there is none.
    public var suggestion: String

    public init(message: String, file: String = "", line: Int = 0, column: Int = 0, suggestion: String = "") {
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.suggestion = suggestion
    }
}

/// What the admin server shows and asks. Called on its thread; none of it may wait for a client.
public protocol AdminSource: Sendable {
    /// The page for `/metrics`, Prometheus text.
    func metricsText() -> [UInt8]
    func status() -> StatusSnapshot
    /// Has the configuration read anew and swapped in, or hears why not. The answer may come at once or later, on
    /// any thread; others are served meanwhile.
    func reload(_ answer: @escaping @Sendable (ReloadResult) -> Void)
    /// Gives an order about the endpoints of a service with this name; what they are then. Empty: there is none.
    func administer(service: String, endpoint: String, _ order: EndpointOrder) -> [EndpointStatus]
    /// Whether new traffic should be sent here: started and not draining.
    func isReady() -> Bool
    /// What a request would meet. Sends nothing.
    func explain(_ question: ExplainQuestion) -> Explanation
}
