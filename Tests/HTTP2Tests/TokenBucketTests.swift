import Testing

@testable import HTTP2

@Suite struct TokenBucketTests {
    @Test func emptiesAndFillsWithTime() {
        var bucket = TokenBucket(burst: 2, perSecond: 10, startingAt: 1_000)
        let taken = [1_000, 1_000, 1_099, 1_100, 1_100].map { bucket.take(nowMs: $0) }
        #expect(taken == [true, true, false, true, false])
    }

    @Test func neverHoldsMoreThanItsBurst() {
        var bucket = TokenBucket(burst: 1, perSecond: 1_000, startingAt: 0)
        bucket.credit(50)
        let taken = [1_000_000, 1_000_000].map { bucket.take(nowMs: $0) }
        #expect(taken == [true, false])
    }
}
