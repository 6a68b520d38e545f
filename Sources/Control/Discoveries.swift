// What the control plane finds out by itself: addresses of names, and certificates that were replaced on the disk.
//
// It is accepted here, and becomes a snapshot with whatever else has gathered (PublishWindow.swift).

import Configuration
import Reactor
import Telemetry

extension ControlPlane {
    // MARK: names

    /// The names a configuration needs.
    static func hosts(_ configuration: Configuration) -> Set<String> {
        var hosts: Set<String> = []
        for service in configuration.services {
            for endpoint in service.endpoints {
                if case .name(let host, _) = endpoint.address.kind { hosts.insert(host) }
            }
        }
        return hosts
    }

    /// These names, with what is already known about them.
    static func track(
        _ hosts: Set<String>, _ settings: NameTracker.Settings, keeping old: [String: TrackedName]
    ) -> [String: TrackedName] {
        var names: [String: TrackedName] = [:]
        for host in hosts { names[host] = old[host] ?? TrackedName(tracker: NameTracker(settings: settings)) }
        return names
    }

    /// The resolver's answer. Any thread.
    func resolved(_ name: String, _ result: ResolveResult) {
        let nowMs = nowMs
        let jitter = surroundings.random()
        state.withLock { state in
            guard var tracked = state.names[name] else { return }
            let hadNone = tracked.tracker.entries.isEmpty
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
            if changes.isEmpty { return }
            state.window.changed(
                nowMs: nowMs, isUrgent: hadNone,
                PublishWindow.Note(
                    "name resolved",
                    [
                        "name": name, "added": changes.added.map(\.description).joined(separator: ","),
                        "removed": changes.removed.map(\.description).joined(separator: ","),
                    ]))
        }
        if case .failed(let kind, let text) = result {
            log.warning("name not resolved", ["name": name, "kind": kind.rawValue, "error": text])
        }
        wake()
    }

    // MARK: certificates

    /// Changes ticket keys that are due, and takes up certificate files that changed. When to call again.
    func checkCertificates(nowMs: UInt64) -> UInt64 {
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
        let changed = new.changes(from: old).joined(separator: ",")
        state.withLock { state in
            state.certificates = new
            state.window.changed(
                nowMs: nowMs, PublishWindow.Note("certificates taken up", ["of": changed]))
        }
        return min(nextMs, rotationMs)
    }
}

extension NameTracker.Settings {
    init(_ configuration: Configuration) {
        self.init()
        ttlMinMs = UInt64(configuration.resolver.ttlMinMs)
        ttlMaxMs = UInt64(configuration.resolver.ttlMaxMs)
    }
}
