// What is counted per listener: connections, requests, L4 bytes, pauses.

import Synchronization

/// Counters of one listener. Made and found by MetricsRegistry.
public final class ListenerMetrics: Sendable {
    public let listener: String
    private let block: CounterBlock<ListenerCell>
    private let name: NameBytes

    init(listener: String, workers: Int) {
        self.listener = listener
        block = CounterBlock(workers: workers)
        name = NameBytes(listener)
    }

    /// The cells, to copy into a snapshot; valid as long as this object.
    public var cells: CellTable<ListenerCell> { block.table }
    /// The name for RequestRecord; valid as long as this object.
    public var nameBytes: UnsafeBufferPointer<UInt8> { name.bytes }

    public func cell(worker: Int) -> ListenerCell { block.table[worker] }

    public func values() -> ListenerValues {
        ListenerValues(
            listener: listener,
            accepted: block.sum(ListenerCell.accepted), handedOff: block.sum(ListenerCell.handedOff),
            rejected: block.sum(ListenerCell.rejected), acceptPauses: block.sum(ListenerCell.acceptPauses),
            active: block.gauge(ListenerCell.active), requests: block.sum(ListenerCell.requests),
            streams: block.sum(ListenerCell.streams), streamBytesIn: block.sum(ListenerCell.streamBytesIn),
            streamBytesOut: block.sum(ListenerCell.streamBytesOut))
    }
}

/// One worker's counters of a listener.
@frozen
public struct ListenerCell: CounterCell {
    static var accepted: Int { 0 }
    static var handedOff: Int { 1 }
    static var rejected: Int { 2 }
    static var acceptPauses: Int { 3 }
    static var active: Int { 4 }
    static var requests: Int { 5 }
    static var streams: Int { 6 }
    static var streamBytesIn: Int { 7 }
    static var streamBytesOut: Int { 8 }
    public static var wordCount: Int { 9 }

    @usableFromInline let words: UnsafeMutablePointer<Atomic<UInt64>>

    @inlinable
    public init(words: UnsafeMutablePointer<Atomic<UInt64>>) { self.words = words }

    /// accept(2) gave this worker a connection.
    public func accepted() { words.increment(Self.accepted) }
    /// This worker gave an accepted connection to another worker.
    public func handedOff() { words.increment(Self.handedOff) }
    /// A connection was closed at once because of a limit.
    public func rejected() { words.increment(Self.rejected) }
    /// Accepting stopped for want of file descriptors.
    public func acceptPaused() { words.increment(Self.acceptPauses) }
    /// This worker now serves the connection; `connectionEnded` must follow exactly once, same worker.
    public func connectionBegan() { words.increment(Self.active) }
    public func connectionEnded() { words.decrement(Self.active) }
    /// A request was read, or failed to be.
    public func requestBegan() { words.increment(Self.requests) }
    /// An L4 connection ended; bytes from the client and to it.
    public func streamEnded(bytesIn: UInt64, bytesOut: UInt64) {
        words.increment(Self.streams)
        words.add(Self.streamBytesIn, bytesIn)
        words.add(Self.streamBytesOut, bytesOut)
    }

    /// Connections this worker serves now.
    public var active: Int64 { Int64(bitPattern: words[Self.active].load(ordering: .relaxed)) }
}

/// What ListenerMetrics held at one moment.
public struct ListenerValues: Sendable, Equatable {
    public var listener: String
    public var accepted: UInt64
    public var handedOff: UInt64
    public var rejected: UInt64
    public var acceptPauses: UInt64
    /// Client connections open now.
    public var active: Int64
    public var requests: UInt64
    /// L4 connections that ended.
    public var streams: UInt64
    public var streamBytesIn: UInt64
    public var streamBytesOut: UInt64
}
