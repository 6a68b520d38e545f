// What is counted per route and service: requests, bytes, latencies, failures, retries.

import WeirResilience
import Synchronization

/// Counters of one (route, service) pair. Made and found by MetricsRegistry; lives across reloads as
/// long as a snapshot holds it.
public final class RouteMetrics: Sendable {
    public let route: String
    public let service: String
    private let block: CounterBlock<RouteCell>
    private let names: (route: NameBytes, service: NameBytes)

    /// Counters no page shows; `MetricsRegistry` makes those that are shown.
    public init(route: String, service: String, workers: Int) {
        self.route = route
        self.service = service
        block = CounterBlock(workers: workers)
        names = (NameBytes(route), NameBytes(service))
    }

    /// The cells, to copy into a snapshot; valid as long as this object.
    public var cells: CellTable<RouteCell> { block.table }
    /// The names for RequestRecord; valid as long as this object.
    public var routeBytes: UnsafeBufferPointer<UInt8> { names.route.bytes }
    public var serviceBytes: UnsafeBufferPointer<UInt8> { names.service.bytes }

    public func cell(worker: Int) -> RouteCell { block.table[worker] }

    /// All counters, summed over the workers.
    public func values() -> RouteValues {
        RouteValues(
            route: route, service: service,
            requestsByClass: (0..<StatusClass.count).map { block.sum(RouteCell.word(ofClass: $0)) },
            bytesIn: block.sum(RouteCell.bytesIn), bytesOut: block.sum(RouteCell.bytesOut),
            duration: HistogramValues(block, at: RouteCell.duration),
            timeToFirstByte: HistogramValues(block, at: RouteCell.firstByte),
            failures: block.failures(at: RouteCell.reasons), retries: block.sum(RouteCell.retries),
            webSockets: block.sum(RouteCell.webSockets),
            webSocketsOpen: block.gauge(RouteCell.webSocketsOpen))
    }
}

/// Status classes: index 0 is "no response was sent", 1…5 are 1xx…5xx. Codes from 600 on are counted
/// with 5xx, as RFC 9110 §15 asks a recipient to treat them.
public enum StatusClass {
    @inlinable public static var count: Int { 6 }
    public static let names: [String] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"]

    @inlinable @inline(__always)
    public static func index(status: UInt16) -> Int {
        status < 100 ? 0 : min(Int(status / 100), 5)
    }
}

/// One worker's counters of a route and service.
@frozen
public struct RouteCell: CounterCell {
    // A thousand routes do not stay in the caches: what every request counts stands in one line, and the
    // buckets of the two histograms, mostly the same ones, side by side.
    static var bytesIn: Int { 0 }
    static var bytesOut: Int { 1 }
    private static var durationSum: Int { 2 }
    private static var firstByteSum: Int { 3 }
    /// "2xx" to "5xx" are words 4 to 7, the rare ones follow.
    static func word(ofClass index: Int) -> Int { index >= 2 ? index &+ 2 : index &+ 8 }
    static var retries: Int { 10 }
    static var webSockets: Int { 11 }
    static var webSocketsOpen: Int { 12 }
    private static var buckets: Int { 16 }
    static var duration: HistogramWords { HistogramWords(buckets: buckets, step: 2, sum: durationSum) }
    static var firstByte: HistogramWords { HistogramWords(buckets: buckets + 1, step: 2, sum: firstByteSum) }
    static var reasons: Int { buckets + 2 * LatencyBuckets.count }
    public static var wordCount: Int { reasons + Reason.allCases.count }

    @usableFromInline let words: UnsafeMutablePointer<Atomic<UInt64>>

    @inlinable
    public init(words: UnsafeMutablePointer<Atomic<UInt64>>) { self.words = words }

    /// Counts one finished request or L4 connection.
    /// - Parameters:
    ///   - status: the status sent, 0 when none was (and for L4).
    ///   - totalUs: from the first byte of the request to the last of the response, microseconds.
    ///   - firstByteUs: until the response head came, microseconds; 0 = it never did, not observed.
    ///   - reason: `.none` when nothing failed.
    ///   - attempts: how many endpoints were tried; those beyond the first are counted as retries.
    public func requestEnded(
        status: UInt16, totalUs: UInt64, firstByteUs: UInt64, bytesIn: UInt64, bytesOut: UInt64,
        reason: Reason, attempts: UInt8
    ) {
        words.increment(Self.word(ofClass: StatusClass.index(status: status)))
        words.add(Self.bytesIn, bytesIn)
        words.add(Self.bytesOut, bytesOut)
        Self.duration.observe(words, us: totalUs)
        if firstByteUs != 0 { Self.firstByte.observe(words, us: firstByteUs) }
        if reason != .none { words.increment(Self.reasons &+ Int(reason.rawValue)) }
        if attempts > 1 { words.add(Self.retries, UInt64(attempts &- 1)) }
    }

    /// The same from a record.
    public func requestEnded(_ record: borrowing RequestRecord) {
        requestEnded(
            status: record.status, totalUs: record.totalUs, firstByteUs: record.firstByteUs,
            bytesIn: record.bytesIn, bytesOut: record.bytesOut, reason: record.failure.reason,
            attempts: record.attempts)
    }

    /// Counts a WebSocket that was agreed on.
    public func webSocketOpened() {
        words.increment(Self.webSockets)
        words.increment(Self.webSocketsOpen)
    }

    /// Counts the end of one.
    public func webSocketEnded() { words.decrement(Self.webSocketsOpen) }
}

/// What RouteMetrics held at one moment.
public struct RouteValues: Sendable, Equatable {
    public var route: String
    public var service: String
    /// Indexed by StatusClass.
    public var requestsByClass: [UInt64]
    public var bytesIn: UInt64
    public var bytesOut: UInt64
    public var duration: HistogramValues
    public var timeToFirstByte: HistogramValues
    /// Only reasons that occurred.
    public var failures: [FailureCount]
    public var retries: UInt64
    public var webSockets: UInt64 = 0
    public var webSocketsOpen: Int64 = 0
}

/// How often one reason occurred.
public struct FailureCount: Sendable, Equatable {
    public var reason: Reason
    public var count: UInt64
}

extension CounterBlock {
    /// The reasons that occurred, from one word per Reason starting at `first`.
    func failures(at first: Int) -> [FailureCount] {
        Reason.allCases.compactMap { reason in
            let count = sum(first + Int(reason.rawValue))
            return count == 0 ? nil : FailureCount(reason: reason, count: count)
        }
    }
}
