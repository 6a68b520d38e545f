// What each worker says about itself, and the few counters that belong to no worker.

import WeirHTTPModel
import Synchronization

/// Counters of the workers; one cell each.
public final class WorkerMetrics: Sendable {
    private let block: CounterBlock<WorkerCell>

    init(workers: Int) { block = CounterBlock(workers: workers) }

    public var cells: CellTable<WorkerCell> { block.table }
    public func cell(worker: Int) -> WorkerCell { block.table[worker] }

    /// Bytes coded and decoded, by coding, summed over the workers. Only codings that occurred.
    public func coding() -> [CodingValues] {
        let encoded = ContentCoding.allCases.map { coding in
            CodingValues(
                coding: coding.name.description, isDecoding: false,
                bytesIn: block.sum(WorkerCell.encoded(coding)),
                bytesOut: block.sum(WorkerCell.encoded(coding) + 1))
        }
        let decoded = DecodedCoding.allCases.map { coding in
            CodingValues(
                coding: coding.name.description, isDecoding: true,
                bytesIn: block.sum(WorkerCell.decoded(coding)),
                bytesOut: block.sum(WorkerCell.decoded(coding) + 1))
        }
        return (encoded + decoded).filter { $0.bytesIn > 0 || $0.bytesOut > 0 }
    }

    /// One element per worker, in order.
    public func values() -> [WorkerValues] {
        (0..<block.table.workerCount).map { worker in
            WorkerValues(
                worker: worker,
                loopTurns: block.value(WorkerCell.turns, worker: worker),
                busyNs: block.value(WorkerCell.busyNs, worker: worker),
                buffersInUse: block.value(WorkerCell.buffersInUse, worker: worker),
                timers: block.value(WorkerCell.timers, worker: worker),
                snapshotGeneration: block.value(WorkerCell.snapshotGeneration, worker: worker),
                lateAnswers: block.value(WorkerCell.lateAnswers, worker: worker))
        }
    }
}

/// One worker's words about itself.
@frozen
public struct WorkerCell: CounterCell {
    static var turns: Int { 0 }
    static var busyNs: Int { 1 }
    static var buffersInUse: Int { 2 }
    static var timers: Int { 3 }
    static var snapshotGeneration: Int { 4 }
    /// Two words for each coding: bytes in, bytes out.
    static func encoded(_ coding: ContentCoding) -> Int { 5 + 2 * (Int(coding.rawValue) - 1) }
    static func decoded(_ coding: DecodedCoding) -> Int { 11 + 2 * (Int(coding.rawValue) - 1) }
    static var lateAnswers: Int { 19 }
    public static var wordCount: Int { 20 }

    @usableFromInline let words: UnsafeMutablePointer<Atomic<UInt64>>

    @inlinable
    public init(words: UnsafeMutablePointer<Atomic<UInt64>>) { self.words = words }

    /// A turn of the event loop that was busy (not waiting) for so many nanoseconds.
    public func turn(busyNs: UInt64) {
        words.increment(Self.turns)
        words.add(Self.busyNs, busyNs)
    }

    /// Sizes as they are now; called once in a while, not every turn.
    public func sizes(buffersInUse: Int, timers: Int) {
        words.set(Self.buffersInUse, UInt64(clamping: buffersInUse))
        words.set(Self.timers, UInt64(clamping: timers))
    }

    /// A body was compressed, or as much of it as was sent.
    /// - Parameters:
    ///   - bytesIn: plain bytes.
    ///   - bytesOut: coded bytes.
    public func encoded(_ coding: ContentCoding, bytesIn: UInt64, bytesOut: UInt64) {
        words.add(Self.encoded(coding), bytesIn)
        words.add(Self.encoded(coding) + 1, bytesOut)
    }

    /// A body was decoded, or the beginning of one.
    /// - Parameters:
    ///   - bytesIn: coded bytes.
    ///   - bytesOut: plain bytes.
    public func decoded(_ coding: DecodedCoding, bytesIn: UInt64, bytesOut: UInt64) {
        words.add(Self.decoded(coding), bytesIn)
        words.add(Self.decoded(coding) + 1, bytesOut)
    }

    /// Something was brought to an exchange that no longer waited for it.
    public func answerWasLate() { words.increment(Self.lateAnswers) }

    /// The snapshot this worker gives to new requests.
    public func snapshot(generation: UInt64) { words.set(Self.snapshotGeneration, generation) }
}

/// What one worker's cell held at one moment.
public struct WorkerValues: Sendable, Equatable {
    public var worker: Int
    public var loopTurns: UInt64
    public var busyNs: UInt64
    public var buffersInUse: UInt64
    public var timers: UInt64
    public var snapshotGeneration: UInt64
    /// What was brought to exchanges that no longer waited for it.
    public var lateAnswers: UInt64
}

/// What was coded, or decoded, in one coding.
public struct CodingValues: Sendable, Equatable {
    public var coding: String
    /// Request bodies that were decoded; else responses that were compressed.
    public var isDecoding: Bool
    /// Bytes before and after.
    public var bytesIn: UInt64
    public var bytesOut: UInt64
}

/// What happened to access log lines. Several threads write these, seldom: locked additions.
public final class AccessLogMetrics: Sendable {
    let written = Atomic<UInt64>(0)
    let dropped = Atomic<UInt64>(0)
    let writeErrors = Atomic<UInt64>(0)

    public init() {}

    public func values() -> AccessLogValues {
        AccessLogValues(
            written: written.load(ordering: .relaxed), dropped: dropped.load(ordering: .relaxed),
            writeErrors: writeErrors.load(ordering: .relaxed))
    }
}

/// What AccessLogMetrics held at one moment. Lines, except `writeErrors`, which counts failed writes.
public struct AccessLogValues: Sendable, Equatable {
    public var written: UInt64
    public var dropped: UInt64
    public var writeErrors: UInt64
}
