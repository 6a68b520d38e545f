// Counters that one worker writes and the control plane reads.
//
// Each (object, worker) pair has its own run of 64-bit words, starting on a cache line of its own, so
// that two workers counting the same thing never share a line. A word is written by its worker alone:
// an increment is a relaxed load and a relaxed store, no locked instruction. The reader sums over the
// workers; it sees every word whole, but different words at slightly different moments.
//
// Does not do: counters with more than one writer (see AccessLogMetrics for the few there are).

import Synchronization

/// One worker's words of one object. Passed by value; only the owning worker may call the methods
/// that count.
public protocol CounterCell: BitwiseCopyable {
    /// How many 64-bit words a cell has.
    static var wordCount: Int { get }
    init(words: UnsafeMutablePointer<Atomic<UInt64>>)
}

/// The cells of one object, one per worker. A plain value without references, made to be copied into
/// a snapshot's tables; it is valid as long as the metrics object it was read from.
@frozen
public struct CellTable<Cell: CounterCell>: @unchecked Sendable, BitwiseCopyable {
    @usableFromInline let base: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let stride: Int
    public let workerCount: Int

    @usableFromInline
    init(base: UnsafeMutablePointer<Atomic<UInt64>>, stride: Int, workerCount: Int) {
        self.base = base
        self.stride = stride
        self.workerCount = workerCount
    }

    /// The cell of a worker, 0 ..< workerCount.
    @inlinable @inline(__always)
    public subscript(worker: Int) -> Cell {
        precondition(worker >= 0 && worker < workerCount)
        return Cell(words: base + worker &* stride)
    }
}

/// Owns the words of one object.
final class CounterBlock<Cell: CounterCell>: @unchecked Sendable {
    let table: CellTable<Cell>
    private let wordCount: Int

    /// Words per 64-byte cache line.
    private static var lineWords: Int { 8 }

    init(workers: Int) {
        let stride = (Cell.wordCount + Self.lineWords - 1) / Self.lineWords * Self.lineWords
        wordCount = stride * workers
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: wordCount * MemoryLayout<UInt64>.size, alignment: 64)
        let base = raw.bindMemory(to: Atomic<UInt64>.self, capacity: wordCount)
        for i in 0..<wordCount { (base + i).initialize(to: Atomic(0)) }
        table = CellTable(base: base, stride: stride, workerCount: workers)
    }

    deinit {
        table.base.deinitialize(count: wordCount)
        UnsafeMutableRawPointer(table.base).deallocate()
    }

    /// One word summed over all workers. Gauges wrap: read the sum as Int64.
    func sum(_ word: Int) -> UInt64 {
        var total: UInt64 = 0
        for worker in 0..<table.workerCount {
            total &+= table.base[worker &* table.stride &+ word].load(ordering: .relaxed)
        }
        return total
    }

    func gauge(_ word: Int) -> Int64 { Int64(bitPattern: sum(word)) }

    /// One word of one worker.
    func value(_ word: Int, worker: Int) -> UInt64 {
        table.base[worker &* table.stride &+ word].load(ordering: .relaxed)
    }
}

extension UnsafeMutablePointer<Atomic<UInt64>> {
    /// Adds to a word. Only its single writer may call this.
    @inlinable @inline(__always)
    func add(_ word: Int, _ amount: UInt64) {
        self[word].store(self[word].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    @inlinable @inline(__always)
    func increment(_ word: Int) { add(word, 1) }

    @inlinable @inline(__always)
    func decrement(_ word: Int) { add(word, ~0) }

    @inlinable @inline(__always)
    func set(_ word: Int, _ value: UInt64) { self[word].store(value, ordering: .relaxed) }
}

/// A name from the configuration as bytes that stay where they are, so that a record can point at it.
final class NameBytes: @unchecked Sendable {
    let bytes: UnsafeBufferPointer<UInt8>

    init(_ text: String) {
        let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
        _ = copy.initialize(from: text.utf8)
        bytes = UnsafeBufferPointer(copy)
    }

    deinit { bytes.deallocate() }
}
