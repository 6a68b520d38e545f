import WeirResilience
import Testing

@Suite struct ProgressMeterTests {
    @Test func aPeerAtTheRatePassesAndOneBelowDoesNot() {
        for (bytes, isSlow) in [(500, false), (499, true)] {
            var meter = ProgressMeter(bytesPerSecondMin: 100, windowMs: 5_000, startingAt: 1_000)
            meter.progressed(bytes: bytes)
            #expect(meter.verdict(at: 5_999) == .wait(untilMs: 6_000))
            #expect(meter.verdict(at: 6_000) == (isSlow ? .tooSlow : .wait(untilMs: 11_000)))
        }
    }

    @Test func bytesOfAnEarlierWindowDoNotCount() {
        var meter = ProgressMeter(bytesPerSecondMin: 100, windowMs: 1_000, startingAt: 0)
        meter.progressed(bytes: 1_000_000)
        #expect(meter.verdict(at: 1_000) == .wait(untilMs: 2_000))
        #expect(meter.verdict(at: 2_000) == .tooSlow)
    }

    @Test func nothingIsAskedBeforeTheFirstResume() {
        var meter = ProgressMeter(bytesPerSecondMin: 1, windowMs: 1_000, startingAt: 0, isPaused: true)
        #expect(meter.verdict(at: 60_000) == .wait(untilMs: 61_000))
        meter.resume(at: 60_000)
        #expect(meter.verdict(at: 60_999) == .wait(untilMs: 61_000))
        #expect(meter.verdict(at: 61_000) == .tooSlow)
    }

    @Test func pausedTimeDoesNotCount() {
        var meter = ProgressMeter(bytesPerSecondMin: 100, windowMs: 1_000, startingAt: 0)
        meter.pause(at: 400)
        #expect(meter.verdict(at: 9_000) == .wait(untilMs: 10_000))
        meter.resume(at: 10_400)
        #expect(meter.verdict(at: 10_999) == .wait(untilMs: 11_000))
        #expect(meter.verdict(at: 11_000) == .tooSlow)
    }

    @Test func atLeastOneByteAndNoOverflow() {
        var meter = ProgressMeter(bytesPerSecondMin: 0, windowMs: 0, startingAt: 0)
        #expect(meter.bytesPerWindowMin == 1)
        #expect(meter.verdict(at: 1) == .tooSlow)
        #expect(ProgressMeter(bytesPerSecondMin: .max, windowMs: 5_000, startingAt: 0).bytesPerWindowMin > 0)
    }
}
