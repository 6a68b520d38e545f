import Testing

@testable import HTTP2

@Suite struct TokenBucketTests {
    @Test func emptiesAndFillsWithTime() {
        var bucket = TokenBucket(burst: 2, perSecond: 10, startingAt: 1_000)
        #expect(bucket.take(nowMs: 1_000))
        #expect(bucket.take(nowMs: 1_000))
        #expect(!bucket.take(nowMs: 1_099))
        #expect(bucket.take(nowMs: 1_100))
        #expect(!bucket.take(nowMs: 1_100))
    }

    @Test func neverHoldsMoreThanItsBurst() {
        var bucket = TokenBucket(burst: 1, perSecond: 1_000, startingAt: 0)
        bucket.credit(50)
        #expect(bucket.take(nowMs: 1_000_000))
        #expect(!bucket.take(nowMs: 1_000_000))
    }
}
