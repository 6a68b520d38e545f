// What the control plane says about itself: reloads, and the snapshots it has made.

import Reactor
import Synchronization

/// Why a snapshot was made.
public enum PublishCause: String, Sendable, CaseIterable {
    case start
    case reload
    /// Addresses of names or certificates are others, one or many.
    case change
}

/// How many plans of each kind a snapshot is made of.
public struct PlanCounts: Sendable, Equatable {
    public struct Count: Sendable, Equatable {
        /// Made for this snapshot.
        public var built: UInt64 = 0
        /// Taken over from the snapshot before.
        public var reused: UInt64 = 0

        public init(built: UInt64 = 0, reused: UInt64 = 0) {
            self.built = built
            self.reused = reused
        }

        static func += (sum: inout Count, other: Count) {
            sum.built += other.built
            sum.reused += other.reused
        }
    }

    public var listeners = Count()
    public var routes = Count()
    public var services = Count()

    public init() {}

    /// Each kind by its name in metrics and in the status.
    public var byKind: [(kind: String, count: Count)] {
        [("listener", listeners), ("route", routes), ("service", services)]
    }

    static func += (sum: inout PlanCounts, other: PlanCounts) {
        sum.listeners += other.listeners
        sum.routes += other.routes
        sum.services += other.services
    }
}

/// What the control plane says about itself.
public final class ControlMetrics: Sendable {
    private struct Snapshots {
        var publishes = [UInt64](repeating: 0, count: PublishCause.allCases.count)
        var generation: UInt64 = 0
        var publishedMs: UInt64 = 0
        var lastBuildUs: UInt64 = 0
        var builds = HistogramValues(
            buckets: [UInt64](repeating: 0, count: LatencyBuckets.count), sumUs: 0)
        var plans = PlanCounts()
        var lastPlans = PlanCounts()
    }
    private let reloads = Atomic<UInt64>(0)
    private let reloadFailures = Atomic<UInt64>(0)
    private let held = Atomic<UInt64>(0)
    private let snapshots = Locked(Snapshots())

    public init() {}

    public func reloaded() { reloads.wrappingAdd(1, ordering: .relaxed) }

    public func reloadFailed() { reloadFailures.wrappingAdd(1, ordering: .relaxed) }

    /// How many replaced snapshots are still in use.
    public func oldSnapshots(held count: Int) { held.store(UInt64(clamping: count), ordering: .relaxed) }

    /// A snapshot was sent to the workers.
    /// - Parameters:
    ///   - buildUs: how long it took to make.
    ///   - atMs: monotonic milliseconds.
    public func published(
        generation: UInt64, _ cause: PublishCause, buildUs: UInt64, plans: PlanCounts, atMs: UInt64
    ) {
        snapshots.withLock {
            $0.publishes[PublishCause.allCases.firstIndex(of: cause) ?? 0] += 1
            $0.generation = generation
            $0.publishedMs = atMs
            $0.lastBuildUs = buildUs
            $0.builds.buckets[LatencyBuckets.index(us: buildUs)] += 1
            $0.builds.sumUs += buildUs
            $0.plans += plans
            $0.lastPlans = plans
        }
    }

    /// - Parameter nowMs: monotonic milliseconds.
    public func values(nowMs: UInt64) -> ControlValues {
        snapshots.withLock {
            ControlValues(
                reloads: reloads.load(ordering: .relaxed),
                reloadFailures: reloadFailures.load(ordering: .relaxed),
                generation: $0.generation, oldSnapshots: held.load(ordering: .relaxed),
                publishes: $0.publishes, ageMs: nowMs - min(nowMs, $0.publishedMs),
                lastBuildUs: $0.lastBuildUs, builds: $0.builds, plans: $0.plans, lastPlans: $0.lastPlans)
        }
    }
}

/// What ControlMetrics held at one moment.
public struct ControlValues: Sendable, Equatable {
    public var reloads: UInt64
    public var reloadFailures: UInt64
    /// Of the newest snapshot.
    public var generation: UInt64
    public var oldSnapshots: UInt64
    /// Snapshots sent to the workers, in the order of `PublishCause.allCases`.
    public var publishes: [UInt64]
    /// Since the newest snapshot was sent to the workers.
    public var ageMs: UInt64
    /// How long the newest snapshot took to make.
    public var lastBuildUs: UInt64
    public var builds: HistogramValues
    /// Of all snapshots together, and of the newest one.
    public var plans: PlanCounts
    public var lastPlans: PlanCounts
}
