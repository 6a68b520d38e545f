// The control plane: owns the workers, makes snapshots, reloads, drains.
//
// Everything that changes what the workers run on goes through here, one change at a time, under one
// lock that no worker ever takes. Time comes from the owner's loop (`tick`).

import WeirBalancing
import Configuration
import Glibc
import HTTPClient
import Proxy
import Reactor
import WeirResilience
import Synchronization
import Telemetry

/// What came of a reload.
public enum ReloadOutcome: Sendable {
    /// The new configuration is in effect.
    case applied(generation: UInt64, warnings: [ConfigurationError])
    /// The old one stays in effect.
    case refused([ConfigurationError])
}

/// A reload and when it was.
public struct ReloadRecord: Sendable {
    public var outcome: ReloadOutcome
    /// What serves after it.
    public var generation: UInt64
    /// Wall clock, microseconds since 1970.
    public var atUs: UInt64
}

/// What an operator wants of endpoints; nil: as it is.
public struct EndpointOrder: Sendable, Equatable, CustomStringConvertible {
    public enum Weight: Sendable, Equatable {
        /// As the configuration says.
        case configured
        case value(UInt32)
    }
    /// `.draining`, `.down`, or nothing: active.
    public var standing: Standing?
    public var weight: Weight?

    public init(standing: Standing? = nil, weight: Weight? = nil) {
        self.standing = standing
        self.weight = weight
    }

    public var description: String {
        var words: [String] = []
        if let standing { words.append(standing.operatorWord) }
        switch weight {
        case nil: break
        case .configured?: words.append("weight configured")
        case .value(let weight)?: words.append("weight \(weight)")
        }
        return words.joined(separator: ", ")
    }
}

extension Standing {
    /// The operator's words, in the admin API and in the status.
    public static let operatorWords: [(word: String, standing: Standing)] = [
        ("active", []), ("drain", .draining), ("down", .down),
    ]

    /// What the operator has said.
    public var operatorWord: String {
        let said = intersection(.byOperator)
        return Self.operatorWords.first { $0.standing == said }?.word ?? ""
    }

    /// What else is known of the endpoint: by its source, its checks, by observation.
    public var healthWord: String {
        contains(.failing) ? "failing" : contains(.resting) ? "resting" : "healthy"
    }
}

public final class ControlPlane: Sendable {
    /// What changes over the life of the process.
    private struct State {
        var configuration: Configuration
        var compiled: CompiledRoutes
        var certificates: CertificateSet
        var certificateWatch = CertificateWatch()
        var accessLog: Telemetry.AccessLog?
        var objects = LongLivedObjects()
        var generation: UInt64 = 0
        var names: [String: TrackedName] = [:]
        var isDraining = false
        var drainDeadlineMs: UInt64 = .max
        var snapshot: Snapshot
        /// Replaced snapshots somebody may still use.
        var replaced: [ReplacedSnapshot] = []
        /// When the configuration took effect, wall clock.
        var loadedUs = Clock.wallUs()
        var lastReload: ReloadRecord?
    }
    struct ReplacedSnapshot: Sendable {
        let generation: UInt64
        weak var snapshot: Snapshot?
    }
    struct TrackedName: Sendable {
        var tracker: NameTracker
        var isAsking = false
    }

    public let workers: [Worker]
    public let metrics: MetricsRegistry
    public let log: Log
    /// Bounds of each worker.
    public let workerLimits = WorkerLimits()
    public let startedMs: UInt64
    private let source: any ConfigurationSource
    private let resolver: Resolver
    /// Asks what is not on the data path.
    private let client: HTTPClient
    private let staples: StapleKeeper
    private let threads = Locked<[RunningThread]>([])
    private let state: Locked<State>
    private let reloading = Locked<Void>(())
    private let wake: @Sendable () -> Void
    private let adminFollower = Locked<(@Sendable (AdminPlan) -> Void)?>(nil)

    /// Builds everything for a configuration without starting it.
    /// - Parameters:
    ///   - loaded: what `source` gave.
    ///   - wake: called (from any thread) when `tick` should be called soon.
    /// - Throws: `ConfigurationErrors`: addresses or a log file that cannot be had.
    public init(
        _ loaded: LoadedConfiguration, source: any ConfigurationSource, build: BuildInfo, log: Log,
        wake: @escaping @Sendable () -> Void
    ) throws(ConfigurationErrors) {
        let configuration = loaded.configuration
        let compiled = loaded.compiled
        self.source = source
        self.log = log
        self.wake = wake
        startedMs = Clock.monotonicNs() / 1_000_000
        let count = configuration.workers ?? CPUCount.workers()
        metrics = MetricsRegistry(workers: count, build: build)
        let accessLog = try Self.openAccessLog(configuration, file: source.name, metrics: metrics, log: log)

        var resolverSettings = Resolver.Settings()
        resolverSettings.servers = configuration.resolver.servers.map(\.text.value)
        resolverSettings.timeoutMs = Int(configuration.resolver.timeoutMs)
        resolver = Resolver(settings: resolverSettings)
        let ofClient = resolver
        client = HTTPClient(metrics: metrics.client) { ofClient.resolve(host: $0, $1) }
        staples = StapleKeeper(client: client, log: log, metrics: metrics.certificates) {
            Double.random(in: 0..<1)
        }

        var objects = LongLivedObjects()
        switch ListenerSockets.open(configuration, workers: count, source, &objects) {
        case .failure(let failure): throw failure
        case .success(let opened):
            _ = ListenerSockets.keep(opened, configuration, file: source.name, &objects)
        }
        let builder = SnapshotBuilder(
            configuration: configuration, compiled: compiled, certificates: loaded.certificates,
            metrics: metrics, workerCount: count)
        let names = Self.track(configuration, keeping: [:])
        let snapshot = builder.build(generation: 1, names: Self.table(names), &objects)
        var workers: [Worker] = []
        for index in 0..<count {
            workers.append(
                Worker(
                    index: index, snapshot: snapshot, limits: workerLimits, log: accessLog?.makeBuffer(),
                    eventLog: log, metrics: metrics.workers))
        }
        Worker.introduce(workers)
        self.workers = workers
        state = Locked(
            State(
                configuration: configuration, compiled: compiled, certificates: loaded.certificates,
                accessLog: accessLog, objects: objects, generation: 1, names: names, snapshot: snapshot))
        staples.adopt(loaded.certificates)
        metrics.control.reloaded(generation: 1)
    }

    private static func openAccessLog(
        _ configuration: Configuration, file: String, metrics: MetricsRegistry, log: Log
    ) throws(ConfigurationErrors) -> Telemetry.AccessLog? {
        guard let wanted = configuration.accessLog else { return nil }
        let output: LogOutput =
            switch wanted.destination {
            case .stdout: .stdout
            case .stderr: .stderr
            case .file(let path): .file(path: path)
            }
        do throws(LogOpenError) {
            return try Telemetry.AccessLog(
                output, format: wanted.format == .json ? .json : .text, metrics: metrics.accessLog,
                warnings: log)
        } catch {
            throw ConfigurationErrors([ConfigurationError(error.description, at: wanted.origin, file: file)])
        }
    }

    // MARK: life

    /// Starts the workers.
    public func start() {
        let running = workers.map { worker in
            RunningThread.start(name: "worker \(worker.index)") { worker.run() }
        }
        threads.withLock { $0 = running }
        _ = tick()
    }

    /// Whether every worker has taken up the first snapshot, and none is draining.
    public var isReady: Bool {
        !state.withLock { $0.isDraining }
            && workers.allSatisfy { $0.status.generation.load(ordering: .acquiring) > 0 }
    }

    public var isDraining: Bool { state.withLock { $0.isDraining } }

    /// Stops taking connections and lets what is under way end.
    public func drain() {
        let deadlineMs = state.withLock { state -> UInt64 in
            state.isDraining = true
            for listener in state.snapshot.listeners {
                for sockets in listener?.sockets ?? [] { sockets.beginEnd() }
            }
            state.drainDeadlineMs = Clock.monotonicNs() / 1_000_000 + UInt64(state.configuration.drainMs)
            return UInt64(state.configuration.drainMs)
        }
        log.info("draining", ["deadline": "\(deadlineMs)ms", "connections": "\(connectionCount)"])
        for worker in workers { worker.mailbox.send(.drain) }
        wake()
    }

    /// Connections of clients, over all workers.
    public var connectionCount: Int {
        workers.reduce(0) { $0 + $1.status.connections.load(ordering: .relaxed) }
    }

    /// Ends the workers now.
    public func stop() {
        for worker in workers { worker.mailbox.send(.stop) }
    }

    /// Waits for the workers' threads, gives back the names of sockets and closes the access log.
    public func join() {
        for thread in threads.withLock({ $0 }) { thread.join() }
        staples.stop()
        client.stop()
        metrics.helpers.stop()
        let accessLog = state.withLock { state in
            for sockets in state.objects.allSockets { sockets.beginEnd() }
            return state.accessLog
        }
        if let accessLog { _ = accessLog.close() }
    }

    public var allWorkersStopped: Bool {
        workers.allSatisfy { $0.status.isStopped.load(ordering: .acquiring) }
    }

    public func reopenLogs() { state.withLock { $0.accessLog }?.reopen() }

    // MARK: the admin API

    /// Calls back with what the admin API is to serve on, now and whenever it changes.
    public func followAdmin(_ follower: @escaping @Sendable (AdminPlan) -> Void) {
        adminFollower.withLock { $0 = follower }
        follower(state.withLock { Self.adminPlan($0) })
    }

    private static func adminPlan(_ state: State) -> AdminPlan {
        guard let admin = state.configuration.admin else { return AdminPlan() }
        return AdminPlan(
            sockets: admin.addresses.compactMap {
                state.objects.sockets(at: ListenerSockets.adminKey($0))
            }, hosts: Set(admin.hosts))
    }

    // MARK: ticks

    /// Does what is due now; returns when it wants to be called again, in monotonic milliseconds.
    public func tick() -> UInt64 {
        let nowMs = Clock.monotonicNs() / 1_000_000
        var due: [String] = []
        var (next, isOverdue) = state.withLock { state -> (UInt64, Bool) in
            var next = UInt64.max
            for (name, tracked) in state.names {
                if tracked.isAsking { continue }
                if tracked.tracker.nextRefreshMs <= nowMs {
                    state.names[name]?.isAsking = true
                    due.append(name)
                } else {
                    next = min(next, tracked.tracker.nextRefreshMs)
                }
            }
            return (min(next, state.drainDeadlineMs), state.isDraining && nowMs >= state.drainDeadlineMs)
        }
        for name in due { ask(name) }
        next = min(next, checkCertificates(nowMs: nowMs))
        if isOverdue {
            log.warning("drain deadline passed, closing", ["connections": "\(connectionCount)"])
            state.withLock { $0.drainDeadlineMs = .max }
            stop()
        }
        return next
    }

    // MARK: names

    /// The names a configuration needs, with what is already known about them.
    private static func track(_ configuration: Configuration, keeping old: [String: TrackedName]) -> [String:
        TrackedName]
    {
        var settings = NameTracker.Settings()
        settings.ttlMinMs = UInt64(configuration.resolver.ttlMinMs)
        settings.ttlMaxMs = UInt64(configuration.resolver.ttlMaxMs)
        var names: [String: TrackedName] = [:]
        for service in configuration.services {
            for endpoint in service.endpoints {
                guard case .name(let host, _) = endpoint.address.kind, names[host] == nil else { continue }
                names[host] = old[host] ?? TrackedName(tracker: NameTracker(settings: settings))
            }
        }
        return names
    }

    private static func table(_ names: [String: TrackedName]) -> NameTable {
        names.mapValues { $0.tracker.addresses }
    }

    private func ask(_ name: String) {
        resolver.resolve(name: name) { [weak self] result in self?.resolved(name, result) }
    }

    private func resolved(_ name: String, _ result: ResolveResult) {
        let nowMs = Clock.monotonicNs() / 1_000_000
        let jitter = Double.random(in: 0..<1)
        let changes: NameTracker.Changes? = state.withLock { state in
            guard var tracked = state.names[name] else { return nil }
            tracked.isAsking = false
            let changes: NameTracker.Changes
            switch result {
            case .addresses(let addresses, let ttlSeconds, let isComplete):
                changes = tracked.tracker.answered(
                    addresses, ttlSeconds: ttlSeconds, isComplete: isComplete, atMs: nowMs, jitter: jitter)
            case .failed(let kind, _):
                changes = tracked.tracker.failed(kind, atMs: nowMs, jitter: jitter)
            }
            state.names[name] = tracked
            if !changes.isEmpty { publish(&state) }
            return changes
        }
        if let changes, !changes.isEmpty {
            log.info(
                "name resolved",
                [
                    "name": name, "added": changes.added.map(\.description).joined(separator: ","),
                    "removed": changes.removed.map(\.description).joined(separator: ","),
                ])
        } else if case .failed(let kind, let text) = result {
            log.warning("name not resolved", ["name": name, "kind": kind.rawValue, "error": text])
        }
        wake()
    }

    // MARK: certificates

    /// Changes ticket keys that are due, and takes up certificate files that changed. When to call again.
    private func checkCertificates(nowMs: UInt64) -> UInt64 {
        let (old, configuration, isDue, nextMs) = state.withLock { state in
            (
                state.certificates, state.configuration, state.certificateWatch.begin(nowMs: nowMs),
                state.certificateWatch.nextMs
            )
        }
        if old.isEmpty { return .max }
        let rotationMs =
            old.tickets.rotate(nowSeconds: Int64(nowMs / 1_000)).map { UInt64($0) * 1_000 } ?? .max
        let wallSeconds = Int64(Clock.wallUs() / 1_000_000)
        guard isDue, old.needsReload(nowSeconds: wallSeconds) else { return min(nextMs, rotationMs) }
        let (new, problems) = CertificateSet.load(
            configuration, file: source.name, keeping: old, nowSeconds: wallSeconds)
        let errors = problems.filter { $0.severity == .error }
        let isNews = state.withLock { $0.certificateWatch.isNews(errors) }
        if !errors.isEmpty {
            guard isNews else { return min(nextMs, rotationMs) }
            for error in errors { log.error("\(error)") }
            log.error("certificates not taken up, the old ones stay in use", ["errors": "\(errors.count)"])
            return min(nextMs, rotationMs)
        }
        let isPublished = state.withLock { state in
            // A reload in the meantime has read the files itself.
            guard state.configuration == configuration else { return false }
            state.certificates = new
            staples.adopt(new)
            publish(&state)
            return true
        }
        if isPublished {
            log.info("certificates taken up", ["of": new.changes(from: old).joined(separator: ",")])
        }
        return min(nextMs, rotationMs)
    }

    // MARK: endpoints

    /// Puts the operator's word about endpoints into effect: at once, in every worker, without a snapshot.
    /// - Parameter name: an endpoint's as the status has it, or the configured name of all that came of it.
    /// - Returns: the endpoints it is about; none when there is no such service or endpoint.
    public func administer(service: String, endpoint name: String, _ order: EndpointOrder) -> [Proxy.Endpoint]
    {
        guard
            let plan = state.withLock({ $0.snapshot.services }).lazy.compactMap({ $0 }).first(where: {
                "\($0.name)" == service
            })
        else { return [] }
        let meant = plan.endpoints.filter { endpoint in
            let full = "\(endpoint.name)"
            return full == name || full.hasPrefix("\(name)/")
        }
        for endpoint in meant {
            if let standing = order.standing { endpoint.administer(standing) }
            switch order.weight {
            case nil: break
            case .configured?: endpoint.set(weight: endpoint.configuredWeight)
            case .value(let weight)?: endpoint.set(weight: weight)
            }
        }
        guard !meant.isEmpty else { return [] }
        if order.weight != nil {
            for worker in workers { worker.mailbox.send(.reweigh(serviceID: plan.id)) }
        }
        log.info("endpoint administered", ["service": service, "endpoint": name, "order": "\(order)"])
        return meant
    }

    // MARK: publishing

    /// Builds a snapshot of the current state and sends it to every worker.
    /// - Parameter isNew: the configuration is another; else only names' addresses or certificates are.
    private func publish(_ state: inout State, isNew: Bool = false) {
        state.generation += 1
        let builder = SnapshotBuilder(
            configuration: state.configuration, compiled: state.compiled, certificates: state.certificates,
            metrics: metrics, workerCount: workers.count, previous: isNew ? nil : state.snapshot)
        let snapshot = builder.build(
            generation: state.generation, names: Self.table(state.names), &state.objects)
        state.replaced.removeAll { $0.snapshot == nil }
        state.replaced.append(
            ReplacedSnapshot(generation: state.snapshot.generation, snapshot: state.snapshot))
        state.snapshot = snapshot
        for worker in workers { worker.mailbox.send(.publish(snapshot)) }
    }

    /// Reads the configuration again and puts it into effect, all of it or none. Any thread.
    public func reload() -> ReloadRecord {
        // One at a time: of two that overlap, the one that read the file last must win.
        let record = reloading.withLock { _ in
            let outcome = load()
            let atUs = Clock.wallUs()
            return state.withLock { state in
                if case .applied = outcome { state.loadedUs = atUs }
                let record = ReloadRecord(outcome: outcome, generation: state.generation, atUs: atUs)
                state.lastReload = record
                return record
            }
        }
        switch record.outcome {
        case .applied(let generation, let warnings):
            metrics.control.reloaded(generation: generation)
            for warning in warnings { log.warning("\(warning)") }
            // Whoever rotates logs by SIGHUP finds the new file in use.
            reopenLogs()
            log.info("reloaded", ["generation": "\(generation)"])
            wake()
        case .refused(let errors):
            metrics.control.reloadFailed()
            for error in errors { log.error("\(error)") }
            log.error("reload refused, the old configuration stays in effect", ["errors": "\(errors.count)"])
        }
        return record
    }

    private func load() -> ReloadOutcome {
        let loaded: LoadedConfiguration
        switch source.load(keeping: state.withLock { $0.certificates }) {
        case .failure(let failure): return .refused(failure.errors)
        case .success(let new): loaded = new
        }
        let configuration = loaded.configuration
        let (result, admin) = state.withLock { state -> (ReloadOutcome, AdminPlan?) in
            if state.isDraining {
                let error = ConfigurationError(
                    "Weir is stopping", at: .none, file: source.name,
                    expectation: "nothing is read anew any more")
                return (.refused([error]), nil)
            }
            if configuration.resolver != state.configuration.resolver {
                let error = ConfigurationError(
                    "resolver cannot change while Weir runs", at: .none, file: source.name,
                    expectation: "restart Weir, or put the old value back")
                return (.refused([error]), nil)
            }
            var warnings = loaded.warnings + atRestart(configuration)
            let opened: [(key: String, sockets: ListeningSockets)]
            let newLog: Telemetry.AccessLog?
            do throws(ConfigurationErrors) {
                opened = try ListenerSockets.open(
                    configuration, workers: workers.count, source, &state.objects
                ).get()
                newLog =
                    configuration.accessLog == state.configuration.accessLog
                    ? state.accessLog
                    : try Self.openAccessLog(configuration, file: source.name, metrics: metrics, log: log)
            } catch {
                return (.refused(error.errors), nil)
            }
            warnings += ListenerSockets.keep(opened, configuration, file: source.name, &state.objects)
            state.configuration = configuration
            state.compiled = loaded.compiled
            state.certificates = loaded.certificates
            staples.adopt(loaded.certificates)
            state.names = Self.track(configuration, keeping: state.names)
            if newLog !== state.accessLog {
                for worker in workers { worker.mailbox.send(.log(newLog)) }
                state.accessLog?.retire()
                state.accessLog = newLog
            }
            publish(&state, isNew: true)
            return (.applied(generation: state.generation, warnings: warnings), Self.adminPlan(state))
        }
        if let admin { adminFollower.withLock { $0 }?(admin) }
        if case .applied = result { _ = metrics.dropUnused() }
        return result
    }

    /// Warnings about what a running process does not follow.
    private func atRestart(_ new: Configuration) -> [ConfigurationError] {
        let wanted = new.workers ?? CPUCount.workers()
        if wanted == workers.count { return [] }
        var warning = ConfigurationError(
            "workers takes effect at the next start: \(workers.count) now, \(wanted) then",
            at: new.workersOrigin, file: source.name)
        warning.severity = .warning
        return [warning]
    }

    // MARK: views

    /// What is in effect now, for status views.
    public func current() -> (configuration: Configuration, snapshot: Snapshot, names: [String: NameTracker])
    {
        state.withLock { ($0.configuration, $0.snapshot, $0.names.mapValues(\.tracker)) }
    }

    /// When the configuration in effect was loaded (wall clock, microseconds since 1970), the last
    /// reload by whatever way, and the generations of replaced snapshots still in use, oldest first.
    public func history() -> (loadedUs: UInt64, lastReload: ReloadRecord?, held: [UInt64]) {
        let result = state.withLock { state in
            (state.loadedUs, state.lastReload, state.replaced.filter { $0.snapshot != nil }.map(\.generation))
        }
        metrics.control.oldSnapshots(held: result.2.count)
        return result
    }

    /// What a request would meet now.
    public func explain(_ question: ExplainQuestion) -> Explanation {
        let (configuration, compiled, snapshot, names) = state.withLock {
            ($0.configuration, $0.compiled, $0.snapshot, $0.names.mapValues(\.tracker))
        }
        return Explainer(configuration, compiled, file: source.name, live: (snapshot, names)).explain(
            question)
    }
}
