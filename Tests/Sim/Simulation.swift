// One worker, its clients and its endpoints, in one thread and in virtual time.
//
// The worker is the one that runs in the program, down to its system calls: its sockets are real Unix sockets, its poller
// is epoll. The clients and endpoints at their other ends are played here, in turns with it, so whatever was written is there to be
// read, and nothing waits. What is left to chance comes from one seed: what peers do and when, in which order
// the worker hears of events, how many of them at once and how late, and what a turn takes of the time.
//
//     agenda (what peers do next) ─▶ wires ─▶ kernel ─▶ events, shuffled, some kept back ─▶ Worker.turn
//             ▲ nothing left to do now: time jumps to the next of the agenda, or to the worker's next timer

import CLinux
import Configuration
import Glibc
import Reactor
import Telemetry
import WeirBalancing

@testable import Proxy
@testable import Telemetry

final class Simulation {
    let seed: UInt64
    var chance: Chance
    let time: VirtualTime
    let plane: Plane
    let worker: Worker
    private(set) var trace: Trace
    /// What went wrong, in words.
    private(set) var violations: [String] = []
    /// Requests as they came to endpoints, in order.
    var arrivals: [Arrival] = []
    var clients: [Asking] = []
    var endpoints: [SimulatedEndpoint] = []
    /// Whether the worker hears of events in another order, and later, than the kernel tells.
    var disturbs = true
    /// One turn in so many takes long.
    var slowOneIn = 64
    /// One event in so many is kept back.
    var holdsOneIn = 8

    private let poller = Poller()
    private var wires: [Wire] = []
    private var agenda: [(atNs: UInt64, number: UInt64, action: () -> Void)] = []
    private var number: UInt64 = 0
    /// Events the worker has not heard of yet.
    private var held: [(token: Token, readiness: Readiness)] = []
    private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: eventsMax)
    private static let eventsMax = 1024
    private var timersAtFirst = 0
    private var isOver = false
    private(set) var rounds = 0
    /// More than any run has: whoever does not come to rest runs in circles.
    private static let roundsMax = 200_000

    /// As the program has it: splice(2) to a closed socket is no reason to end.
    private static let ignoresBrokenPipes: Bool = {
        signal(SIGPIPE, SIG_IGN)
        return true
    }()

    init(
        seed: UInt64, _ configuration: PlaneConfiguration, traced: Bool = false,
        further: @escaping @Sendable (Route) -> [Policy] = { _ in [] }
    ) {
        precondition(Self.ignoresBrokenPipes)
        self.seed = seed
        chance = Chance(seed: seed)
        trace = Trace(isKept: traced)
        // Another millisecond of the wheel's tick each time.
        time = VirtualTime(
            nowNs: 1_000_000_000_000 + UInt64(chance.below(16_000_000)), epochUs: 1_790_000_000_000_000)
        plane = Plane(configuration, further: further)
        var surroundings = Surroundings()
        surroundings.time = time.source
        surroundings.seed = seed
        worker = Worker(
            index: 0, snapshot: plane.snapshot, limits: WorkerLimits(), log: plane.log.makeBuffer(),
            eventLog: Log(fd: -1, level: .error), metrics: plane.metrics.workers, surroundings: surroundings)
        worker.beginTurns()
        timersAtFirst = worker.timers.count
    }

    deinit { events.deallocate() }

    // MARK: time

    var nowNs: UInt64 { time.nowNs }
    var nowMs: UInt64 { time.nowNs / 1_000_000 }

    func after(ms: Int, _ action: @escaping () -> Void) { after(ns: UInt64(ms) * 1_000_000, action) }

    func after(ns: UInt64, _ action: @escaping () -> Void) {
        number += 1
        let atNs = nowNs + ns
        // Of those at the same time the first comes first; the next to come is the last.
        var i = agenda.count
        while i > 0, agenda[i - 1].atNs <= atNs { i -= 1 }
        agenda.insert((atNs, number, action), at: i)
    }

    // MARK: running

    /// Runs until the condition holds; false: it did not within that much time.
    @discardableResult
    func run(atMostMs: Int, until isDone: () -> Bool) -> Bool {
        let endNs = nowNs + UInt64(atMostMs) * 1_000_000
        while !isDone() {
            rounds += 1
            if rounds > Self.roundsMax {
                violated("no rest: something runs in circles")
                return false
            }
            if round() { continue }
            let nextNs = min(nextNs, endNs)
            trace.note(.jump, nextNs, 0)
            time.move(toNs: nextNs)
            if nextNs == endNs { return isDone() }
        }
        return true
    }

    /// When something happens next, if nothing does before.
    private var nextNs: UInt64 {
        let timerNs =
            isOver ? UInt64.max : worker.nowMs * 1_000_000 + UInt64(worker.patienceMs) * 1_000_000
        return max(min(agenda.last?.atNs ?? .max, timerNs), nowNs)
    }

    /// Everything that can be done now; false: there was nothing.
    private func round() -> Bool {
        var isBusy = false
        while let next = agenda.last, next.atNs <= nowNs {
            agenda.removeLast()
            next.action()
            isBusy = true
        }
        let count = poller.wait(timeoutMs: 0)
        for i in 0..<count {
            let (token, readiness) = poller.event(i)
            isBusy = true
            if token.kind == 0 {
                wires[Int(token.index)].noticed(readiness)
            } else {
                endpoints[Int(token.index)].connectionsWait()
            }
        }
        return turn() || isBusy
    }

    /// A turn of the worker, if there is something to do for it.
    private func turn() -> Bool {
        if isOver { return false }
        let delivered = deliver()
        let isDue = nowNs >= worker.nowMs * 1_000_000 + UInt64(worker.patienceMs) * 1_000_000
        // What is kept back only is told of in the next round.
        if delivered == 0, !isDue { return !held.isEmpty }
        worker.turn(events: PolledEvents(start: events, count: delivered), now: nowNs)
        trace.note(.turn, UInt64(delivered), nowNs)
        // Mostly a turn is short, and now and then the machine was busy with something else.
        let tookUs = chance.one(in: slowOneIn) ? chance.below(30_000) : chance.below(40)
        time.move(toNs: nowNs + UInt64(tookUs) * 1_000)
        if worker.isStopping { stop() }
        return true
    }

    /// Chooses what the worker hears of in this turn.
    private func deliver() -> Int {
        let count = worker.poller.wait(timeoutMs: 0)
        for i in 0..<count {
            let (token, readiness) = worker.poller.event(i)
            // One that is kept back already, and those that are told of again as long as they last.
            if let known = held.firstIndex(where: { $0.token == token }) {
                held[known].readiness.formUnion(readiness)
            } else {
                held.append((token, readiness))
            }
        }
        if held.isEmpty { return 0 }
        if !disturbs {
            for (i, event) in held.enumerated() { put(event.token, event.readiness, at: i) }
            defer { held.removeAll(keepingCapacity: true) }
            return held.count
        }
        for i in stride(from: held.count - 1, to: 0, by: -1) { held.swapAt(i, chance.below(i + 1)) }
        var kept: [(token: Token, readiness: Readiness)] = []
        var n = 0
        for event in held {
            if n + 1 >= Self.eventsMax || chance.one(in: holdsOneIn) {
                kept.append(event)
                continue
            }
            // Arrivals and room for more are one event or two.
            let both: Readiness = [.readable, .writable]
            if event.readiness.isSuperset(of: both), chance.one(in: 4) {
                put(event.token, event.readiness.subtracting(.writable), at: n)
                kept.append((event.token, .writable))
            } else {
                put(event.token, event.readiness, at: n)
            }
            n += 1
        }
        held = kept
        return n
    }

    private func put(_ token: Token, _ readiness: Readiness, at i: Int) {
        events[i] = epoll_event(events: readiness.rawValue, data: epoll_data(u64: token.raw))
        trace.note(.event, token.raw, UInt64(readiness.rawValue))
    }

    private func stop() {
        isOver = true
        worker.endTurns()
    }

    var hasStopped: Bool { isOver }

    // MARK: peers

    func wire(_ socket: Socket) -> Wire {
        let wire = Wire(self, socket, number: wires.count)
        wires.append(wire)
        poller.register(socket.fd, Token(kind: 0, handle: Handle(index: UInt32(wire.number), generation: 0)))
        return wire
    }

    func watchListener(_ socket: Socket, ofEndpoint index: Int) {
        poller.registerReadable(
            socket.fd, Token(kind: 1, handle: Handle(index: UInt32(index), generation: 0)))
    }

    func note(_ what: Trace.What, _ a: UInt64, _ b: UInt64) { trace.note(what, a, b) }

    // MARK: verdicts

    func violated(_ what: String) { violations.append(what) }

    /// Checks that nothing of what has been is left, once idle connections have had their time.
    func expectRest(withinMs: Int = 200_000) {
        let isAtRest = run(atMostMs: withinMs) { leftovers.isEmpty }
        if !isAtRest { violated("left over: \(leftovers.joined(separator: ", "))") }
        for endpoint in plane.everyEndpoint where endpoint.load.load(ordering: .relaxed) != 0 {
            violated("load of \(endpoint.name) is \(endpoint.load.load(ordering: .relaxed))")
        }
        for listener in plane.snapshot.listeners {
            guard let listener else { continue }
            let active = listener.metrics.cell(worker: 0).active
            if active != 0 { violated("\(listener.name): \(active) connections are counted as open") }
        }
    }

    private var leftovers: [String] {
        var found: [String] = []
        func check(_ name: String, _ count: Int, _ wanted: Int = 0) {
            if count != wanted { found.append("\(count) \(name)") }
        }
        check("clients", worker.clients.count)
        check("exchanges", worker.exchanges.count)
        check("connections to endpoints", worker.upstreams.count)
        check("tunnels", worker.tunnels.count)
        check("sessions", worker.sessions.count)
        check("streams", worker.streams.count)
        check("UDP sessions", worker.datagrams.sessions.count)
        check("bytes of buffers", worker.buffers.bytesInUse)
        check("pipes", worker.pipes.inUse)
        check("graves", worker.graveyard.count)
        check("unfinished", worker.unfinished.count)
        check("old snapshots", worker.oldLeases)
        check("retired listeners", worker.retired.count)
        check("counted connections", worker.status.connections.load(ordering: .relaxed))
        check("timers", worker.timers.count, timersAtFirst)
        return found
    }

    /// The records so far.
    func records() -> [Record] {
        worker.log?.flush()
        return plane.takeRecords()
    }

    /// Ends what is still open, so that the next run finds the names free.
    func close() {
        if !isOver { stop() }
        for wire in wires { wire.close() }
        for endpoint in endpoints {
            endpoint.down()
            endpoint.behaves = { _ in Behaviour() }
            endpoint.accepts = nil
        }
        // What peers were about to do holds them, and they hold this.
        agenda = []
        wires = []
        clients = []
        endpoints = []
        plane.close()
    }
}

/// Everything left to chance in one run.
struct Chance {
    private var generator: SeededRandom

    init(seed: UInt64) { generator = SeededRandom(seed: seed ^ 0x5eed) }

    /// 0..<bound.
    mutating func below(_ bound: Int) -> Int {
        Int(generator.next().multipliedFullWidth(by: UInt64(max(bound, 1))).high)
    }

    mutating func one(in n: Int) -> Bool { below(n) == 0 }

    mutating func within(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + below(range.upperBound - range.lowerBound + 1)
    }

    mutating func of<Element>(_ list: [Element]) -> Element { list[below(list.count)] }

    /// Small ones as often as large ones: as many digits as it happens.
    mutating func size(_ max: Int) -> Int {
        var bits = 0
        while 1 << bits <= max { bits += 1 }
        return min(max, below(1 << below(bits + 1)))
    }
}

/// What has happened, as a number that is another as soon as anything else has; and in words where they are kept.
struct Trace {
    enum What: UInt64 {
        case jump = 1
        case event, turn, sent, received, ended, closed, arrival, answer
    }

    let isKept: Bool
    private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    private(set) var words: [String] = []

    init(isKept: Bool) { self.isKept = isKept }

    mutating func note(_ what: What, _ a: UInt64, _ b: UInt64) {
        for value in [what.rawValue, a, b] {
            hash = (hash ^ value) &* 0x0000_0100_0000_01b3
            hash ^= hash >> 29
        }
        if isKept { words.append("\(what) \(String(a, radix: 16)) \(String(b, radix: 16))") }
    }
}
