// The control plane as the admin server shows it.
//
// Reads the running snapshot, the workers' gauges, the name trackers and the metrics, and puts them
// side by side under the names of the configuration. Everything is read without stopping anybody, so
// numbers that belong together may be a moment apart.

import Configuration
import Control
import Glibc
import Proxy
import Reactor
import Telemetry

public struct ControlPlaneView: AdminSource {
    private let control: ControlPlane
    private let file: String
    private let build: BuildInfo

    /// - Parameter file: path of the configuration file; empty without one.
    public init(_ control: ControlPlane, file: String, build: BuildInfo) {
        self.control = control
        self.file = file
        self.build = build
    }

    public func metricsText() -> [UInt8] {
        // Counts the replaced snapshots still in use.
        _ = control.history()
        return control.metrics.snapshot().prometheusText()
    }

    public func reload(_ answer: @escaping @Sendable (ReloadResult) -> Void) {
        control.requestReload { answer(ReloadResult($0)) }
    }

    public func administer(service: String, endpoint: String, _ order: EndpointOrder) -> [EndpointStatus] {
        control.administer(service: service, endpoint: endpoint, order).map { EndpointStatus($0) }
    }

    public func isReady() -> Bool { control.isReady }

    public func explain(_ question: ExplainQuestion) -> Explanation { control.explain(question) }

    public func status() -> StatusSnapshot {
        let current = control.current()
        let metrics = control.metrics.snapshot()
        let nowUs = Clock.wallUs()
        let nowMs = Clock.monotonicNs() / 1_000_000
        let upMs = nowMs &- control.startedMs

        var status = StatusSnapshot()
        status.version = build.version
        status.commit = build.commit
        status.pid = Int(getpid())
        status.state = control.isDraining ? .draining : control.isReady ? .ready : .starting
        status.startedUs = nowUs &- upMs &* 1000
        status.uptimeSeconds = upMs / 1000
        status.configuration = configuration(current.snapshot, metrics.control)
        status.workers = zip(control.workers, metrics.workers).map { worker, values in
            WorkerStatus(metrics: values, connections: worker.status.connections.load(ordering: .relaxed))
        }
        status.listeners = listeners(current, metrics)
        status.routes = routes(current, metrics)
        status.services = services(current) { nowUs &- (nowMs &- $0) &* 1000 }
        status.limits = limits(current, metrics)
        return status
    }

    private typealias Current = (
        configuration: Configuration, snapshot: Snapshot, names: [String: NameTracker]
    )

    private func configuration(_ snapshot: Snapshot, _ values: ControlValues) -> ConfigurationStatus {
        let history = control.history()
        var status = ConfigurationStatus()
        status.file = file
        status.generation = snapshot.generation
        status.loadedUs = history.loadedUs
        status.held = history.held.map { HeldSnapshot(generation: $0) }
        status.lastReload = history.lastReload.map { ReloadResult($0) }
        status.snapshots = values
        return status
    }

    private func listeners(_ current: Current, _ metrics: MetricsSnapshot) -> [ListenerStatus] {
        // Accepting pauses exactly while no descriptor is left.
        let isPaused = metrics.process.openFDs >= metrics.process.maxFDs
        return current.configuration.listeners.compactMap { listener in
            let name = listener.name.value
            guard
                let plan = current.snapshot.listeners.lazy.compactMap({ $0 }).first(where: {
                    "\($0.name)" == name
                })
            else { return nil }
            return ListenerStatus(
                address: plan.sockets.map(\.address.description).joined(separator: ", "),
                protocol: listener.protocol.rawValue, isPaused: isPaused, metrics: plan.metrics.values())
        }
    }

    /// The routes in the order of the file, then what was counted without one.
    private func routes(_ current: Current, _ metrics: MetricsSnapshot) -> [RouteStatus] {
        var result = zip(current.configuration.routes, current.snapshot.routes).map { route, plan in
            RouteStatus(match: route.match.summary, metrics: plan.metrics.values())
        }
        for values in metrics.routes where values.route == "-" {
            if values.service != "-" {
                result.append(RouteStatus(match: "L4 (TCP, UDP)", metrics: values))
            } else if values.requestsByClass.contains(where: { $0 > 0 }) {
                result.append(RouteStatus(match: "no route", metrics: values))
            }
        }
        return result
    }

    private func services(_ current: Current, wallUs: (UInt64) -> UInt64) -> [ServiceStatus] {
        current.configuration.services.compactMap { service in
            let name = service.name.value
            guard
                let plan = current.snapshot.services.lazy.compactMap({ $0 }).first(where: {
                    "\($0.name)" == name
                })
            else { return nil }
            var status = ServiceStatus(
                name: name, balance: service.files == nil ? service.balance.rawValue : "files",
                endpoints: [])
            for endpoint in plan.endpoints {
                var one = EndpointStatus(endpoint)
                if let host = Self.resolvedFrom(endpoint) {
                    one.resolvedFrom = host
                    if case .stale(let sinceMs) = current.names[host]?.state {
                        one.staleSinceUs = wallUs(sinceMs)
                    }
                }
                status.endpoints.append(one)
            }
            for endpoint in service.endpoints {
                guard case .name(let host, _) = endpoint.address.kind, let tracker = current.names[host],
                    tracker.addresses.isEmpty
                else { continue }
                status.unresolved.append(
                    UnresolvedName(
                        name: endpoint.address.text.value, failures: tracker.failures,
                        lastFailure: tracker.lastFailure?.rawValue ?? ""))
            }
            return status
        }
    }

    /// The host of "host/address:port", the form the names of resolved endpoints have.
    private static func resolvedFrom(_ endpoint: Proxy.Endpoint) -> String? {
        guard case .ip = endpoint.address else { return nil }
        let name = endpoint.name.description
        return name.firstIndex(of: "/").map { String(name[..<$0]) }
    }

    private func limits(_ current: Current, _ metrics: MetricsSnapshot) -> [LimitStatus] {
        let workers = control.workers
        let each = control.workerLimits
        func perWorker(_ name: String, _ max: Int, _ used: (WorkerGauges) -> Int) -> LimitStatus {
            LimitStatus(
                name: name, used: UInt64(clamping: workers.reduce(0) { $0 + used($1.status) }),
                max: UInt64(clamping: max * workers.count))
        }
        var limits = [
            LimitStatus(name: "file-descriptors", used: metrics.process.openFDs, max: metrics.process.maxFDs),
            LimitStatus(
                name: "helpers.queue", used: UInt64(metrics.helpers.reduce(0) { $0 + $1.queued }),
                max: UInt64(control.metrics.helpers.settings.queueMax)),
        ]
        for listener in current.configuration.listeners {
            let name = listener.name.value
            guard let values = metrics.listeners.first(where: { $0.listener == name }) else { continue }
            let isDatagram = listener.protocol == .udp
            limits.append(
                LimitStatus(
                    name: "listeners.\(name).\(isDatagram ? "sessions" : "connections")",
                    used: UInt64(clamping: values.active),
                    max: UInt64(
                        clamping: isDatagram ? listener.limits.sessions : listener.limits.connections)))
        }
        for service in current.configuration.services where service.connections.max > 0 {
            let name = service.name.value
            for endpoint in metrics.endpoints where endpoint.service == name {
                limits.append(
                    LimitStatus(
                        name: "services.\(name).connections \(endpoint.endpoint)",
                        used: endpoint.connectionsOpened
                            &- min(endpoint.connectionsOpened, endpoint.connectionsClosed),
                        max: UInt64(clamping: service.connections.max * workers.count)))
            }
        }
        limits.append(
            perWorker("client-connections", each.clientsMax + each.tunnelsMax) {
                $0.connections.load(ordering: .relaxed)
            })
        limits.append(perWorker("exchanges", each.exchangesMax) { $0.exchanges.load(ordering: .relaxed) })
        limits.append(perWorker("tunnels", each.tunnelsMax) { $0.tunnels.load(ordering: .relaxed) })
        limits.append(perWorker("udp-sessions", each.sessionsMax) { $0.sessions.load(ordering: .relaxed) })
        limits.append(
            perWorker("upstream-connections", each.upstreamsMax) { $0.upstreams.load(ordering: .relaxed) })
        return limits
    }
}

extension Match {
    /// As a person would write it: "GET api.example.com /v1/* header x-tenant".
    var summary: String {
        var parts: [String] = []
        if !methods.isEmpty { parts.append(methods.map(\.value).joined(separator: "|")) }
        if !hosts.isEmpty { parts.append(hosts.map(\.value).joined(separator: "|")) }
        parts.append(paths.isEmpty ? "/*" : paths.map(\.value).joined(separator: "|"))
        parts += headers.map { "header \($0.name.value)" }
        parts += query.map { "query \($0.name.value)" }
        parts += cookies.map { "cookie \($0.name.value)" }
        return parts.joined(separator: " ")
    }
}

extension ReloadResult {
    init(_ record: ReloadRecord) {
        switch record.outcome {
        case .applied(_, let warnings):
            self.init(
                ok: true, generation: record.generation, atUs: record.atUs,
                warnings: warnings.map { ReloadProblem($0) })
        case .refused(let errors):
            self.init(
                ok: false, generation: record.generation, atUs: record.atUs,
                problems: errors.map { ReloadProblem($0) })
        }
    }
}

extension ReloadProblem {
    init(_ error: ConfigurationError) {
        self.init(
            message: error.message, file: error.file, line: error.line, column: error.column,
            suggestion: [
                error.expectation.map { $0.hasPrefix("expected") ? $0 : "expected \($0)" },
                error.suggestion.map { "did you mean \"\($0)\"?" },
            ].compactMap { $0 }.joined(separator: "; "))
    }
}

extension EndpointStatus {
    /// What is known of an endpoint without its service.
    fileprivate init(_ endpoint: Proxy.Endpoint) {
        let standing = endpoint.standing(nowMs: Clock.monotonicNs() / 1_000_000)
        self.init(
            metrics: endpoint.metrics.values(), weight: Int(endpoint.weight),
            configuredWeight: Int(endpoint.configuredWeight), state: standing.operatorWord,
            health: standing.healthWord)
    }
}
