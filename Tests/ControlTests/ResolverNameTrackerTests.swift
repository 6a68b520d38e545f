// What a name keeps and gives up, with time and randomness as numbers.

import Reactor
import Testing

@testable import Control

private func ip(_ last: UInt32) -> IPAddress { IPAddress(v4: 0x0a00_0000 + last) }

private typealias Changes = NameTracker.Changes

@Suite struct NameTrackerTests {
    @Test func beginsUnresolvedAndAsksAtOnce() {
        let tracker = NameTracker()
        #expect(tracker.state == .unresolved)
        #expect(tracker.nextRefreshMs == 0)
        #expect(tracker.addresses.isEmpty)
    }

    @Test func firstAnswer() {
        var tracker = NameTracker()
        let changes = tracker.answered([ip(2), ip(1), ip(2)], ttlSeconds: 60, atMs: 1000, jitter: 0)
        #expect(changes == Changes(added: [ip(1), ip(2)]))
        #expect(tracker.addresses == [ip(1), ip(2)])
        #expect(tracker.state == .resolved)
        #expect(tracker.nextRefreshMs == 61_000)
        #expect(tracker.entries.allSatisfy { $0.firstSeenMs == 1000 })
    }

    /// Pains 17: an outage of any length, of any kind, removes nothing.
    @Test(arguments: ResolveFailureKind.allCases)
    func failureRemovesNothing(_ kind: ResolveFailureKind) {
        var tracker = NameTracker()
        _ = tracker.answered([ip(1), ip(2)], ttlSeconds: 5, atMs: 0, jitter: 0)
        var now: UInt64 = 5000
        for _ in 0..<5000 {
            #expect(tracker.failed(kind, atMs: now, jitter: 0.5).isEmpty)
            #expect(tracker.nextRefreshMs > now)
            now = tracker.nextRefreshMs
        }
        #expect(tracker.addresses == [ip(1), ip(2)])
        #expect(tracker.state == .stale(sinceMs: 5000))
        #expect(tracker.lastFailure == kind)
        // Back: nothing changed, so nothing flaps, and first-seen stands.
        #expect(tracker.answered([ip(1), ip(2)], ttlSeconds: 5, atMs: now, jitter: 0).isEmpty)
        #expect(tracker.state == .resolved && tracker.failures == 0 && tracker.lastFailure == nil)
        #expect(tracker.entries.allSatisfy { $0.firstSeenMs == 0 })
    }

    /// Pains 2: never answered is its own state, also after failures.
    @Test func failingFromTheStart() {
        var tracker = NameTracker()
        _ = tracker.failed(.timeout, atMs: 10, jitter: 0)
        #expect(tracker.state == .unresolved)
        #expect(tracker.answered([ip(1)], ttlSeconds: 1, atMs: 20, jitter: 0).added == [ip(1)])
    }

    @Test func emptyAnswerIsAFailure() {
        var tracker = NameTracker()
        _ = tracker.answered([ip(1)], ttlSeconds: 5, atMs: 0, jitter: 0)
        #expect(tracker.answered([], ttlSeconds: 5, atMs: 100, jitter: 0).isEmpty)
        #expect(tracker.state == .stale(sinceMs: 100))
        #expect(tracker.addresses == [ip(1)])
    }

    @Test func removedAfterTwoAnswersWithoutIt() {
        var tracker = NameTracker()
        _ = tracker.answered([ip(1), ip(2)], ttlSeconds: 5, atMs: 0, jitter: 0)
        #expect(tracker.answered([ip(1)], ttlSeconds: 5, atMs: 5000, jitter: 0).isEmpty)
        #expect(tracker.addresses == [ip(1), ip(2)])
        #expect(
            tracker.answered([ip(1)], ttlSeconds: 5, atMs: 10_000, jitter: 0) == Changes(removed: [ip(2)]))
        #expect(tracker.addresses == [ip(1)])
    }

    @Test func returningAddressStartsOver() {
        var tracker = NameTracker()
        _ = tracker.answered([ip(1), ip(2)], ttlSeconds: 5, atMs: 0, jitter: 0)
        for round in 1...10 {
            let answer = round % 2 == 1 ? [ip(1)] : [ip(1), ip(2)]
            #expect(
                tracker.answered(answer, ttlSeconds: 5, atMs: UInt64(round) * 1000, jitter: 0).isEmpty)
        }
    }

    @Test func removedByTheFirstAnswerAfterTheGrace() {
        var settings = NameTracker.Settings()
        settings.absentAnswersMax = 100
        settings.graceMs = 10_000
        var tracker = NameTracker(settings: settings)
        _ = tracker.answered([ip(1), ip(2)], ttlSeconds: 5, atMs: 0, jitter: 0)
        #expect(tracker.answered([ip(1)], ttlSeconds: 300, atMs: 1000, jitter: 0).isEmpty)
        // The absence is looked at again within the grace, not after the TTL of 300 s.
        #expect(tracker.nextRefreshMs == 11_000)
        #expect(tracker.answered([ip(1)], ttlSeconds: 300, atMs: 10_999, jitter: 0).isEmpty)
        #expect(tracker.answered([ip(1)], ttlSeconds: 300, atMs: 11_000, jitter: 0).removed == [ip(2)])
        #expect(tracker.nextRefreshMs == 311_000)
    }

    /// Failures between two answers neither count as absence nor reset it.
    @Test func failuresBetweenAnswers() {
        var tracker = NameTracker()
        _ = tracker.answered([ip(1), ip(2)], ttlSeconds: 5, atMs: 0, jitter: 0)
        _ = tracker.answered([ip(1)], ttlSeconds: 5, atMs: 1000, jitter: 0)
        for i in 0..<100 {
            #expect(tracker.failed(.timeout, atMs: 60_000 + UInt64(i), jitter: 0).isEmpty)
        }
        #expect(tracker.addresses == [ip(1), ip(2)])
        #expect(tracker.answered([ip(1)], ttlSeconds: 5, atMs: 90_000, jitter: 0).removed == [ip(2)])
    }

    /// Half an answer adds but does not remove.
    @Test func incompleteAnswers() {
        var tracker = NameTracker()
        _ = tracker.answered([ip(1), ip(2)], ttlSeconds: 5, atMs: 0, jitter: 0)
        for i in 1...10 {
            let changes = tracker.answered(
                [ip(3)], ttlSeconds: 5, isComplete: false, atMs: UInt64(i) * 60_000, jitter: 0)
            #expect(changes == Changes(added: i == 1 ? [ip(3)] : []))
        }
        #expect(tracker.addresses == [ip(1), ip(2), ip(3)])
    }

    @Test func wholeSetMoves() {
        var tracker = NameTracker()
        _ = tracker.answered([ip(1)], ttlSeconds: 5, atMs: 0, jitter: 0)
        #expect(tracker.answered([ip(2)], ttlSeconds: 5, atMs: 5000, jitter: 0) == Changes(added: [ip(2)]))
        #expect(tracker.answered([ip(2)], ttlSeconds: 5, atMs: 9000, jitter: 0) == Changes(removed: [ip(1)]))
        #expect(tracker.entries.map(\.firstSeenMs) == [5000])
    }

    @Test(
        arguments: [
            (0, 0.0, 1_000), (-5, 0, 1_000), (1, 0, 1_000), (60, 0, 60_000), (60, 0.5, 57_000),
            (301, 0, 300_000), (.max, 0, 300_000), (60, 7, 54_000), (60, -1, 60_000),
        ] as [(Int, Double, UInt64)])
    func refreshTime(_ ttlSeconds: Int, _ jitter: Double, _ waitMs: UInt64) {
        var tracker = NameTracker()
        _ = tracker.answered([ip(1)], ttlSeconds: ttlSeconds, atMs: 1_000_000, jitter: jitter)
        #expect(tracker.nextRefreshMs == 1_000_000 + waitMs)
    }

    @Test func backoff() {
        var tracker = NameTracker()
        var waits: [UInt64] = []
        for _ in 0..<9 {
            _ = tracker.failed(.timeout, atMs: 0, jitter: 0.999_999_9)
            waits.append((tracker.nextRefreshMs + 50) / 100 * 100)
        }
        #expect(waits == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000])
        _ = tracker.failed(.timeout, atMs: 0, jitter: 0)
        #expect(tracker.nextRefreshMs == 15_000)
        _ = tracker.answered([ip(1)], ttlSeconds: 9, atMs: 0, jitter: 0)
        _ = tracker.failed(.timeout, atMs: 0, jitter: 0)
        #expect(tracker.nextRefreshMs == 250)
    }

    @Test func boundOfAddresses() {
        var settings = NameTracker.Settings()
        settings.addressesMax = 3
        var tracker = NameTracker(settings: settings)
        #expect(
            tracker.answered([ip(4), ip(3), ip(2), ip(1)], ttlSeconds: 5, atMs: 0, jitter: 0).added
                == [ip(1), ip(2), ip(3)])
        #expect(tracker.ignoredCount == 1)
        // A full set of departed addresses waits for its removal; the new ones then come in.
        #expect(tracker.answered([ip(8), ip(9)], ttlSeconds: 5, atMs: 1, jitter: 0).isEmpty)
        #expect(
            tracker.answered([ip(8), ip(9)], ttlSeconds: 5, atMs: 2, jitter: 0)
                == Changes(added: [ip(8), ip(9)], removed: [ip(1), ip(2), ip(3)]))
        #expect(tracker.ignoredCount == 0)
    }

    /// Any history: bounded, sorted, equal to what the changes add up to, never empty again.
    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func invariants(_ seed: UInt64) {
        var state = seed &* 0x9e37_79b9_7f4a_7c15
        func next(_ bound: UInt64) -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state % bound
        }
        var settings = NameTracker.Settings()
        settings.addressesMax = 1 + Int(next(8))
        settings.absentAnswersMax = Int(next(4))
        var tracker = NameTracker(settings: settings)
        var mirror: Set<IPAddress> = []
        var now: UInt64 = 0
        for _ in 0..<500 {
            now += next(40_000)
            let wasEmpty = mirror.isEmpty
            let changes =
                next(3) == 0
                ? tracker.failed(.timeout, atMs: now, jitter: 0.3)
                : tracker.answered(
                    (0..<next(7)).map { _ in ip(UInt32(next(10))) }, ttlSeconds: Int(next(100)),
                    isComplete: next(4) > 0, atMs: now, jitter: 0.7)
            #expect(mirror.isDisjoint(with: changes.added) && mirror.isSuperset(of: changes.removed))
            mirror.formUnion(changes.added)
            mirror.subtract(changes.removed)
            #expect(Set(tracker.addresses) == mirror && tracker.addresses.count == mirror.count)
            #expect(mirror.count <= settings.addressesMax)
            #expect(wasEmpty || !mirror.isEmpty)
            #expect(tracker.nextRefreshMs > now)
        }
    }
}
