// What is counted per listener: connections, requests, L4 bytes, datagrams, pauses.

import Synchronization

/// Counters of one listener. Made and found by MetricsRegistry.
public final class ListenerMetrics: Sendable {
    public let listener: String
    private let block: CounterBlock<ListenerCell>
    private let name: NameBytes

    /// Counters no page shows; `MetricsRegistry` makes those that are shown.
    public init(listener: String, workers: Int) {
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
            streamBytesOut: block.sum(ListenerCell.streamBytesOut),
            datagramsIn: block.sum(ListenerCell.datagramsIn),
            datagramsOut: block.sum(ListenerCell.datagramsOut),
            drops: DatagramDrop.allCases.compactMap { reason in
                let count = block.sum(ListenerCell.drops + Int(reason.rawValue))
                return count == 0 ? nil : DropCount(reason: reason, count: count)
            })
    }
}

/// Why a UDP datagram went nowhere.
public enum DatagramDrop: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// The listener has as many sessions as `limits.sessions` allows, and this source has none.
    case sessionLimit
    /// No descriptor or port was left for a session's socket.
    case noSocket
    /// The service has no endpoint (names not resolved yet), or none that takes datagrams.
    case noEndpoint
    /// Longer than `limits.datagram`, or than the way to its receiver allows.
    case tooLarge
    /// The send buffer towards the endpoint was full.
    case endpointBufferFull
    /// The send buffer towards clients was full.
    case clientBufferFull
    /// The kernel refused to send to the client: no route, firewall, port 0.
    case clientUnreachable
    /// It arrived while the listener's receive queue was full.
    case receiveQueueFull
    /// It claims to come from the listener's own address.
    case ownAddress
    /// A new source while Weir drains.
    case draining

    /// The word in metrics and status.
    public var name: StaticString {
        switch self {
        case .sessionLimit: "session-limit"
        case .noSocket: "no-socket"
        case .noEndpoint: "no-endpoint"
        case .tooLarge: "too-large"
        case .endpointBufferFull: "endpoint-buffer-full"
        case .clientBufferFull: "client-buffer-full"
        case .clientUnreachable: "client-unreachable"
        case .receiveQueueFull: "receive-queue-full"
        case .ownAddress: "own-address"
        case .draining: "draining"
        }
    }
}

/// How many datagrams were dropped for one reason.
public struct DropCount: Sendable, Equatable {
    public var reason: DatagramDrop
    public var count: UInt64

    public init(reason: DatagramDrop, count: UInt64) {
        self.reason = reason
        self.count = count
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
    static var datagramsIn: Int { 9 }
    static var datagramsOut: Int { 10 }
    static var drops: Int { 11 }
    public static var wordCount: Int { drops + DatagramDrop.allCases.count }

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

    /// Datagrams went from a client to an endpoint.
    public func datagramsReceived(_ count: Int, bytes: Int) {
        words.add(Self.datagramsIn, UInt64(truncatingIfNeeded: count))
        words.add(Self.streamBytesIn, UInt64(truncatingIfNeeded: bytes))
    }
    /// Datagrams went from an endpoint to a client.
    public func datagramsSent(_ count: Int, bytes: Int) {
        words.add(Self.datagramsOut, UInt64(truncatingIfNeeded: count))
        words.add(Self.streamBytesOut, UInt64(truncatingIfNeeded: bytes))
    }
    public func dropped(_ reason: DatagramDrop, _ count: Int = 1) {
        words.add(Self.drops &+ Int(reason.rawValue), UInt64(truncatingIfNeeded: count))
    }
    /// A UDP session ended; its bytes were counted as they went.
    public func sessionEnded() { words.increment(Self.streams) }

    /// Connections and UDP sessions this worker serves now.
    public var active: Int64 { Int64(bitPattern: words[Self.active].load(ordering: .relaxed)) }
}

/// What ListenerMetrics held at one moment.
public struct ListenerValues: Sendable, Equatable {
    public var listener: String
    public var accepted: UInt64
    public var handedOff: UInt64
    public var rejected: UInt64
    public var acceptPauses: UInt64
    /// Client connections and UDP sessions open now.
    public var active: Int64
    public var requests: UInt64
    /// L4 connections and UDP sessions that ended.
    public var streams: UInt64
    public var streamBytesIn: UInt64
    public var streamBytesOut: UInt64
    /// UDP datagrams from clients to endpoints, and from endpoints to clients.
    public var datagramsIn: UInt64
    public var datagramsOut: UInt64
    /// UDP datagrams that went nowhere; only reasons that occurred.
    public var drops: [DropCount]
}
