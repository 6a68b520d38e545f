import HTTP2
import Testing

@Suite struct FloodBudgetTests {
    @Test func burstThenRate() {
        var bucket = TokenBucket(burst: 3, perSecond: 2, startingAt: 1_000)
        for _ in 0..<3 { #expect(bucket.take(nowMs: 1_000)) }
        #expect(!bucket.take(nowMs: 1_000))
        #expect(!bucket.take(nowMs: 1_499))
        #expect(bucket.take(nowMs: 1_500))
        #expect(!bucket.take(nowMs: 1_500))
    }

    @Test func neverMoreThanTheBurst() {
        var bucket = TokenBucket(burst: 2, perSecond: 10, startingAt: 0)
        bucket.credit(100)
        var taken = 0
        while bucket.take(nowMs: 1_000_000) { taken += 1 }
        #expect(taken == 2)
    }

    @Test func timeThatStandsStillOrGoesBackFillsNothing() {
        var bucket = TokenBucket(burst: 1, perSecond: 1_000, startingAt: 5_000)
        #expect(bucket.take(nowMs: 5_000))
        #expect(!bucket.take(nowMs: 4_000))
        #expect(!bucket.take(nowMs: 5_000))
    }

    @Test func kindsAreSeparate() {
        var budget = FloodBudget()
        while budget.take(.pingFlood, nowMs: 0) {}
        #expect(budget.take(.settingsFlood, nowMs: 0))
        #expect(budget.take(.resetFlood, nowMs: 0))
    }

    @Test func usefulWorkGivesBack() {
        var budget = FloodBudget()
        while budget.take(.resetFlood, nowMs: 0) {}
        budget.streamCompleted()
        #expect(budget.take(.resetFlood, nowMs: 0))
        #expect(!budget.take(.resetFlood, nowMs: 0))
        while budget.take(.windowUpdateFlood, nowMs: 0) {}
        budget.dataSent()
        #expect(budget.take(.windowUpdateFlood, nowMs: 0))
        #expect(budget.take(.windowUpdateFlood, nowMs: 0))
        #expect(!budget.take(.windowUpdateFlood, nowMs: 0))
    }
}
