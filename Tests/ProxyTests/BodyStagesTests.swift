// Stages put together: whatever the blocks, the rooms and the stages, what comes out is what they make of the body, in
// order, once, and none is asked for more than there is room for.

import Reactor
import WeirBalancing
import Testing
import WeirResilience

@testable import Proxy

/// Looks at what passes and leaves it as it is.
private final class Inspect: BodyStage {
    var seen: [UInt8] = []
    var isEnded = false

    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        #expect(!isEnded, "bytes behind the end")
        seen += UnsafeBufferPointer(start: input.bytes, count: input.count)
        if input.mode == .finish { isEnded = true }
        return StageStep(consumed: input.count, produced: input.count, passes: true)
    }
}

/// Each byte becomes three.
private final class Triple: BodyStage {
    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        guard let bytes = input.bytes else { return StageStep() }
        let count = min(input.count, capacity / 3)
        for i in 0..<count { for j in 0..<3 { room[3 * i + j] = bytes[i] &+ UInt8(j) } }
        return StageStep(consumed: count, produced: 3 * count)
    }
    static func all(_ body: [UInt8]) -> [UInt8] { body.flatMap { [$0, $0 &+ 1, $0 &+ 2] } }
}

/// Takes everything in, and gives nothing back before it is asked to; then as much as there is room for.
private final class HoldBack: BodyStage {
    var kept: [UInt8] = []

    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        kept += UnsafeBufferPointer(start: input.bytes, count: input.count)
        guard input.mode != .more else { return StageStep(consumed: input.count) }
        let count = min(kept.count, capacity)
        for i in 0..<count { room[i] = kept[i] }
        kept.removeFirst(count)
        return StageStep(consumed: input.count, produced: count, hasMore: !kept.isEmpty)
    }

    override var flushesWhenIdle: Bool { true }
}

private final class Refuse: BodyStage {
    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        input.count > 0 ? StageStep(failure: StageFailure(reason: .requestMalformed)) : StageStep()
    }
}

/// The trailers become the end of the body.
private final class Append: BodyStage {
    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        if input.count > 0 {
            return StageStep(
                consumed: input.count, produced: input.count, passes: true, hasMore: input.mode == .finish)
        }
        guard input.mode == .finish, let trailers = input.trailers else { return StageStep() }
        room.update(from: trailers.readable, count: trailers.count)
        return StageStep(produced: trailers.count, tookTrailers: true)
    }
}

/// A receiver: rooms one after the other, and what they brought.
private final class Sink {
    var all: [UInt8] = []
    var isLast = false
    var failure: StageFailure?
    var tookTrailers = false
    var pool = BufferPool()
    private let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 100_000)

    deinit { memory.deallocate() }

    func take(
        _ capacity: Int, trailers: BufferPointer? = nil, _ fill: (inout StageRoom, inout BufferPool) -> Void
    ) {
        var room = StageRoom(memory, capacity)
        room.trailers = trailers
        fill(&room, &pool)
        if let direct = room.direct { all += direct }
        #expect(room.count <= capacity)
        all += UnsafeBufferPointer(start: memory, count: room.count)
        #expect(!isLast, "a room behind the last")
        isLast = room.isLast
        failure = failure ?? room.failure
        tookTrailers = tookTrailers || room.tookTrailers
    }
}

@Suite struct BodyStagesTests {
    private static let body = (0..<9_000).map { UInt8(truncatingIfNeeded: $0 &* 7 ^ $0 >> 5) }

    /// Sends a body through, in blocks and rooms of random sizes, as the pumps do.
    private func pass(
        _ stages: BodyStages, _ body: [UInt8], _ random: inout SeededRandom, flushes: Bool = false
    ) -> Sink {
        let sink = Sink()
        var at = 0
        var rounds = 0
        while !sink.isLast && sink.failure == nil && rounds < 10_000 {
            rounds += 1
            let capacity = Int.random(in: 1_024...6_000, using: &random)
            if stages.isBusy {
                sink.take(capacity) { stages.drain(into: &$0, pool: &$1) }
                continue
            }
            let count = min(Int.random(in: 0...3_000, using: &random), body.count - at)
            // Of memory that is somebody else's afterwards.
            let block = UnsafeMutablePointer<UInt8>.allocate(capacity: 3_000)
            for i in 0..<count { block[i] = body[at + i] }
            at += count
            let mode: StageMode =
                at == body.count && Bool.random(using: &random) ? .finish : flushes ? .flush : .more
            sink.take(capacity) { stages.write(count > 0 ? block : nil, count, mode, into: &$0, pool: &$1) }
            block.update(repeating: 0xee, count: 3_000)
            block.deallocate()
        }
        #expect(rounds < 10_000, "stages that never end")
        return sink
    }

    @Test func aStageThatPassesCostsNoCopy() {
        let stages = BodyStages()
        let inspect = Inspect()
        stages.add(inspect)
        Self.body.withUnsafeBufferPointer { body in
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 1_024)
            defer { memory.deallocate() }
            var room = StageRoom(memory, 1_024)
            var pool = BufferPool()
            stages.write(body.baseAddress, body.count, .finish, into: &room, pool: &pool)
            // More than there is room for, and where it was.
            #expect(room.direct?.baseAddress == body.baseAddress && room.direct?.count == body.count)
            #expect(room.count == 0 && room.isLast && stages.isFinished && !stages.isBusy)
        }
        #expect(inspect.seen == Self.body)
    }

    @Test(arguments: 0..<60)
    func anyStagesInAnyOrder(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let stages = BodyStages()
        var expected = Self.body
        var inspects: [(Inspect, [UInt8])] = []
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            switch Int.random(in: 0...2, using: &random) {
            case 0:
                let inspect = Inspect()
                inspects.append((inspect, expected))
                stages.add(inspect)
            case 1:
                stages.add(Triple())
                expected = Triple.all(expected)
            default:
                stages.add(HoldBack())
            }
        }
        let sink = pass(stages, Self.body, &random, flushes: seed % 2 == 0)
        #expect(sink.all == expected, "seed \(seed)")
        for (inspect, expected) in inspects { #expect(inspect.seen == expected && inspect.isEnded) }
        #expect(stages.isFinished && !stages.isBusy && stages.bytesOut == UInt64(expected.count))
    }

    @Test func aFullRoomStopsTheStagesBeforeIt() {
        let stages = BodyStages()
        let inspect = Inspect()
        stages.add(Triple())
        stages.add(inspect)
        let sink = Sink()
        Self.body.withUnsafeBufferPointer { body in
            sink.take(2_048) { stages.write(body.baseAddress, body.count, .more, into: &$0, pool: &$1) }
        }
        #expect(stages.isBusy && sink.all.count <= 2_048)
        while stages.isBusy { sink.take(2_048) { stages.drain(into: &$0, pool: &$1) } }
        #expect(sink.all == Triple.all(Self.body) && inspect.seen == sink.all)
    }

    @Test func aFlushBringsOutWhatIsHeldBack() {
        let stages = BodyStages()
        stages.add(HoldBack())
        stages.add(Triple())
        #expect(stages.flushesWhenIdle)
        let sink = Sink()
        Self.body[..<300].withUnsafeBufferPointer { body in
            sink.take(4_096) { stages.write(body.baseAddress, body.count, .more, into: &$0, pool: &$1) }
            #expect(sink.all.isEmpty && !stages.isBusy)
            sink.take(4_096) { stages.flush(into: &$0, pool: &$1) }
        }
        #expect(sink.all == Triple.all(Array(Self.body[..<300])) && !sink.isLast)
    }

    @Test func aFailureEndsIt() {
        let stages = BodyStages()
        let behind = Inspect()
        stages.add(Triple())
        stages.add(Refuse())
        stages.add(behind)
        var random = SeededRandom(seed: 1)
        let sink = pass(stages, Self.body, &random)
        #expect(sink.failure?.reason == .requestMalformed && sink.all.isEmpty && behind.seen.isEmpty)
    }

    @Test func trailersMayBecomeTheBodysEnd() {
        let stages = BodyStages()
        stages.add(Append())
        stages.add(Triple())
        let sink = Sink()
        let trailers = sink.pool.take(8)
        trailers.append([1, 2, 3], 3)
        Self.body[..<100].withUnsafeBufferPointer { body in
            sink.take(4_096, trailers: trailers) {
                stages.write(body.baseAddress, body.count, .finish, into: &$0, pool: &$1)
            }
        }
        #expect(sink.all == Triple.all(Array(Self.body[..<100]) + [1, 2, 3]))
        #expect(sink.isLast && sink.tookTrailers)
        sink.pool.give(trailers)
    }

    // MARK: what is held

    @Test func whatIsHeldIsWhatTheStagesBeforeItMade() {
        let stages = BodyStages()
        stages.add(Triple(), beforeHold: true)
        let behind = Inspect()
        stages.add(behind)
        #expect(stages.heldAt == 1 && !stages.holdsAll && !stages.isHeldWhole)
        let sink = Sink()
        Self.body[..<200].withUnsafeBufferPointer { body in
            sink.take(4_096) {
                $0.takesDirect = false
                stages.hold(body.baseAddress, body.count, .finish, into: &$0, pool: &$1)
            }
        }
        let held = Triple.all(Array(Self.body[..<200]))
        #expect(sink.all == held && stages.isHeldWhole && behind.seen.isEmpty && !stages.isFinished)
    }

    @Test func eachAttemptSendsWhatIsHeldAndWhatFollows() {
        let stages = BodyStages()
        stages.add(Triple())
        let hold = HoldBack()
        stages.add(hold)
        let sink = Sink()
        let held = sink.pool.take(500)
        held.append(Self.body, 500)
        for attempt in 1...3 {
            sink.all = []
            var begun = 0
            let isBegun = stages.restart(held, isWhole: false, pool: &sink.pool) {
                begun += 1
                ($0 as? HoldBack)?.kept = []
                return true
            }
            #expect(isBegun && begun == 2 && stages.isBusy)
            while stages.isBusy { sink.take(4_096) { stages.drain(into: &$0, pool: &$1) } }
            // Cut short, but for the last.
            guard attempt == 3 else { continue }
            Self.body[500..<700].withUnsafeBufferPointer { body in
                sink.take(4_096) { stages.write(body.baseAddress, body.count, .finish, into: &$0, pool: &$1) }
            }
        }
        #expect(sink.all == Triple.all(Array(Self.body[..<700])) && sink.isLast)
        #expect(held.count == 500, "what is held stays as it is")
        sink.pool.give(held)
    }

    /// What is held may be empty, and is given back when the first byte that is not held comes; somebody else gets the
    /// buffer then.
    @Test func anEmptyHeldBodyIsForgotten() {
        let stages = BodyStages()
        stages.add(Triple())
        let sink = Sink()
        let held = sink.pool.take(500)
        #expect(stages.restart(held, isWhole: false, pool: &sink.pool) { _ in true })
        sink.pool.give(held)
        let others = sink.pool.take(500)
        others.append(Self.body, 300)
        #expect(!stages.isBusy)
        Self.body[500..<700].withUnsafeBufferPointer { body in
            sink.take(4_096) { stages.write(body.baseAddress, body.count, .finish, into: &$0, pool: &$1) }
        }
        #expect(sink.all == Triple.all(Array(Self.body[500..<700])) && sink.isLast)
        sink.pool.give(others)
    }

    @Test func aStageThatCannotBeginSaysSo() {
        let stages = BodyStages()
        stages.add(Triple())
        var pool = BufferPool()
        #expect(!stages.restart(nil, isWhole: true, pool: &pool) { _ in false })
    }
}
