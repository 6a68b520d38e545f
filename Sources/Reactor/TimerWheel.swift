// Deadlines for many connections, nearly all of which are moved or dropped before they are due.
//
// A hierarchical timing wheel (Varghese & Lauck, 1987) with lazy filing: moving a deadline later, or
// dropping it, only writes the node; when the slot where it was filed comes round, it is filed again
// or forgotten. So a request that sets three deadlines in turn touches no list.

/// Names a timer; kept by its owner. -1 is none.
public typealias TimerID = Int32

/// A set of deadlines in milliseconds, each with the token to hand back when it is due.
/// Never early; late by at most `tickMs`. Owned by one thread.
public struct TimerWheel: ~Copyable {
    /// Resolution in milliseconds.
    public static let tickMs: UInt64 = 8

    private struct Node {
        var token: UInt64
        var deadlineMs: UInt64
        /// The tick at which the slot it is filed in will be looked at: the low half. A filed one is ahead of the wheel, by
        /// less than its 64⁴ ticks.
        var filedTick: UInt32
        var next: Int32
        var previous: Int32
        /// List it is in: slot number, `expiredList`, or -1.
        var list: Int32
    }

    private static let levels = 4
    private static let slotBits: UInt64 = 6
    private static let slots = 64
    private static let expiredList = Int32(levels * slots)

    private var nodes: [Node] = []
    private var free: [Int32] = []
    private var heads = [Int32](repeating: -1, count: levels * slots + 1)
    private var occupied = [UInt64](repeating: 0, count: levels)
    private var tick: UInt64

    public init(nowMs: UInt64) { tick = nowMs / Self.tickMs }

    /// How many timers exist, armed or not.
    public var count: Int { nodes.count - free.count }

    /// A new, unarmed timer.
    public mutating func create(_ token: Token) -> TimerID {
        let node = Node(token: token.raw, deadlineMs: .max, filedTick: 0, next: -1, previous: -1, list: -1)
        if let id = free.popLast() {
            nodes[Int(id)] = node
            return id
        }
        nodes.append(node)
        return TimerID(nodes.count - 1)
    }

    /// Forgets a timer; its id may be given out again.
    public mutating func remove(_ id: TimerID) {
        if nodes[Int(id)].list >= 0 { unlink(id) }
        free.append(id)
    }

    /// Sets or moves the deadline. Moving it later is one store.
    public mutating func arm(_ id: TimerID, atMs deadlineMs: UInt64) {
        nodes[Int(id)].deadlineMs = deadlineMs
        let list = nodes[Int(id)].list
        if list >= 0 && list != Self.expiredList {
            let ahead = nodes[Int(id)].filedTick &- UInt32(truncatingIfNeeded: tick)
            if (tick &+ UInt64(ahead)) &* Self.tickMs <= deadlineMs { return }
            unlink(id)
        } else if list == Self.expiredList {
            unlink(id)
        }
        file(id)
    }

    /// Drops the deadline; the timer stays.
    public mutating func disarm(_ id: TimerID) { nodes[Int(id)].deadlineMs = .max }

    /// The token of one timer that is due, nil when there is none (left). Call until nil.
    public mutating func nextExpired(nowMs: UInt64) -> Token? {
        advance(to: nowMs / Self.tickMs)
        while heads[Int(Self.expiredList)] >= 0 {
            let id = heads[Int(Self.expiredList)]
            unlink(id)
            let deadline = nodes[Int(id)].deadlineMs
            if deadline <= nowMs {
                nodes[Int(id)].deadlineMs = .max
                return Token(raw: nodes[Int(id)].token)
            }
            if deadline != .max { file(id) }
        }
        return nil
    }

    /// How long the loop may sleep: milliseconds until a slot must be looked at, at most limitMs.
    public func timeoutMs(nowMs: UInt64, limitMs: Int32) -> Int32 {
        if heads[Int(Self.expiredList)] >= 0 { return 0 }
        let next = nextOccupiedTick()
        guard next != .max else { return limitMs }
        let dueMs = next * Self.tickMs
        return dueMs <= nowMs ? 0 : Int32(min(UInt64(limitMs), dueMs - nowMs))
    }

    /// The first tick after this one at which some slot with timers comes round; .max when there is none.
    private func nextOccupiedTick() -> UInt64 {
        var best = UInt64.max
        for level in 0..<Self.levels where occupied[level] != 0 {
            let shift = UInt64(level) * Self.slotBits
            let current = tick >> shift
            let position = current & 63
            let rotated =
                occupied[level] >> position | (position == 0 ? 0 : occupied[level] << (64 - position))
            // Slot `position` itself was passed when the wheel reached it: it is a whole turn away.
            let ahead = rotated & ~1
            let distance = ahead != 0 ? UInt64(ahead.trailingZeroBitCount) : 64
            best = min(best, (current + distance) << shift)
        }
        return best
    }

    private mutating func advance(to target: UInt64) {
        while tick < target {
            // Empty slots are jumped over: a long gap costs as much as a short one.
            let next = nextOccupiedTick()
            if next > target {
                tick = target
                return
            }
            tick = next
            var level = 0
            repeat {
                let slot = Int(tick >> (UInt64(level) * Self.slotBits) & 63)
                if occupied[level] & (1 << UInt64(slot)) != 0 { expire(level, slot) }
                level += 1
            } while level < Self.levels && tick & ((1 << (UInt64(level) * Self.slotBits)) - 1) == 0
        }
    }

    private mutating func expire(_ level: Int, _ slot: Int) {
        let list = level * Self.slots + slot
        while heads[list] >= 0 {
            let id = heads[list]
            unlink(id)
            let deadline = nodes[Int(id)].deadlineMs
            if deadline == .max { continue }
            if deadline <= tick &* Self.tickMs {
                link(id, Self.expiredList)
            } else {
                file(id)
            }
        }
    }

    private mutating func file(_ id: TimerID) {
        // Rounded up, and at least the next tick, so that no timer is early or filed behind the hand.
        // (Not `+ tickMs - 1`: deadlines reach to the end of UInt64, "never" being the last.)
        let deadline = nodes[Int(id)].deadlineMs
        let wanted = max(deadline / Self.tickMs + (deadline % Self.tickMs == 0 ? 0 : 1), tick + 1)
        let distance = wanted - tick
        var level = 0
        while level < Self.levels - 1, distance >> (UInt64(level + 1) * Self.slotBits) != 0 { level += 1 }
        let shift = UInt64(level) * Self.slotBits
        let furthest = (tick >> shift) + 63
        let position = min(wanted >> shift, furthest)
        nodes[Int(id)].filedTick = UInt32(truncatingIfNeeded: position << shift)
        link(id, Int32(level * Self.slots + Int(position & 63)))
    }

    private mutating func link(_ id: TimerID, _ list: Int32) {
        let head = heads[Int(list)]
        nodes[Int(id)].next = head
        nodes[Int(id)].previous = -1
        nodes[Int(id)].list = list
        if head >= 0 { nodes[Int(head)].previous = id }
        heads[Int(list)] = id
        if list != Self.expiredList {
            occupied[Int(list) / Self.slots] |= 1 << UInt64(Int(list) % Self.slots)
        }
    }

    private mutating func unlink(_ id: TimerID) {
        let node = nodes[Int(id)]
        if node.next >= 0 { nodes[Int(node.next)].previous = node.previous }
        if node.previous >= 0 {
            nodes[Int(node.previous)].next = node.next
        } else {
            heads[Int(node.list)] = node.next
            if node.next < 0, node.list != Self.expiredList {
                occupied[Int(node.list) / Self.slots] &= ~(1 << UInt64(Int(node.list) % Self.slots))
            }
        }
        nodes[Int(id)].list = -1
    }
}
