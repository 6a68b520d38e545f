// Budgets for floods as values: burst, rate, and what useful work gives back.

import WeirHTTP2
import Testing

@Suite struct FloodBudgetTests {
    /// How many tokens there are at this time.
    private func drain(_ bucket: inout TokenBucket, atMs: UInt64) -> Int {
        var taken = 0
        while bucket.take(nowMs: atMs) { taken += 1 }
        return taken
    }

    private func drain(_ budget: inout FloodBudget, _ kind: HTTP2Violation, atMs: UInt64 = 0) -> Int {
        var taken = 0
        while taken < 100_000, budget.take(kind, nowMs: atMs) { taken += 1 }
        return taken
    }

    @Test func burstThenRate() {
        var bucket = TokenBucket(burst: 3, perSecond: 2, startingAt: 1_000)
        #expect(drain(&bucket, atMs: 1_000) == 3)
        #expect(drain(&bucket, atMs: 1_499) == 0)
        #expect(drain(&bucket, atMs: 1_500) == 1)
        #expect(drain(&bucket, atMs: 2_500) == 2)
    }

    // The machine may have stood still while frames came at their pace.
    @Test func timeEarnsAMinuteAtMost() {
        var bucket = TokenBucket(burst: 2, perSecond: 10, startingAt: 1_000)
        #expect(drain(&bucket, atMs: 31_000) == 302)
        #expect(drain(&bucket, atMs: 1_000_000) == 600)
        #expect(drain(&bucket, atMs: 1_000_000) == 0)
        #expect(drain(&bucket, atMs: 9_000_000) == 600)
    }

    @Test func whatWasEarnedStaysEarned() {
        var bucket = TokenBucket(burst: 2, perSecond: 10, startingAt: 0)
        for _ in 0..<1_000 { bucket.credit(3) }
        #expect(drain(&bucket, atMs: 0) == 3_002)
        for _ in 0..<100_000 { bucket.credit(3) }
        // Time adds nothing to so much.
        #expect(drain(&bucket, atMs: 1_000) == Int(TokenBucket.earnedMax))
    }

    @Test func severalAtOnceOrNone() {
        var bucket = TokenBucket(burst: 10, perSecond: 1)
        let first = bucket.take(8, nowMs: 0)
        let second = bucket.take(8, nowMs: 0)
        #expect(first && !second)
        #expect(drain(&bucket, atMs: 0) == 2)
    }

    @Test func resetsAreTheDearerTheSooner() {
        #expect(FloodBudget.resetCost(ageMs: nil) == 1)
        #expect([0, 9].map { FloodBudget.resetCost(ageMs: $0) } == [8, 8])
        #expect([10, 99].map { FloodBudget.resetCost(ageMs: $0) } == [2, 2])
        #expect([100, 999].map { FloodBudget.resetCost(ageMs: $0) } == [1, 1])
        #expect(FloodBudget.resetCost(ageMs: 1_000) == 0)
    }

    @Test func budgetsBeginWithTheConnection() {
        var budget = FloodBudget(nowMs: 5_000_000)
        #expect(drain(&budget, .pingFlood, atMs: 5_000_000) == 100)
        #expect(drain(&budget, .pingFlood, atMs: 5_001_000) == 10)
    }

    @Test func timeThatStandsStillOrGoesBackFillsNothing() {
        var bucket = TokenBucket(burst: 1, perSecond: 1_000, startingAt: 5_000)
        #expect(drain(&bucket, atMs: 5_000) == 1)
        #expect(drain(&bucket, atMs: 4_000) == 0)
        #expect(drain(&bucket, atMs: 5_000) == 0)
    }

    @Test func kindsAreSeparate() {
        var budget = FloodBudget(nowMs: 0)
        #expect(drain(&budget, .pingFlood) == 100)
        #expect(drain(&budget, .settingsFlood) == 32)
        #expect(drain(&budget, .resetFlood) == 256)
        #expect(drain(&budget, .provokedResetFlood) == 100)
    }

    @Test func usefulWorkGivesBack() {
        var budget = FloodBudget(nowMs: 0)
        #expect(drain(&budget, .resetFlood) > 0)
        budget.streamCompleted()
        #expect(drain(&budget, .resetFlood) == 32)
        #expect(drain(&budget, .windowUpdateFlood) > 0)
        #expect(drain(&budget, .pingFlood) > 0)
        budget.dataSent(bytes: 20)
        #expect(drain(&budget, .windowUpdateFlood) == 2)
        #expect(drain(&budget, .pingFlood) == 1)
        budget.dataSent(bytes: 16_384)
        #expect(drain(&budget, .windowUpdateFlood) == 130)
    }
}
