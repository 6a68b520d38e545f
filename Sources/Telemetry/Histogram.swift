// Latency histograms with the classic fixed buckets of Prometheus.
//
// Seventeen counters (sixteen bounds from 0.5 ms to 60 s, and what is above) and a sum of
// microseconds. Fixed bounds make the histograms of all workers, routes and machines addable.

import Synchronization

/// The bucket bounds shared by all latency histograms.
public enum LatencyBuckets {
    /// Upper bounds in microseconds, inclusive, ascending.
    public static let boundsUs: [UInt64] = [
        500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000,
        250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
    ]

    /// The same bounds in seconds as Prometheus writes them.
    static let boundNames: [StaticString] = [
        "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
        "0.25", "0.5", "1", "2.5", "5", "10", "30", "60",
    ]

    /// Number of buckets, the one above the last bound included.
    @inlinable static var count: Int { 17 }

    /// Index of the bucket for a duration: the first whose bound is not below it, 16 above them all.
    /// Literals in a tree: at most five comparisons and no table to load; a test holds it to `boundsUs`.
    static func index(us: UInt64) -> Int {
        if us <= 100_000 {
            if us <= 5_000 {
                if us <= 1_000 { return us <= 500 ? 0 : 1 }
                return us <= 2_500 ? 2 : 3
            }
            if us <= 25_000 { return us <= 10_000 ? 4 : 5 }
            return us <= 50_000 ? 6 : 7
        }
        if us <= 5_000_000 {
            if us <= 500_000 { return us <= 250_000 ? 8 : 9 }
            return us <= 1_000_000 ? 10 : us <= 2_500_000 ? 11 : 12
        }
        if us <= 30_000_000 { return us <= 10_000_000 ? 13 : 14 }
        return us <= 60_000_000 ? 15 : 16
    }
}

/// Where a histogram's words stand in a cell.
struct HistogramWords {
    /// The first bucket.
    var buckets: Int
    /// From one bucket to the next.
    var step = 1
    var sum: Int

    @inline(__always)
    func observe(_ words: UnsafeMutablePointer<Atomic<UInt64>>, us: UInt64) {
        words.increment(buckets &+ step &* LatencyBuckets.index(us: us))
        words.add(sum, us)
    }
}

/// A histogram as read at one moment.
public struct HistogramValues: Sendable, Equatable {
    /// Observations per bucket (not cumulative), in the order of `LatencyBuckets.boundsUs`, then above.
    public var buckets: [UInt64]
    /// Sum of all observations in microseconds.
    public var sumUs: UInt64

    /// The number of observations: the sum of the buckets, so that it always agrees with them.
    public var count: UInt64 { buckets.reduce(0, &+) }

    public init(buckets: [UInt64], sumUs: UInt64) {
        self.buckets = buckets
        self.sumUs = sumUs
    }

    init<Cell>(_ block: CounterBlock<Cell>, at words: HistogramWords) {
        self.init(
            buckets: (0..<LatencyBuckets.count).map { block.sum(words.buckets + words.step * $0) },
            sumUs: block.sum(words.sum))
    }
}
