import WeirResilience
import WeirBalancing
import Testing

@Suite struct RetryBudgetTests {
    /// Never more than 20 % of completed requests plus the floor, whatever happens.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func neverExceeded(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var budget = RetryBudget()
        var nowMs: UInt64 = 1_000_000 + seed * 777
        var completed: [UInt64] = []
        var charged: [UInt64] = []
        for _ in 0..<3_000 {
            nowMs += random.next() % 100 == 0 ? random.next() % 15_000 : random.next() % 20
            if random.next() % 3 == 0 {
                budget.completed(at: nowMs)
                completed.append(nowMs)
            } else if budget.tryCharge(at: nowMs) {
                charged.append(nowMs)
                // Counted in tenths of a window: nine whole ones are always inside, eleven never.
                let retries = charged.filter { $0 + 9_000 > nowMs }.count
                let requests = completed.filter { $0 + 10_000 >= nowMs }.count
                #expect(retries * 100 <= requests * 20 + 30 * 100)
            }
        }
        #expect(charged.count > 100)
    }

    @Test func floorAlone() {
        var budget = RetryBudget()
        #expect((0..<40).filter { _ in budget.tryCharge(at: 5_000) }.count == 30)
        #expect(budget.tryCharge(at: 14_999) == false)
        #expect(budget.tryCharge(at: 15_000) == true)
    }

    @Test func followsCompletedRequests() {
        var budget = RetryBudget(perMille: 200, floorPerSecond: 0)
        #expect(budget.tryCharge(at: 0) == false)
        for _ in 0..<100 { budget.completed(at: 10) }
        #expect(budget.remaining(at: 10) == 20)
        #expect((0..<100).filter { _ in budget.tryCharge(at: 20) }.count == 20)
        for _ in 0..<5 { budget.completed(at: 30) }
        #expect(budget.tryCharge(at: 30) == true)
        #expect(budget.remaining(at: 30) == 0)
        // All of it leaves with the window.
        #expect(budget.remaining(at: 100_000) == 0)
    }

    @Test func fractionsOfTheFloorAndOddParameters() {
        var half = RetryBudget(perMille: 0, floorPerSecond: 1.5)
        #expect(half.remaining(at: 0) == 15)
        var none = RetryBudget(perMille: -5, floorPerSecond: -.infinity, windowMs: 0)
        none.completed(at: 1)
        #expect(none.tryCharge(at: 1) == false)
    }

    @Test func timeThatGoesBackwardsChangesNothing() {
        var budget = RetryBudget(perMille: 0, floorPerSecond: 0.1)
        #expect(budget.tryCharge(at: 50_000) == true)
        #expect(budget.tryCharge(at: 10_000) == false)
    }

    /// Half a per cent is one retry for two hundred requests, not none.
    @Test func fractionsOfAPercentCount() {
        var budget = RetryBudget(perMille: 5, floorPerSecond: 0)
        for _ in 0..<199 { budget.completed(at: 1_000) }
        #expect(charge(&budget) == 0)
        budget.completed(at: 1_000)
        #expect(charge(&budget) == 1)
    }

    /// Another ratio applies to what has been counted already; nothing counted is forgotten.
    @Test func anotherRatioTakesEffect() {
        var budget = RetryBudget(perMille: 0, floorPerSecond: 0)
        for _ in 0..<100 { budget.completed(at: 1_000) }
        #expect(charge(&budget) == 0)
        budget.follow(RetryBudget(perMille: 20, floorPerSecond: 0))
        #expect(charge(&budget) == 2)
        budget.follow(RetryBudget(perMille: 10, floorPerSecond: 0))
        #expect(charge(&budget) == 0)
        budget.follow(RetryBudget(perMille: 0, floorPerSecond: 1))
        #expect(charge(&budget) == 8)
    }

    /// Takes what there is.
    private func charge(_ budget: inout RetryBudget) -> Int {
        var count = 0
        while budget.tryCharge(at: 1_000) { count += 1 }
        return count
    }
}
