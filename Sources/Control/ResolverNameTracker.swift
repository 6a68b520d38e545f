// What is believed about one name in a configuration, from the answers and failures of DNS.
//
// Pure: answers, failures, time and randomness come in, changes and the time of the next question go
// out. The rules, each a scar of other proxies:
// - start-up never depends on DNS: a name begins as unresolved;
// - a failure (timeout, SERVFAIL, NXDOMAIN, an empty answer) never removes an address: the last good
//   set stays, without limit, and is shown as stale since when;
// - only positive, complete answers without an address remove it, and not the first such answer:
//   round-robin servers answer with subsets;
// - a set that was not empty never becomes empty.
// What an endpoint's health is belongs to its address and is kept elsewhere.

import Reactor

/// The addresses of one name over time.
public struct NameTracker: Sendable {
    /// Bounds of one tracker. Times in milliseconds.
    public struct Settings: Sendable, Equatable {
        /// TTLs below are raised to this, so that a TTL of 0 does not become a flood of questions.
        public var ttlMinMs: UInt64 = 1_000
        /// TTLs above are lowered to this.
        public var ttlMaxMs: UInt64 = 300_000
        /// An address absent from answers for this long is removed by the next answer without it.
        public var graceMs: UInt64 = 30_000
        /// An address absent from this many consecutive answers is removed.
        public var absentAnswersMax = 2
        /// Wait after the first failure; doubles with each further one.
        public var backoffMinMs: UInt64 = 500
        public var backoffMaxMs: UInt64 = 30_000
        /// Addresses kept per name; more are ignored and counted (`ignoredCount`).
        public var addressesMax = 256

        public init() {}
    }

    /// What the tracker knows now.
    public enum State: Sendable, Equatable {
        /// Never answered.
        case unresolved
        /// The last question was answered.
        case resolved
        /// Answered once, failing since `sinceMs` (time of the first failure).
        case stale(sinceMs: UInt64)
    }

    /// What an event changed in the set of addresses. Both in ascending order.
    public struct Changes: Sendable, Equatable {
        public var added: [IPAddress] = []
        public var removed: [IPAddress] = []
        public var isEmpty: Bool { added.isEmpty && removed.isEmpty }

        public init(added: [IPAddress] = [], removed: [IPAddress] = []) {
            self.added = added
            self.removed = removed
        }
    }

    /// One address of the set.
    public struct Entry: Sendable, Equatable {
        public let address: IPAddress
        /// When it came into the set (for slow start and for show).
        public let firstSeenMs: UInt64
        /// Consecutive complete answers without it; 0 when the last one had it.
        public fileprivate(set) var absentAnswers = 0
        /// When the first of those came.
        public fileprivate(set) var absentSinceMs: UInt64?
    }

    public let settings: Settings
    /// The current set in ascending order of address.
    public private(set) var entries: [Entry] = []
    public private(set) var state = State.unresolved
    /// When to ask next. 0 at first: at once.
    public private(set) var nextRefreshMs: UInt64 = 0
    /// Consecutive failures.
    public private(set) var failures = 0
    /// Why the last question failed; nil after an answer.
    public private(set) var lastFailure: ResolveFailureKind?
    public private(set) var lastAnswerMs: UInt64?
    /// Addresses of the last answer beyond `Settings.addressesMax`.
    public private(set) var ignoredCount = 0

    public init(settings: Settings = Settings()) {
        self.settings = settings
    }

    public var addresses: [IPAddress] { entries.map(\.address) }

    /// An answer came.
    ///
    /// - Parameters:
    ///   - addresses: the answer's; an empty one counts as `failed(.notFound, …)`.
    ///   - ttlSeconds: the smallest TTL of the answer.
    ///   - isComplete: false when one address family could not be asked: then nothing is removed.
    ///   - nowMs: monotonic time.
    ///   - jitter: a random number in 0..<1.
    public mutating func answered(
        _ addresses: [IPAddress], ttlSeconds: Int, isComplete: Bool = true, atMs nowMs: UInt64,
        jitter: Double
    ) -> Changes {
        guard !addresses.isEmpty else { return failed(.notFound, atMs: nowMs, jitter: jitter) }
        failures = 0
        lastFailure = nil
        lastAnswerMs = nowMs
        state = .resolved

        let answer = Set(addresses)
        var changes = Changes()
        var kept: [Entry] = []
        var isAnyAbsent = false
        for var entry in entries {
            if answer.contains(entry.address) {
                entry.absentAnswers = 0
                entry.absentSinceMs = nil
            } else if isComplete {
                let sinceMs = entry.absentSinceMs ?? nowMs
                entry.absentSinceMs = sinceMs
                entry.absentAnswers += 1
                if entry.absentAnswers >= settings.absentAnswersMax || nowMs &- sinceMs >= settings.graceMs {
                    changes.removed.append(entry.address)
                    continue
                }
                isAnyAbsent = true
            } else {
                isAnyAbsent = isAnyAbsent || entry.absentAnswers > 0
            }
            kept.append(entry)
        }

        // Present addresses only come in through an answer, so the set cannot end up empty: either
        // one of this answer's is already kept, or there is room for a new one.
        let known = Set(kept.map(\.address))
        let new = answer.subtracting(known).sorted(by: Self.precedes)
        let room = max(settings.addressesMax - kept.count, kept.isEmpty ? 1 : 0)
        for address in new.prefix(room) {
            kept.append(Entry(address: address, firstSeenMs: nowMs))
            changes.added.append(address)
        }
        ignoredCount = max(0, new.count - room)
        entries = kept.sorted { Self.precedes($0.address, $1.address) }

        let ttlMs = UInt64(clamping: max(ttlSeconds, 0)).multipliedReportingOverflow(by: 1000)
        var waitMs = max(
            settings.ttlMinMs, min(settings.ttlMaxMs, ttlMs.overflow ? .max : ttlMs.partialValue))
        // An absence is confirmed or denied soon, whatever the TTL.
        if isAnyAbsent { waitMs = min(waitMs, settings.graceMs) }
        // Up to a tenth earlier, so that names resolved together are not always asked together.
        nextRefreshMs = nowMs + waitMs - Self.part(jitter, of: waitMs / 10)
        return changes
    }

    /// A question failed: the set stays as it is.
    public mutating func failed(
        _ kind: ResolveFailureKind, atMs nowMs: UInt64, jitter: Double
    ) -> Changes {
        lastFailure = kind
        failures += 1
        if case .resolved = state { state = .stale(sinceMs: nowMs) }
        // Half fixed, half random: clients of a recovering server must not come in step.
        let doublings = UInt64(min(failures - 1, 20))
        let waitMs = max(1, min(settings.backoffMaxMs, settings.backoffMinMs << doublings))
        nextRefreshMs = nowMs + waitMs / 2 + Self.part(jitter, of: waitMs - waitMs / 2)
        return Changes()
    }

    private static func part(_ fraction: Double, of whole: UInt64) -> UInt64 {
        UInt64(Double(whole) * min(max(fraction, 0), 1))
    }

    private static func precedes(_ a: IPAddress, _ b: IPAddress) -> Bool {
        (a.high, a.low) < (b.high, b.low)
    }
}
