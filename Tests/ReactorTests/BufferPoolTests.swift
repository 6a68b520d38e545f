// BufferPool: size classes, reuse, the account of bytes in use, buffers beyond the classes.

import WeirBalancing
import Testing

@testable import Reactor

@Suite struct BufferPoolTests {
    @Test(arguments: [
        (0, 2016), (1, 2016), (2016, 2016), (2017, 16_352), (16_352, 16_352), (16_353, 65_536),
        (65_536, 65_536), (65_537, 65_537), (1_000_000, 1_000_000),
    ])
    func sizeClasses(_ wanted: Int, _ capacity: Int) {
        var pool = BufferPool()
        let buffer = pool.take(wanted)
        #expect(buffer.room == capacity && buffer.count == 0)
        #expect(pool.bytesInUse == capacity)
        // The header must not overlap the bytes, nor the bytes be misaligned for word-wise scanning.
        #expect(UnsafeRawPointer(buffer.base) - UnsafeRawPointer(buffer) == 32)
        #expect(UInt(bitPattern: buffer.base) % 16 == 0)
        for i in 0..<capacity { buffer.base[i] = UInt8(truncatingIfNeeded: i) }
        #expect(Int(buffer.pointee.capacity) == capacity)
        pool.give(buffer)
        #expect(pool.bytesInUse == 0)
    }

    @Test(arguments: [100, 10_000, 60_000])
    func reusedAndEmpty(_ byteCount: Int) {
        var pool = BufferPool()
        let first = pool.take(byteCount)
        let second = pool.take(byteCount)
        #expect(first != second)
        first.append([1, 2, 3], 3)
        first.pointee.start = 1
        first.pointee.next = second
        #expect(first.count == 2 && first.readable[0] == 2)
        pool.give(first)
        // A smaller wish of the same class finds it, and finds it empty.
        let again = pool.take(byteCount - 50)
        #expect(again == first)
        #expect(again.count == 0 && again.pointee.start == 0 && again.pointee.next == nil)
        pool.give(again)
        pool.give(second)
        #expect(pool.bytesInUse == 0)
    }

    @Test func classesAreNotMixed() {
        var pool = BufferPool()
        pool.give(pool.take(100))
        pool.give(pool.take(10_000))
        let large = pool.take(60_000)
        #expect(large.room == 65_536)
        let medium = pool.take(2017)
        #expect(medium.room == 16_352)
        #expect(pool.bytesInUse == 65_536 + 16_352)
        pool.give(large)
        pool.give(medium)
    }

    /// Beyond what is kept, buffers go back to the system, and the account stays right.
    @Test func moreThanIsKept() {
        var pool = BufferPool()
        let many = (0..<200).map { _ in pool.take(40_000) }
        #expect(Set(many).count == 200)
        #expect(pool.bytesInUse == 200 * 65_536)
        for buffer in many { pool.give(buffer) }
        #expect(pool.bytesInUse == 0)
        let again = (0..<200).map { _ in pool.take(40_000) }
        #expect(Set(again).count == 200)
        for buffer in again { pool.give(buffer) }
    }

    @Test(arguments: 1...UInt64(10))
    func contentsAreOnesOwn(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var pool = BufferPool()
        var held: [(buffer: BufferPointer, mark: UInt8)] = []
        var expectedBytes = 0
        for step in 0..<2000 {
            if Bool.random(using: &random) || held.isEmpty {
                let buffer = pool.take(Int.random(in: 0...80_000, using: &random))
                let mark = UInt8(truncatingIfNeeded: step)
                buffer.append([UInt8](repeating: mark, count: min(buffer.room, 100)), min(buffer.room, 100))
                buffer.base[Int(buffer.pointee.capacity) - 1] = mark
                expectedBytes += Int(buffer.pointee.capacity)
                held.append((buffer, mark))
            } else {
                let (buffer, mark) = held.remove(at: Int.random(in: 0..<held.count, using: &random))
                #expect(buffer.count == 100 && (0..<100).allSatisfy { buffer.readable[$0] == mark })
                #expect(buffer.base[Int(buffer.pointee.capacity) - 1] == mark)
                expectedBytes -= Int(buffer.pointee.capacity)
                pool.give(buffer)
            }
            #expect(pool.bytesInUse == expectedBytes)
        }
        for (buffer, _) in held { pool.give(buffer) }
    }
}
