// What is counted per endpoint of a service: attempts, connections, pool state.

import WeirHTTPModel
import WeirResilience
import Synchronization

/// Counters of one endpoint of one service. Made and found by MetricsRegistry.
public final class EndpointMetrics: Sendable {
    public let service: String
    /// The address as configured or resolved, "10.0.0.11:8080".
    public let endpoint: String
    private let block: CounterBlock<EndpointCell>
    private let name: NameBytes

    init(service: String, endpoint: String, workers: Int) {
        self.service = service
        self.endpoint = endpoint
        block = CounterBlock(workers: workers)
        name = NameBytes(endpoint)
    }

    /// The cells, to copy into a snapshot; valid as long as this object.
    public var cells: CellTable<EndpointCell> { block.table }
    /// The endpoint's name for RequestRecord; valid as long as this object.
    public var endpointBytes: UnsafeBufferPointer<UInt8> { name.bytes }

    public func cell(worker: Int) -> EndpointCell { block.table[worker] }

    public func values() -> EndpointValues {
        EndpointValues(
            service: service, endpoint: endpoint,
            attempts: block.sum(EndpointCell.attempts),
            failures: block.failures(at: EndpointCell.reasons),
            connectionsOpened: block.sum(EndpointCell.opened),
            connectionsClosed: block.sum(EndpointCell.closed),
            connectionsReused: block.sum(EndpointCell.reused),
            active: block.gauge(EndpointCell.active), idle: block.gauge(EndpointCell.idle),
            bytesSent: block.sum(EndpointCell.bytesSent),
            bytesReceived: block.sum(EndpointCell.bytesReceived),
            connect: HistogramValues(block, at: EndpointCell.connect),
            quirks: Quirk.allCases.map { block.sum(EndpointCell.quirks + Int($0.rawValue)) })
    }
}

/// One worker's counters of an endpoint.
@frozen
public struct EndpointCell: CounterCell {
    static var attempts: Int { 0 }
    static var active: Int { 1 }
    static var idle: Int { 2 }
    static var reused: Int { 3 }
    static var opened: Int { 4 }
    static var closed: Int { 5 }
    static var bytesSent: Int { 6 }
    static var bytesReceived: Int { 7 }
    static var connect: HistogramWords { HistogramWords(buckets: 8, sum: 8 + LatencyBuckets.count) }
    static var reasons: Int { connect.sum + 1 }
    static var quirks: Int { reasons + Reason.allCases.count }
    public static var wordCount: Int { quirks + Quirk.allCases.count }

    @usableFromInline let words: UnsafeMutablePointer<Atomic<UInt64>>

    @inlinable
    public init(words: UnsafeMutablePointer<Atomic<UInt64>>) { self.words = words }

    /// An attempt begins; `attemptEnded` must follow exactly once.
    public func attemptStarted() {
        words.increment(Self.attempts)
        words.increment(Self.active)
    }

    /// An attempt ends. `reason` is what the endpoint or the wire to it did, `.none` when all was well.
    public func attemptEnded(reason: Reason, bytesSent: UInt64, bytesReceived: UInt64) {
        words.decrement(Self.active)
        words.add(Self.bytesSent, bytesSent)
        words.add(Self.bytesReceived, bytesReceived)
        if reason != .none { words.increment(Self.reasons &+ Int(reason.rawValue)) }
    }

    /// A response was read although it breaks the standard in these ways.
    public func overlooked(_ quirks: Quirks) {
        for quirk in quirks.list {
            words.increment(Self.quirks &+ Int(quirk.rawValue))
        }
    }

    /// A connection was established; `connectUs` from connect(2) to writable, microseconds.
    public func connectionOpened(connectUs: UInt64) {
        words.increment(Self.opened)
        Self.connect.observe(words, us: connectUs)
    }

    /// An established connection was closed. When it was idle, call `idleTaken(reused: false)` too.
    public func connectionClosed() { words.increment(Self.closed) }

    /// A connection went into the pool of idle ones.
    public func idleAdded() { words.increment(Self.idle) }

    /// A connection left the pool of idle ones: for a request, or because it ended or was evicted.
    public func idleTaken(reused: Bool) {
        words.decrement(Self.idle)
        if reused { words.increment(Self.reused) }
    }

    /// An attempt goes over a connection that carries others.
    public func streamReused() { words.increment(Self.reused) }

    /// This worker's attempts in flight.
    public var active: Int64 { Int64(bitPattern: words[Self.active].load(ordering: .relaxed)) }
}

/// What EndpointMetrics held at one moment.
public struct EndpointValues: Sendable, Equatable {
    public var service: String
    public var endpoint: String
    public var attempts: UInt64
    public var failures: [FailureCount]
    public var connectionsOpened: UInt64
    public var connectionsClosed: UInt64
    /// Attempts that went over an idle connection.
    public var connectionsReused: UInt64
    /// Attempts in flight.
    public var active: Int64
    /// Idle connections in the pools of all workers.
    public var idle: Int64
    public var bytesSent: UInt64
    public var bytesReceived: UInt64
    public var connect: HistogramValues
    /// Responses read leniently, by `Quirk`.
    public var quirks: [UInt64]
}
