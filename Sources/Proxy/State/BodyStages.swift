// Stages: what happens to the bytes of a body on their way, one after the other, in one direction of an exchange.
//
//     source ──▶ stage ──▶ stage ──▶ sink
//     connection, file,    decode, bridge,        framing and transport
//     what is held         encode (inspect, tee)  of the receiver
//
// A stage is a class in a file of its own: bytes in, bytes out, as many as there is room for. It knows neither who is
// before nor behind it, nor framing, nor transports. What it keeps is its own typed state, made when the stage is
// added to an exchange (Bodies/Composition.swift) and gone with it. A body without stages never comes here.
//
// What a stage does not take yet waits in front of it, in pooled buffers: at most one block of the source, or what one
// call of the stage before has made of it. So however much a few bytes become, no more is made of them than the
// receiver takes, and whoever drives the stages stops asking the source while they have something to do (`isBusy`).

import Reactor
import WeirResilience

/// Why a body cannot go on.
struct StageFailure: BitwiseCopyable {
    let reason: Reason
    var detail = Detail.none

    static func limit(_ limit: InternalLimit) -> StageFailure {
        let failure = Failure.limit(limit, phase: .respond)
        return StageFailure(reason: failure.reason, detail: failure.detail)
    }
}

/// What follows the bytes a stage is given.
enum StageMode: UInt8 {
    /// More of the body, some time.
    case more
    /// Nothing at the moment: what a stage holds back of a live body goes on.
    case flush
    /// The body's end.
    case finish
}

struct StageInput {
    /// nil: none.
    var bytes: UnsafePointer<UInt8>?
    var count: Int
    var mode: StageMode
    /// With `.finish`: what came behind the body, as lines.
    var trailers: BufferPointer?
}

struct StageStep {
    /// Bytes of the input that are used up.
    var consumed = 0
    /// Bytes written to the room or, with `passes`, of the input's beginning that go on as they are.
    var produced = 0
    var passes = false
    /// Not done with the mode or with what was consumed: to be called again, with what is left and more room.
    var hasMore = false
    /// The trailers have become part of the body.
    var tookTrailers = false
    var failure: StageFailure?
}

class BodyStage {
    /// Takes bytes and writes what becomes of them: as many as it has room for, which is `StageRoom.leastBytes` or more.
    func write(_ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> StageStep {
        StageStep(consumed: input.count, produced: input.count, passes: true)
    }

    /// The room it needs for so many bytes, where no more than those come of them.
    func bytesOut(for count: Int) -> Int { count }

    /// Whether what it holds back goes on when the source has nothing more at the moment.
    var flushesWhenIdle: Bool { false }

    /// Begins anew, for another attempt with the same body; what it did before does not count. False: no memory.
    func restart(_ worker: Worker) -> Bool { true }

    /// What it did does not count: gives back what it has, without a word. It begins again, or never.
    func forget() {}

    /// The body is over, or is not wanted any more: gives back what it has and says what it did. May come more than once.
    func end(_ worker: Worker) {}
}

/// Where the last stage's bytes collect until they are sent.
struct StageRoom {
    /// With less left it counts as full.
    var leastBytes = 1_024
    let base: UnsafeMutablePointer<UInt8>
    let capacity: Int
    var count = 0
    /// Before those in the room: bytes of the source's block that go as they are and need no copy.
    var direct: UnsafeBufferPointer<UInt8>?
    var takesDirect = true
    /// The trailers that came with the body's end.
    var trailers: BufferPointer?
    var tookTrailers = false
    /// The body is whole.
    var isLast = false
    /// Something was taken or made.
    var isMoved = false
    var failure: StageFailure?

    init(_ base: UnsafeMutablePointer<UInt8>, _ capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    fileprivate var left: Int { capacity - count }
}

/// The stages of one direction, first to last, and what waits between them.
final class BodyStages {
    private struct Slot {
        let stage: BodyStage
        /// What the stage has not taken yet, from `taken` on.
        var waiting: BufferPointer?
        var taken = 0
        /// `waiting` is the stage's; otherwise somebody else's, who keeps it until it is taken.
        var isOwned = true
        /// It has not said all it has to say.
        var hasMore = false
        /// What it has still to be told.
        var due = StageMode.more
        var isFinished = false

        var left: Int { (waiting?.count ?? 0) - taken }
        var isBusy: Bool { left > 0 || hasMore || due != .more }
    }

    private var slots: [Slot] = []
    /// Of a request: so many stages come before what is held of it, the others after. What comes after is begun anew
    /// with each attempt.
    private(set) var heldAt = 0

    /// What has come out of the last of them, in bytes.
    private(set) var bytesOut: UInt64 = 0

    /// There is something to do without another byte of the source.
    var isBusy: Bool { slots.contains { $0.isBusy } }
    /// All of the body has gone through.
    var isFinished: Bool { slots.last?.isFinished ?? true }
    /// So has all of it through those before what is held.
    var isHeldWhole: Bool { heldAt == 0 || slots[heldAt - 1].isFinished }
    var holdsAll: Bool { heldAt == slots.count }
    /// The room those before what is held need for so many bytes.
    func bytesHeld(for count: Int) -> Int {
        slots[..<heldAt].reduce(count) { max($0, $1.stage.bytesOut(for: $0)) }
    }
    var flushesWhenIdle: Bool { slots.contains { $0.stage.flushesWhenIdle } }

    /// Puts a stage behind those there are; beforeHold: what is held of a request is what it makes of it.
    func add(_ stage: BodyStage, beforeHold: Bool = false) {
        slots.append(Slot(stage: stage))
        if beforeHold {
            precondition(heldAt == slots.count - 1, "stages before what is held come first")
            heldAt += 1
        }
    }

    /// All stages have done their part before an endpoint is chosen: what is held is what came out of them.
    func holdAll() { heldAt = slots.count }

    // MARK: bytes

    /// A run of the body, whose bytes are valid until the room is sent. What the stages do not take is kept.
    func write(
        _ bytes: UnsafePointer<UInt8>?, _ count: Int, _ mode: StageMode, into room: inout StageRoom,
        pool: inout BufferPool
    ) {
        give(0, bytes, count, mode, isStable: true, until: slots.count, &room, &pool)
    }

    /// The same, through those before what is held.
    func hold(
        _ bytes: UnsafePointer<UInt8>?, _ count: Int, _ mode: StageMode, into room: inout StageRoom,
        pool: inout BufferPool
    ) {
        give(0, bytes, count, mode, isStable: true, until: heldAt, &room, &pool)
    }

    /// Goes on with what waits, as far as there is room.
    func drain(into room: inout StageRoom, pool: inout BufferPool) {
        for i in slots.indices.reversed() where slots[i].isBusy && room.failure == nil {
            let mode = slots[i].due
            let left = slots[i].left
            let bytes = left > 0 ? slots[i].waiting.map { UnsafePointer($0.readable + slots[i].taken) } : nil
            slots[i].due = .more
            let taken = run(i, bytes, left, mode, isStable: false, until: slots.count, &room, &pool)
            slots[i].taken += taken
            if slots[i].left == 0 { dropWaiting(i, &pool) }
        }
    }

    /// What a live body's stages hold back goes on.
    func flush(into room: inout StageRoom, pool: inout BufferPool) {
        give(0, nil, 0, .flush, isStable: false, until: slots.count, &room, &pool)
    }

    /// Begins an attempt: those behind what is held start afresh, with that. False: no memory.
    ///
    /// - Parameters:
    ///   - isWhole: nothing more follows it.
    ///   - begin: lets a stage begin anew.
    func restart(
        _ held: BufferPointer?, isWhole: Bool, pool: inout BufferPool, _ begin: (BodyStage) -> Bool
    ) -> Bool {
        for i in heldAt..<slots.count {
            dropWaiting(i, &pool)
            slots[i].hasMore = false
            slots[i].due = .more
            slots[i].isFinished = false
            if !begin(slots[i].stage) { return false }
        }
        guard heldAt < slots.count else { return true }
        bytesOut = 0
        // An empty one has nothing to wait for, and may be given back before anybody looks at it.
        let waiting = held.flatMap { $0.count > 0 ? $0 : nil }
        slots[heldAt].waiting = waiting
        slots[heldAt].isOwned = waiting == nil
        if isWhole { slots[heldAt].due = .finish }
        return true
    }

    /// What those behind what is held did was a trial; they begin again with an attempt.
    func forget(pool: inout BufferPool, _ forget: (BodyStage) -> Void) {
        for i in heldAt..<slots.count {
            dropWaiting(i, &pool)
            slots[i].hasMore = false
            slots[i].due = .more
            forget(slots[i].stage)
        }
    }

    /// Ends all stages; those behind what is held may begin again.
    func end(pool: inout BufferPool, _ end: (BodyStage) -> Void) {
        for i in slots.indices {
            dropWaiting(i, &pool)
            end(slots[i].stage)
        }
    }

    // MARK: one stage

    /// Lets a stage have bytes, behind what waits for it.
    private func give(
        _ i: Int, _ bytes: UnsafePointer<UInt8>?, _ count: Int, _ mode: StageMode, isStable: Bool,
        until: Int, _ room: inout StageRoom, _ pool: inout BufferPool
    ) {
        var taken = 0
        if slots[i].isBusy {
            if mode.rawValue > slots[i].due.rawValue { slots[i].due = mode }
        } else {
            taken = run(i, bytes, count, mode, isStable: isStable, until: until, &room, &pool)
        }
        if let bytes, taken < count { keep(i, bytes + taken, count - taken, &pool) }
    }

    /// Calls a stage until its input is used up, or there is no room for what it makes. Answers the bytes it took; a mode
    /// it could not be told in full is due.
    private func run(
        _ i: Int, _ bytes: UnsafePointer<UInt8>?, _ count: Int, _ mode: StageMode, isStable: Bool,
        until: Int, _ room: inout StageRoom, _ pool: inout BufferPool
    ) -> Int {
        let stage = slots[i].stage
        let isLast = i + 1 == until
        var between: BufferPointer?
        defer { if let between { pool.give(between) } }
        var taken = 0
        if mode == .finish && slots[i].isFinished { return count }
        while true {
            var given = count - taken
            let base: UnsafeMutablePointer<UInt8>
            let capacity: Int
            let takesDirect = isLast && isStable && room.takesDirect && room.count == 0 && room.direct == nil
            if isLast {
                base = room.base + room.count
                capacity = room.left
                if capacity < room.leastBytes { break }
                // What passes has to fit, unless it need not be copied.
                if !takesDirect { given = min(given, capacity) }
            } else {
                if slots[i + 1].isBusy { break }
                let buffer = between ?? pool.take(Self.betweenBytes)
                between = buffer
                base = buffer.base
                capacity = Self.betweenBytes
            }
            let isAll = given == count - taken
            let input = bytes.map { $0 + taken }
            let step = stage.write(
                StageInput(
                    bytes: given > 0 ? input : nil, count: given, mode: isAll ? mode : .more,
                    trailers: room.trailers),
                into: base, capacity)
            if let failure = step.failure {
                room.failure = failure
                return taken
            }
            if step.tookTrailers {
                room.tookTrailers = true
                room.trailers = nil
            }
            taken += step.consumed
            slots[i].hasMore = step.hasMore
            let isMoved = step.consumed > 0 || step.produced > 0
            if isMoved { room.isMoved = true }
            let isTold = isAll && step.consumed == given && !step.hasMore
            if isTold && mode == .finish { slots[i].isFinished = true }
            let from = step.passes ? input : UnsafePointer(base)
            if isLast {
                bytesOut += UInt64(step.produced)
                if !step.passes {
                    room.count += step.produced
                } else if takesDirect {
                    room.direct = UnsafeBufferPointer(start: from, count: step.produced)
                } else if let from {
                    base.update(from: from, count: step.produced)
                    room.count += step.produced
                }
                if isTold && mode == .finish { room.isLast = true }
            } else if step.produced > 0 || (isTold && mode != .more) {
                give(
                    i + 1, from, step.produced, isTold ? mode : .more, isStable: isStable && step.passes,
                    until: until, &room, &pool)
                if room.failure != nil { return taken }
            }
            if isTold { return taken }
            if !isMoved { break }
        }
        if mode != .more { slots[i].due = mode }
        return taken
    }

    private static let betweenBytes = 64 << 10

    // MARK: what waits

    private func keep(_ i: Int, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ pool: inout BufferPool) {
        if let waiting = slots[i].waiting, slots[i].isOwned, waiting.room >= count {
            waiting.append(bytes, count)
            return
        }
        let left = slots[i].left
        let grown = pool.take(left + count)
        if let waiting = slots[i].waiting { grown.append(waiting.readable + slots[i].taken, left) }
        grown.append(bytes, count)
        dropWaiting(i, &pool)
        slots[i].waiting = grown
    }

    private func dropWaiting(_ i: Int, _ pool: inout BufferPool) {
        if slots[i].isOwned, let waiting = slots[i].waiting { pool.give(waiting) }
        slots[i].waiting = nil
        slots[i].taken = 0
        slots[i].isOwned = true
    }
}
