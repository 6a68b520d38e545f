import Testing

@testable import Telemetry

@Suite struct HistogramTests {
    @Test func searchAgreesWithTheTableAtEveryBound() {
        for (i, bound) in LatencyBuckets.boundsUs.enumerated() {
            #expect(LatencyBuckets.index(us: bound - 1) == i || bound - 1 == 0)
            #expect(LatencyBuckets.index(us: bound) == i)
            #expect(LatencyBuckets.index(us: bound + 1) == i + 1)
        }
        #expect(LatencyBuckets.index(us: 0) == 0)
        #expect(LatencyBuckets.index(us: .max) == LatencyBuckets.count - 1)
        #expect(LatencyBuckets.boundsUs.count == LatencyBuckets.count - 1)
    }

    @Test func boundNamesAreTheBoundsInSeconds() {
        for (bound, name) in zip(LatencyBuckets.boundsUs, LatencyBuckets.boundNames) {
            #expect(Double(name.description) == Double(bound) / 1e6)
        }
        #expect(LatencyBuckets.boundNames.count == LatencyBuckets.boundsUs.count)
    }
}
