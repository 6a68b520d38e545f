import WeirResilience
import Testing

@Suite struct TakingClockTests {
    /// When a peer whose total is this at each moment is given up, looked at as its owner does; nil: never.
    private func end(timeoutMs: UInt64, untilMs: UInt64, _ taken: (UInt64) -> UInt64) -> UInt64? {
        var clock = TakingClock()
        clock.begin(at: 1_000)
        var nowMs: UInt64 = 1_000
        while nowMs < untilMs {
            nowMs += TakingClock.pauseMs(timeoutMs: timeoutMs)
            if !clock.isTaking(taken(nowMs), nowMs: nowMs, timeoutMs: timeoutMs) { return nowMs }
        }
        return nil
    }

    @Test func whoTakesNothingIsGivenUp() throws {
        // Never before its time, and no more than a look later, whatever it took before.
        for (timeoutMs, taken) in [(30_000, 5_000_000), (2_000, 1), (1, 7), (30_000, 0)] as [(UInt64, UInt64)]
        {
            let ms = try #require(end(timeoutMs: timeoutMs, untilMs: 1_000_000) { _ in taken })
            #expect(ms >= 1_000 + timeoutMs)
            #expect(ms <= 1_000 + timeoutMs + TakingClock.pauseMs(timeoutMs: timeoutMs))
        }
    }

    @Test func whoTakesAByteWithinItsTimeIsServed() {
        #expect(end(timeoutMs: 30_000, untilMs: 10_000_000) { $0 / 29_000 } == nil)
        #expect(end(timeoutMs: 30_000, untilMs: 10_000_000) { $0 / 50_000 } != nil)
    }

    @Test func whatWasTakenBeforeSomethingWaitedIsNoAnswer() {
        var clock = TakingClock()
        clock.begin(at: 0)
        // Then nothing waits for an hour.
        let early = clock.isTaking(10, nowMs: 500, timeoutMs: 1_000)
        clock.begin(at: 3_600_000)
        let inTime = clock.isTaking(10, nowMs: 3_600_999, timeoutMs: 1_000)
        let late = clock.isTaking(10, nowMs: 3_601_000, timeoutMs: 1_000)
        #expect(early && inTime && !late)
    }
}
