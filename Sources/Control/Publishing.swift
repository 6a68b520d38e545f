// From what was accepted to what serves: how the control plane makes a snapshot and puts it into effect.
//
// One thread does it, so no two snapshots are made at once. It takes what it needs out of the state, makes the
// snapshot without any lock, and puts it in place: whoever asks for the status meanwhile is told of the one that
// serves. What is accepted meanwhile is of the next snapshot.

import Configuration
import Proxy
import Reactor
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

extension ControlPlane {
    /// What a snapshot is made of, as it was at one moment.
    struct Material {
        var configuration: Configuration
        var compiled: CompiledRoutes
        var certificates: CertificateSet
        var names: [String: TrackedName]
        var generation: UInt64
        /// The snapshot before, and what it was made of.
        var previous: SnapshotBuilder.Previous?
    }
    /// A snapshot, and what it took to make it.
    struct Made {
        var snapshot: Snapshot
        var plans: PlanCounts
        var buildUs: UInt64
    }

    static func make(
        _ material: Material, _ objects: inout LongLivedObjects, _ metrics: MetricsRegistry, workers: Int,
        _ surroundings: Surroundings
    ) -> Made {
        let beganNs = surroundings.nowNs()
        var builder = SnapshotBuilder(
            configuration: material.configuration, compiled: material.compiled,
            certificates: material.certificates, metrics: metrics, workerCount: workers,
            previous: material.previous)
        let snapshot = builder.build(
            generation: material.generation, names: material.names.mapValues { $0.tracker.addresses },
            &objects)
        surroundings.made()
        return Made(
            snapshot: snapshot, plans: builder.plans, buildUs: (surroundings.nowNs() - beganNs) / 1_000)
    }

    /// Puts a snapshot into effect.
    /// - Parameter change: what else becomes of the state at the same moment.
    private func install(
        _ made: Made, _ objects: LongLivedObjects, _ cause: PublishCause, notes: [PublishWindow.Note],
        _ change: (inout State) -> Void = { _ in }
    ) {
        let new = made.snapshot
        let old = state.withLock { state in
            let old = (state.configuration, state.compiled, state.snapshot)
            change(&state)
            state.objects = objects
            state.replaced.removeAll { $0.snapshot == nil }
            state.replaced.append(
                ReplacedSnapshot(generation: state.snapshot.generation, snapshot: state.snapshot))
            state.snapshot = new
            return old
        }
        // Ten thousand routes are not let go of under the lock.
        withExtendedLifetime(old) {
            for worker in workers { worker.mailbox.send(.publish(new)) }
        }
        tell(of: made, cause)
        for note in notes { log.info(note.message, note.pairs) }
    }

    /// For the metrics.
    func tell(of made: Made, _ cause: PublishCause) {
        metrics.control.published(
            generation: made.snapshot.generation, cause, buildUs: made.buildUs, plans: made.plans, atMs: nowMs
        )
    }

    /// The objects that live on, for the control thread to change.
    private static func takeObjects(_ state: inout State) -> LongLivedObjects {
        guard let objects = state.objects.take() else {
            preconditionFailure("snapshots are made by one thread")
        }
        return objects
    }

    // MARK: what gathers

    /// Publishes what has gathered if its time has come. When to call again.
    func publishIfDue(nowMs: UInt64) -> UInt64 {
        let taken = state.withLock { state -> (Material, LongLivedObjects, [PublishWindow.Note])? in
            guard state.window.isDue(nowMs: nowMs) else { return nil }
            let material = Material(
                configuration: state.configuration, compiled: state.compiled,
                certificates: state.certificates, names: state.names,
                generation: state.snapshot.generation + 1, previous: .init(snapshot: state.snapshot))
            return (material, Self.takeObjects(&state), state.window.close(nowMs: nowMs, isOwn: true))
        }
        guard let (material, taken, notes) = taken else { return state.withLock { $0.window.dueMs } }
        var objects = taken
        let made = Self.make(material, &objects, metrics, workers: workers.count, surroundings)
        // Known already is stapled from the first handshake on.
        staples.adopt(material.certificates)
        install(made, objects, .change, notes: notes)
        return state.withLock { $0.window.dueMs }
    }

    // MARK: reloads

    /// Has the configuration read again by the control thread, which answers what came of it. Any thread.
    public func requestReload(_ answer: @escaping @Sendable (ReloadRecord) -> Void) {
        state.withLock { $0.reloadsWanted.append(answer) }
        wake()
    }

    /// Whoever has asked before the file is read is answered by this one reading.
    func reloadIfWanted() {
        let waiting = state.withLock { state in
            defer { state.reloadsWanted = [] }
            return state.reloadsWanted
        }
        if waiting.isEmpty { return }
        let record = reload()
        for answer in waiting { answer(record) }
    }

    /// Reads the configuration again and puts it into effect, all of it or none. The control thread only.
    @discardableResult
    public func reload() -> ReloadRecord {
        let outcome = load()
        let atUs = Clock.wallUs()
        let record = state.withLock { state in
            if case .applied = outcome { state.loadedUs = atUs }
            let record = ReloadRecord(outcome: outcome, generation: state.snapshot.generation, atUs: atUs)
            state.lastReload = record
            return record
        }
        switch outcome {
        case .applied(let generation, let warnings):
            metrics.control.reloaded()
            for warning in warnings { log.warning("\(warning)") }
            // Whoever rotates logs by SIGHUP finds the new file in use.
            reopenLogs()
            log.info("reloaded", ["generation": "\(generation)"])
        case .refused(let errors):
            metrics.control.reloadFailed()
            for error in errors { log.error("\(error)") }
            log.error("reload refused, the old configuration stays in effect", ["errors": "\(errors.count)"])
        }
        return record
    }

    private func refusal(_ message: String, expectation: String) -> ReloadOutcome {
        .refused([ConfigurationError(message, at: .none, file: source.name, expectation: expectation)])
    }

    private func load() -> ReloadOutcome {
        let (old, snapshot, oldLog, isDraining) = state.withLock {
            (
                LoadedConfiguration(
                    configuration: $0.configuration, compiled: $0.compiled, certificates: $0.certificates,
                    warnings: []), $0.snapshot, $0.accessLog, $0.isDraining
            )
        }
        let loaded: LoadedConfiguration
        switch source.load(keeping: old) {
        case .failure(let failure): return .refused(failure.errors)
        case .success(let new): loaded = new
        }
        let configuration = loaded.configuration
        if isDraining {
            return refusal("Weir is stopping", expectation: "nothing is read anew any more")
        }
        if configuration.resolver != old.configuration.resolver {
            return refusal(
                "resolver cannot change while Weir runs",
                expectation: "restart Weir, or put the old value back")
        }
        var objects = state.withLock { Self.takeObjects(&$0) }
        let opened: [(key: String, sockets: ListeningSockets)]
        let newLog: Telemetry.AccessLog?
        do throws(ConfigurationErrors) {
            opened = try ListenerSockets.open(configuration, workers: workers.count, source, &objects).get()
            newLog =
                configuration.accessLog == old.configuration.accessLog
                ? oldLog
                : try Self.openAccessLog(
                    configuration, loaded.compiled, file: source.name, metrics: metrics, log: log)
        } catch {
            state.withLock { $0.objects = objects }
            return .refused(error.errors)
        }
        var warnings = loaded.warnings + atRestart(configuration)
        warnings += ListenerSockets.keep(opened, configuration, file: source.name, &objects)

        let hosts = Self.hosts(configuration)
        let tracking = NameTracker.Settings(configuration)
        // What has gathered is in it as well.
        let (names, notes) = state.withLock { state in
            (
                Self.track(hosts, tracking, keeping: state.names),
                state.window.close(nowMs: nowMs, isOwn: false)
            )
        }
        let material = Material(
            configuration: configuration, compiled: loaded.compiled, certificates: loaded.certificates,
            names: names, generation: snapshot.generation + 1,
            previous: .init(snapshot: snapshot, known: (old.configuration, old.compiled)))
        let made = Self.make(material, &objects, metrics, workers: workers.count, surroundings)
        staples.adopt(loaded.certificates)
        if newLog !== oldLog {
            for worker in workers { worker.mailbox.send(.log(newLog)) }
            oldLog?.retire()
        }
        let admin = Self.adminPlan(configuration, objects)
        install(made, objects, .reload, notes: notes) { state in
            state.configuration = configuration
            state.compiled = loaded.compiled
            state.certificates = loaded.certificates
            // Answers that have come meanwhile stay.
            state.names = Self.track(hosts, tracking, keeping: state.names)
            state.accessLog = newLog
            state.admin = admin
        }
        adminFollower.withLock { $0 }?(admin)
        _ = metrics.dropUnused()
        return .applied(generation: made.snapshot.generation, warnings: warnings)
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
}
