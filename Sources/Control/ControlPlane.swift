// The control plane: owns the workers, makes snapshots, reloads, drains.
//
// Everything that changes what the workers run on goes through here. What others find out (addresses, orders to
// reload) is accepted on any thread and only noted; one thread, the owner's loop (`tick`), makes snapshots of it
// (Publishing.swift). The lock around what is known is taken for moments only, never while something is read,
// compiled or opened, and never by a worker.

import WeirBalancing
import Configuration
import Glibc
import HTTPClient
import Proxy
import Reactor
import WeirResilience
import Synchronization
import Telemetry

public final class ControlPlane: Sendable {
    /// What changes over the life of the process.
    struct State {
        var configuration: Configuration
        var compiled: CompiledRoutes
        var certificates: CertificateSet
        var certificateWatch = CertificateWatch()
        var accessLog: Telemetry.AccessLog?
        /// nil: the control thread is at work with them.
        var objects: LongLivedObjects?
        var names: [String: TrackedName] = [:]
        /// Changes that no snapshot has yet.
        var window = PublishWindow()
        /// Those who wait for the configuration to be read again.
        var reloadsWanted: [@Sendable (ReloadRecord) -> Void] = []
        var isDraining = false
        var drainDeadlineMs: UInt64 = .max
        var snapshot: Snapshot
        /// Replaced snapshots somebody may still use.
        var replaced: [ReplacedSnapshot] = []
        /// When the configuration took effect, wall clock.
        var loadedUs = Clock.wallUs()
        var lastReload: ReloadRecord?
        /// Where the admin API is served.
        var admin = AdminPlan()
    }
    struct ReplacedSnapshot: Sendable {
        let generation: UInt64
        weak var snapshot: Snapshot?
    }
    struct TrackedName: Sendable {
        var tracker: NameTracker
        var isAsking = false
    }

    /// What comes from outside. Tests bring their own.
    struct Surroundings: Sendable {
        /// Monotonic nanoseconds.
        var nowNs: @Sendable () -> UInt64 = { Clock.monotonicNs() }
        /// 0…1.
        var random: @Sendable () -> Double = { Double.random(in: 0..<1) }
        /// Whom to ask for addresses instead of the resolver.
        var ask: (@Sendable (String, @escaping @Sendable (ResolveResult) -> Void) -> Void)?
        /// Hears of every snapshot that is made, before it takes effect.
        var made: @Sendable () -> Void = {}
    }

    public let workers: [Worker]
    public let metrics: MetricsRegistry
    public let log: Log
    /// Bounds of each worker.
    public let workerLimits = WorkerLimits()
    public let startedMs: UInt64
    let source: any ConfigurationSource
    let surroundings: Surroundings
    private let resolver: Resolver
    /// Asks what is not on the data path.
    private let client: HTTPClient
    let staples: StapleKeeper
    private let threads = Locked<[RunningThread]>([])
    let state: Locked<State>
    let wake: @Sendable () -> Void
    let adminFollower = Locked<(@Sendable (AdminPlan) -> Void)?>(nil)

    /// Builds everything for a configuration without starting it.
    /// - Parameters:
    ///   - loaded: what `source` gave.
    ///   - wake: called (from any thread) when `tick` should be called soon.
    /// - Throws: `ConfigurationErrors`: addresses or a log file that cannot be had.
    public convenience init(
        _ loaded: LoadedConfiguration, source: any ConfigurationSource, build: BuildInfo, log: Log,
        wake: @escaping @Sendable () -> Void
    ) throws(ConfigurationErrors) {
        try self.init(
            loaded, source: source, build: build, log: log, surroundings: Surroundings(), wake: wake)
    }

    init(
        _ loaded: LoadedConfiguration, source: any ConfigurationSource, build: BuildInfo, log: Log,
        surroundings: Surroundings, wake: @escaping @Sendable () -> Void
    ) throws(ConfigurationErrors) {
        let configuration = loaded.configuration
        let compiled = loaded.compiled
        self.source = source
        self.log = log
        self.wake = wake
        self.surroundings = surroundings
        startedMs = surroundings.nowNs() / 1_000_000
        let count = configuration.workers ?? CPUCount.workers()
        metrics = MetricsRegistry(workers: count, build: build)
        let accessLog = try Self.openAccessLog(
            configuration, compiled, file: source.name, metrics: metrics, log: log)

        var resolverSettings = Resolver.Settings()
        resolverSettings.servers = configuration.resolver.servers.map(\.text.value)
        resolverSettings.timeoutMs = Int(configuration.resolver.timeoutMs)
        resolver = Resolver(settings: resolverSettings)
        let ofClient = resolver
        client = HTTPClient(metrics: metrics.client) { ofClient.resolve(host: $0, $1) }
        staples = StapleKeeper(
            client: client, log: log, metrics: metrics.certificates, random: surroundings.random)

        var objects = LongLivedObjects()
        switch ListenerSockets.open(configuration, workers: count, source, &objects) {
        case .failure(let failure): throw failure
        case .success(let opened):
            _ = ListenerSockets.keep(opened, configuration, file: source.name, &objects)
        }
        let names = Self.track(Self.hosts(configuration), NameTracker.Settings(configuration), keeping: [:])
        let material = Material(
            configuration: configuration, compiled: compiled, certificates: loaded.certificates,
            names: names, generation: 1)
        let made = Self.make(material, &objects, metrics, workers: count, surroundings)
        let snapshot = made.snapshot
        var workers: [Worker] = []
        for index in 0..<count {
            workers.append(
                Worker(
                    index: index, snapshot: snapshot, limits: workerLimits, log: accessLog?.makeBuffer(),
                    eventLog: log, metrics: metrics.workers))
        }
        Worker.introduce(workers)
        self.workers = workers
        var state = State(
            configuration: configuration, compiled: compiled, certificates: loaded.certificates,
            accessLog: accessLog, names: names, snapshot: snapshot)
        state.admin = Self.adminPlan(configuration, objects)
        state.objects = objects
        self.state = Locked(state)
        staples.adopt(loaded.certificates)
        metrics.control.reloaded()
        tell(of: made, .start)
    }

    static func openAccessLog(
        _ configuration: Configuration, _ compiled: CompiledRoutes, file: String, metrics: MetricsRegistry,
        log: Log
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
                output, format: wanted.format == .json ? .json : .text,
                condition: compiled.accessLogCondition, metrics: metrics.accessLog, warnings: log)
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

    /// Stops taking connections and lets what is under way end. The control thread only.
    public func drain() {
        let (snapshot, drainMs) = state.withLock { state in
            state.isDraining = true
            let drainMs = UInt64(state.configuration.drainMs)
            state.drainDeadlineMs = nowMs + drainMs
            return (state.snapshot, drainMs)
        }
        for listener in snapshot.listeners {
            for sockets in listener?.sockets ?? [] { sockets.beginEnd() }
        }
        log.info("draining", ["deadline": "\(drainMs)ms", "connections": "\(connectionCount)"])
        for worker in workers { worker.mailbox.send(.drain) }
        wake()
    }

    /// Monotonic milliseconds.
    var nowMs: UInt64 { surroundings.nowNs() / 1_000_000 }

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
        let (sockets, accessLog) = state.withLock { ($0.objects?.allSockets ?? [], $0.accessLog) }
        for sockets in sockets { sockets.beginEnd() }
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
        follower(state.withLock { $0.admin })
    }

    static func adminPlan(_ configuration: Configuration, _ objects: LongLivedObjects) -> AdminPlan {
        guard let admin = configuration.admin else { return AdminPlan() }
        return AdminPlan(
            sockets: admin.addresses.compactMap { objects.sockets(at: ListenerSockets.adminKey($0)) },
            hosts: Set(admin.hosts))
    }

    // MARK: ticks

    /// Does what is due now; returns when it wants to be called again, in monotonic milliseconds. Always the
    /// same thread: the control thread.
    public func tick() -> UInt64 {
        reloadIfWanted()
        let nowMs = nowMs
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
        next = min(next, checkCertificates(nowMs: nowMs), publishIfDue(nowMs: nowMs))
        if isOverdue {
            log.warning("drain deadline passed, closing", ["connections": "\(connectionCount)"])
            state.withLock { $0.drainDeadlineMs = .max }
            stop()
        }
        return next
    }

    private func ask(_ name: String) {
        let answer: @Sendable (ResolveResult) -> Void = { [weak self] in self?.resolved(name, $0) }
        if let ask = surroundings.ask {
            ask(name, answer)
        } else {
            resolver.resolve(name: name, completion: answer)
        }
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
