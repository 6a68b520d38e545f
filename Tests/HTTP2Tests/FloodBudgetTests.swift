// Budgets for floods as values: burst, rate, and what useful work gives back.

import HTTP2
import Testing

@Suite struct FloodBudgetTests {
    /// How many tokens there are at this time.
    private func drain(_ bucket: inout TokenBucket, atMs: UInt64) -> Int {
        var taken = 0
        while bucket.take(nowMs: atMs) { taken += 1 }
        return taken
    }

    private func drain(_ budget: inout FloodBudget, _ kind: HTTP2Violation) -> Int {
        var taken = 0
        while taken < 10_000, budget.take(kind, nowMs: 0) { taken += 1 }
        return taken
    }

    @Test func burstThenRate() {
        var bucket = TokenBucket(burst: 3, perSecond: 2, startingAt: 1_000)
        #expect(drain(&bucket, atMs: 1_000) == 3)
        #expect(drain(&bucket, atMs: 1_499) == 0)
        #expect(drain(&bucket, atMs: 1_500) == 1)
        #expect(drain(&bucket, atMs: 2_500) == 2)
    }

    @Test func neverMoreThanTheBurst() {
        var bucket = TokenBucket(burst: 2, perSecond: 10, startingAt: 0)
        bucket.credit(100)
        #expect(drain(&bucket, atMs: 1_000_000) == 2)
        #expect(drain(&bucket, atMs: 1_000_000) == 0)
    }

    @Test func timeThatStandsStillOrGoesBackFillsNothing() {
        var bucket = TokenBucket(burst: 1, perSecond: 1_000, startingAt: 5_000)
        #expect(drain(&bucket, atMs: 5_000) == 1)
        #expect(drain(&bucket, atMs: 4_000) == 0)
        #expect(drain(&bucket, atMs: 5_000) == 0)
    }

    @Test func kindsAreSeparate() {
        var budget = FloodBudget()
        #expect(drain(&budget, .pingFlood) == 100)
        #expect(drain(&budget, .settingsFlood) == 32)
        #expect(drain(&budget, .resetFlood) == 256)
        #expect(drain(&budget, .provokedResetFlood) == 100)
    }

    @Test func usefulWorkGivesBack() {
        var budget = FloodBudget()
        #expect(drain(&budget, .resetFlood) > 0)
        budget.streamCompleted()
        #expect(drain(&budget, .resetFlood) == 1)
        #expect(drain(&budget, .windowUpdateFlood) > 0)
        #expect(drain(&budget, .pingFlood) > 0)
        budget.dataSent()
        #expect(drain(&budget, .windowUpdateFlood) == 2)
        #expect(drain(&budget, .pingFlood) == 1)
    }
}
