// TimerWheel against a model that keeps nothing but each timer's deadline; time is a variable.

import WeirBalancing
import Testing

@testable import Reactor

/// What the wheel promises, in the simplest form: a dictionary of deadlines.
private struct Model {
    struct Timer {
        var deadlineMs: UInt64?
        /// When the deadline was last set: one in the past is due at the next tick after that.
        var armedMs: UInt64 = 0
    }

    var timers: [TimerID: Timer] = [:]
    var tokens: [UInt64: TimerID] = [:]

    /// The timers that must have been handed out by now.
    func overdue(nowMs: UInt64) -> [TimerID] {
        timers.compactMap { id, timer in
            guard let deadline = timer.deadlineMs else { return nil }
            return max(deadline, timer.armedMs) + TimerWheel.tickMs <= nowMs ? id : nil
        }
    }

    var soonestMs: UInt64? { timers.values.compactMap(\.deadlineMs).min() }
}

private func token(_ number: UInt64) -> Token { Token(raw: number) }

/// All tokens due at nowMs.
private func drain(_ wheel: inout TimerWheel, _ nowMs: UInt64) -> [UInt64] {
    var found: [UInt64] = []
    while let token = wheel.nextExpired(nowMs: nowMs) { found.append(token.raw) }
    return found
}

private func takeOne(_ wheel: inout TimerWheel, _ nowMs: UInt64) -> Bool {
    guard wheel.nextExpired(nowMs: nowMs) != nil else { return false }
    return true
}

@Suite struct TimerWheelTests {
    /// The wheel's whole span: 64 to the power of its levels, in milliseconds.
    private static let spanMs: UInt64 = (1 << 24) * TimerWheel.tickMs

    /// Deadlines and gaps of every magnitude, so that each level and each seam between levels is met.
    private static func magnitude(_ random: inout SeededRandom, upToBits: Int) -> UInt64 {
        let bits = Int.random(in: 0...upToBits, using: &random)
        let value = UInt64.random(in: 0...(1 << UInt64(bits)), using: &random)
        // Exactly at, and one beside, a power of two: where slots and levels begin.
        switch UInt64.random(in: 0..<4, using: &random) {
        case 0: return 1 << UInt64(bits)
        case 1: return (1 << UInt64(bits)) - 1
        default: return value
        }
    }

    @Test(arguments: 1...UInt64(40))
    func againstModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        // From just before the seams of the wheel's turn, and from anywhere.
        var nowMs =
            seed % 2 == 0
            ? UInt64.random(in: 0...(1 << 40), using: &random)
            : (UInt64.random(in: 1...1000, using: &random) << 27) - UInt64.random(in: 0...64, using: &random)
        var wheel = TimerWheel(nowMs: nowMs)
        var model = Model()
        var nextToken: UInt64 = 1

        for _ in 0..<1500 {
            let known = model.timers.keys.sorted()
            let chosen = known.isEmpty ? nil : known[Int.random(in: 0..<known.count, using: &random)]
            switch UInt64.random(in: 0..<100, using: &random) {
            case 0..<15:
                let id = wheel.create(token(nextToken))
                #expect(model.timers[id] == nil, "an id in use was given out again")
                model.timers[id] = Model.Timer()
                model.tokens[nextToken] = id
                nextToken += 1
            case 15..<60:
                guard let id = chosen else { break }
                // Now and then in the past: a deadline may pass between its computing and its arming.
                let back = min(nowMs, Self.magnitude(&random, upToBits: 6))
                let isPast = UInt64.random(in: 0..<10, using: &random) == 0
                let deadline = isPast ? nowMs - back : nowMs + Self.magnitude(&random, upToBits: 30)
                wheel.arm(id, atMs: deadline)
                model.timers[id] = Model.Timer(deadlineMs: deadline, armedMs: nowMs)
            case 60..<65:
                guard let id = chosen else { break }
                wheel.disarm(id)
                model.timers[id]?.deadlineMs = nil
            case 65..<70:
                guard let id = chosen else { break }
                wheel.remove(id)
                model.timers[id] = nil
                model.tokens = model.tokens.filter { $0.value != id }
            default:
                // Mostly what the loop does: sleep at most as long as the wheel says.
                let allowed = UInt64(wheel.timeoutMs(nowMs: nowMs, limitMs: 60_000))
                if let soonest = model.soonestMs {
                    let latest = max(soonest, nowMs) + TimerWheel.tickMs
                    #expect(nowMs + allowed <= latest, "overslept: \(nowMs) + \(allowed) > \(latest)")
                }
                switch UInt64.random(in: 0..<4, using: &random) {
                case 0: nowMs += UInt64.random(in: 0...allowed, using: &random)
                case 1: nowMs += Self.magnitude(&random, upToBits: 30)
                default: nowMs += allowed
                }
                for raw in drain(&wheel, nowMs) {
                    guard let id = model.tokens[raw], let deadline = model.timers[id]?.deadlineMs else {
                        Issue.record("token \(raw) of a timer that is not armed")
                        continue
                    }
                    #expect(deadline <= nowMs, "early: due \(deadline), now \(nowMs)")
                    model.timers[id]?.deadlineMs = nil
                }
                #expect(model.overdue(nowMs: nowMs).isEmpty, "late at \(nowMs)")
                #expect(wheel.timeoutMs(nowMs: nowMs, limitMs: 60_000) > 0, "would spin")
            }
            #expect(wheel.count == model.timers.count)
        }
    }

    @Test func fullHeadroomOfDeadlines() {
        // Arming "never" by an overflowing or saturated sum must not trap.
        for deadline in UInt64.max - 20...UInt64.max {
            var wheel = TimerWheel(nowMs: 1000)
            wheel.arm(wheel.create(token(1)), atMs: deadline)
            #expect(drain(&wheel, 1_000_000_000).isEmpty)
        }
    }

    @Test func neverEarlyAndLateByATickAtMost() {
        for deadline in UInt64(1000)...1100 {
            var wheel = TimerWheel(nowMs: 999)
            wheel.arm(wheel.create(token(1)), atMs: deadline)
            var firedMs: UInt64?
            for nowMs in UInt64(999)...1200 where !drain(&wheel, nowMs).isEmpty {
                #expect(firedMs == nil, "fired twice")
                firedMs = nowMs
            }
            #expect(firedMs.map { $0 >= deadline && $0 <= deadline + TimerWheel.tickMs } == true)
        }
    }

    @Test func rearmedLaterFiresOnceAtTheNewDeadline() {
        var wheel = TimerWheel(nowMs: 0)
        let id = wheel.create(token(7))
        wheel.arm(id, atMs: 100)
        wheel.arm(id, atMs: 50_000)
        #expect(drain(&wheel, 49_999).isEmpty)
        #expect(drain(&wheel, 50_008) == [7])
        #expect(drain(&wheel, 10_000_000).isEmpty)
    }

    @Test func rearmedEarlierFiresAtTheNewDeadline() {
        var wheel = TimerWheel(nowMs: 0)
        let id = wheel.create(token(7))
        wheel.arm(id, atMs: 5_000_000)
        wheel.arm(id, atMs: 80)
        #expect(wheel.timeoutMs(nowMs: 0, limitMs: 60_000) == 80)
        #expect(drain(&wheel, 79).isEmpty)
        #expect(drain(&wheel, 80) == [7])
        #expect(drain(&wheel, 6_000_000).isEmpty)
    }

    @Test func disarmedIsSilentAndMayBeArmedAgain() {
        var wheel = TimerWheel(nowMs: 0)
        let id = wheel.create(token(7))
        wheel.arm(id, atMs: 80)
        wheel.disarm(id)
        #expect(drain(&wheel, 1000).isEmpty)
        #expect(wheel.timeoutMs(nowMs: 1000, limitMs: 500) == 500)
        wheel.arm(id, atMs: 1080)
        #expect(drain(&wheel, 1080) == [7])
    }

    /// A deadline that fires one timer may close the connections of others that are due in the same turn.
    @Test func removedWhileTheExpiredAreWalked() {
        for victim in 0..<8 {
            var wheel = TimerWheel(nowMs: 0)
            let ids = (0..<8).map { wheel.create(token(UInt64($0))) }
            for id in ids { wheel.arm(id, atMs: 80) }
            let first = wheel.nextExpired(nowMs: 100)?.raw
            wheel.remove(ids[victim])
            let rest = drain(&wheel, 100)
            var seen = rest
            if let first { seen.append(first) }
            let removed = UInt64(victim)
            // Unless it had been handed out before it was removed.
            let expected: [UInt64] = (0..<8).filter { (id: UInt64) -> Bool in
                if let first, first == id { return true }
                return removed != id
            }
            #expect(seen.sorted() == expected)
            #expect(wheel.count == 7)
        }
    }

    @Test func movedAndReplacedWhileTheExpiredAreWalked() {
        var wheel = TimerWheel(nowMs: 0)
        let ids = (0..<4).map { wheel.create(token(UInt64($0))) }
        for id in ids { wheel.arm(id, atMs: 80) }
        let first = wheel.nextExpired(nowMs: 100)?.raw
        let others = (0..<4).filter { UInt64($0) != first }
        wheel.arm(ids[others[0]], atMs: 200)
        wheel.disarm(ids[others[1]])
        wheel.remove(ids[others[2]])
        // The removed one's id comes back for another connection, armed at once.
        let fresh = wheel.create(token(99))
        #expect(fresh == ids[others[2]])
        wheel.arm(fresh, atMs: 300)
        #expect(drain(&wheel, 100).isEmpty)
        #expect(wheel.timeoutMs(nowMs: 100, limitMs: 60_000) == 100)
        #expect(drain(&wheel, 200) == [UInt64(others[0])])
        #expect(drain(&wheel, 304) == [99])
    }

    @Test(arguments: [UInt64(1), 2, 3, 10])
    func beyondTheSpan(turns: UInt64) {
        var wheel = TimerWheel(nowMs: 12_345)
        let deadline = 12_345 + turns * Self.spanMs + 777
        wheel.arm(wheel.create(token(1)), atMs: deadline)
        var nowMs: UInt64 = 12_345
        // In the steps the wheel itself asks for: how often it wakes for nothing is bounded, too.
        var wakes = 0
        while nowMs < deadline - Self.spanMs / 64 {
            nowMs += UInt64(wheel.timeoutMs(nowMs: nowMs, limitMs: .max))
            #expect(drain(&wheel, nowMs).isEmpty)
            wakes += 1
        }
        #expect(wakes <= Int(turns) * 2 + 4)
        #expect(drain(&wheel, deadline - 1).isEmpty)
        #expect(drain(&wheel, deadline + TimerWheel.tickMs) == [1])
    }

    /// A stopped or suspended process finds years gone by. Every tick looked at one by one would be
    /// a second or more of nothing here.
    @Test func longGapIsJumped() {
        let yearMs: UInt64 = 365 * 86_400_000
        var wheel = TimerWheel(nowMs: 0)
        for i in UInt64(0)..<100 { wheel.arm(wheel.create(token(i)), atMs: 1000 + i * 86_400_000) }
        wheel.arm(wheel.create(token(1000)), atMs: 100 * yearMs)
        #expect(drain(&wheel, 50 * yearMs).sorted() == Array(0..<100))
        #expect(drain(&wheel, 100 * yearMs + TimerWheel.tickMs) == [1000])
    }

    @Test func idleSleepsToTheLimit() {
        var wheel = TimerWheel(nowMs: 1_000_003)
        #expect(wheel.timeoutMs(nowMs: 1_000_003, limitMs: 60_000) == 60_000)
        let id = wheel.create(token(1))
        #expect(wheel.timeoutMs(nowMs: 1_000_003, limitMs: 60_000) == 60_000)
        wheel.arm(id, atMs: 9_000_000)
        #expect(wheel.timeoutMs(nowMs: 1_000_003, limitMs: 250) == 250)
        #expect(wheel.timeoutMs(nowMs: 9_000_100, limitMs: 250) == 0)
    }

    /// Expired but not yet taken: the loop must not sleep on it.
    @Test func leftoversKeepTheLoopAwake() {
        var wheel = TimerWheel(nowMs: 0)
        for i in UInt64(0)..<2 { wheel.arm(wheel.create(token(i)), atMs: 80) }
        #expect(takeOne(&wheel, 80))
        #expect(wheel.timeoutMs(nowMs: 80, limitMs: 1000) == 0)
        #expect(takeOne(&wheel, 80))
        #expect(wheel.timeoutMs(nowMs: 80, limitMs: 1000) == 1000)
    }
}
