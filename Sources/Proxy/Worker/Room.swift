// What the loop asks of a room that has events: one table of entries for each.
//
// A protocol of listeners is a room: its folder, its entries, and a line in Loop/Rooms.swift. Entries are methods of a
// class (a call through a vtable costs 20 instructions, one through a stored closure 83); a room overrides those it
// has a use for. Each worker has a table, and so rooms, of its own: what only a room works on can be the room's; what
// rooms below see of it is the worker's, and handed over.

import Reactor

class Room {
    /// Kinds of tokens that are this room's, each at most `RoomTable.kindsMax - 1` and no other room's.
    var kinds: [UInt8] { [] }

    /// A descriptor of the room's is ready; none of the readiness: its turn goes on.
    func ready(_ worker: Worker, _ token: Token, _ readiness: Readiness) {}

    /// A timer of the room's has expired.
    func expired(_ worker: Worker, _ token: Token) {}

    /// Whether connections of this listener are the room's.
    func serves(_ plan: ListenerPlan) -> Bool { false }

    /// A connection has come, counted and within the listener's bound.
    func accept(
        _ worker: Worker, _ socket: Socket, peer: IPAddress, port: UInt16, _ plan: ListenerPlan
    ) {}

    /// Whether `turnEnds` is called at all.
    var hasTurns: Bool { false }

    /// The turn ends: what it has collected leaves.
    func turnEnds(_ worker: Worker) {}

    /// A snapshot is about to be adopted.
    func prepare(_ worker: Worker, for new: Snapshot) {}

    /// These listeners have gone with the last snapshot: their connections may bring no more.
    func retire(_ worker: Worker, listeners: Set<Int>) {}

    /// A snapshot was adopted, and its listeners listen.
    func follow(_ worker: Worker) {}

    /// Closes what is idle on these listeners.
    func closeIdle(_ worker: Worker, listeners: Set<Int>) {}

    /// Adds the listeners that still have connections of this room's.
    func collectListeners(_ worker: Worker, into used: inout Set<Int>) {}

    /// No new work from here on.
    func beginDrain(_ worker: Worker) {}

    /// The next step of a drain that has lasted this long.
    func continueDrain(_ worker: Worker, elapsedMs: UInt64) {}

    /// Nothing is under way.
    func isEmpty(_ worker: Worker) -> Bool { true }

    /// Ends everything, now.
    func closeEverything(_ worker: Worker) {}

    /// Frees the slot of what was closed in this turn.
    func bury(_ worker: Worker, _ token: Token) {}
}

/// Of the kinds no room claims. That there is a token of one is the programmer's mistake.
final class Nobody: Room {
    override func ready(_ worker: Worker, _ token: Token, _ readiness: Readiness) { trap(token) }
    override func expired(_ worker: Worker, _ token: Token) { trap(token) }
    override func bury(_ worker: Worker, _ token: Token) { trap(token) }

    private func trap(_ token: Token) -> Never {
        preconditionFailure("token kind \(token.kind) has no room")
    }
}

/// Rooms by the kinds of their tokens.
final class RoomTable: @unchecked Sendable {
    static let kindsMax = 64
    let all: [Room]
    /// By kind, for the worker to keep: its loop counts no references.
    let byKind: UnsafeMutablePointer<Unmanaged<Room>>
    private let nobody = Nobody()
    let withTurns: UnsafeMutablePointer<Unmanaged<Room>>
    let withTurnsCount: Int

    /// Traps when two rooms claim a kind, or one is beyond the bound: it is the programmer's mistake, and shows at
    /// the first start.
    init(_ rooms: [Room]) {
        all = rooms
        byKind = .allocate(capacity: Self.kindsMax)
        byKind.initialize(repeating: .passUnretained(nobody), count: Self.kindsMax)
        let turning = rooms.filter(\.hasTurns)
        withTurns = .allocate(capacity: max(1, turning.count))
        withTurnsCount = turning.count
        for (i, room) in turning.enumerated() { (withTurns + i).initialize(to: .passUnretained(room)) }
        var taken: Set<UInt8> = []
        for room in rooms {
            for kind in room.kinds {
                precondition(Int(kind) < Self.kindsMax, "token kind \(kind) is beyond the bound")
                precondition(taken.insert(kind).inserted, "token kind \(kind) has two rooms")
                byKind[Int(kind)] = .passUnretained(room)
            }
        }
    }

    deinit {
        byKind.deallocate()
        withTurns.deallocate()
    }
}

extension Worker {
    /// Calls the room a token belongs to. Its kind has no more values than the table.
    @inline(__always)
    func withRoom(of token: Token, _ body: (Room) -> Void) {
        roomsByKind[Int(token.kind)]._withUnsafeGuaranteedRef(body)
    }

    /// Calls those that have something to do once a turn.
    @inline(__always)
    func eachRoomWithTurns(_ body: (Room) -> Void) {
        for i in 0..<roomsWithTurnsCount { roomsWithTurns[i]._withUnsafeGuaranteedRef(body) }
    }
}
