// An exchange waits for one thing, and nothing else goes on in its place: whatever its client does meanwhile, whatever
// becomes of the configuration and of the worker, however often, late or wrongly what it waits for is brought.

import Configuration
import Testing
import WeirResilience

@testable import Proxy

/// Waits for a number that somebody with a ticket brings, at one hook: 0 passes, 1 refuses, 2 waits again.
private final class ParkingPolicy: StatefulPolicy<Int>, @unchecked Sendable {
    static let atMostMs: UInt64 = 2_700
    private let hook: Hooks

    init(_ hook: Hooks) {
        self.hook = hook
        super.init("park", "", hook)
    }

    private func wait(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        let ticket = worker.park(exchange, atMostMs: Self.atMostMs, else: .connectionLimit)
        Desk.current?.parked(ticket)
        return .wait
    }

    private func begin(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        begin(0, worker, exchange)
        return wait(worker, exchange)
    }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        begin(worker, exchange)
    }
    override func lookup(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        begin(worker, exchange)
    }
    override func select(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        begin(worker, exchange)
    }

    override func resume(_ worker: Worker, _ exchange: ExchangePointer, _ brought: Brought) -> StepResult {
        guard case .answer(let answer) = brought, let number = answer as? Int else {
            Desk.current?.world.violated("something else was brought")
            return .pass
        }
        state(exchange)?.pointee += 1
        switch number {
        case 0: return .pass
        case 1: return .refuse(Failure(.upgradeNotAllowed, phase: exchange.pointee.phase))
        default: return wait(worker, exchange)
        }
    }

    override func end(_ worker: Worker, _ exchange: ExchangePointer, _ state: inout Int) {
        Desk.current?.ended += 1
    }
}

/// Who brings what policies wait for. Of the run that is going on: runs are one after the other, in one thread.
private final class Desk {
    nonisolated(unsafe) static var current: Desk?
    unowned let world: Simulation
    var parked: (Ticket) -> Void = { _ in }
    var ended = 0

    init(_ world: Simulation) { self.world = world }
}

// Tests set one desk after the other.
@Suite(.serialized) struct WaitingTests {
    private static func configuration(_ name: String) throws -> PlaneConfiguration {
        try PlaneConfiguration(
            name,
            """
            listeners:
              web:
                address: "unix:@web"
                timeout: { head: 5s, idle: 20s, body: 5s, write: 5s }
                min-body-rate: "off"
            routes:
              - name: all
                match: { path: /* }
                service: app
                timeout: { head: 5s, idle: 5s, total: 3300ms }
                retry: { attempts: 3, on: [connect, reset, 503] }
            services:
              app: { endpoints: ["unix:@0", "unix:@1"], retry-budget: { ratio: 100%, floor: 100/s } }
            drain: 30s
            admin: off
            """)
    }

    private enum Fate: CaseIterable {
        case pass, refuse, again, never, late, twice, outOfOrder
    }
    private enum Meanwhile: CaseIterable { case nothing, leave, reload, drain }

    /// A request that may have a body, which comes as it likes.
    private static func client(_ world: Simulation, _ configuration: PlaneConfiguration) -> SimulatedClient {
        var ask = Ask(number: 1, method: world.chance.of(["GET", "PUT", "POST"]))
        if ask.method != "GET" {
            ask.size = world.chance.size(200_000)
            ask.framing = world.chance.of([.length, .chunked])
        }
        let client = SimulatedClient(world, at: configuration.path("web"), [ask])
        client.writes =
            world.chance.one(in: 2)
            ? .atOnce
            : Wire.Pace(
                bytesMax: 1 + world.chance.size(40_000), pauseMs: world.chance.below(20))
        client.start()
        return client
    }

    private static func endpoints(_ world: Simulation, _ configuration: PlaneConfiguration) {
        for i in 0..<2 {
            let endpoint = SimulatedEndpoint(world, configuration.path("\(i)"))
            endpoint.behaves = { _ in Behaviour(size: world.chance.size(20_000)) }
            endpoint.up()
        }
    }

    @Test(arguments: [Hooks.admit, .lookup, .select])
    func onlyWhoHasTheTicketGoesOn(hook: Hooks) throws {
        let configuration = try Self.configuration("park-\(hook.rawValue)")
        overSeeds(configuration, further: { _ in [ParkingPolicy(hook)] }) { world in
            let desk = Desk(world)
            Desk.current = desk
            defer { Desk.current = nil }
            let fate = Fate.allCases[Int(world.seed) % Fate.allCases.count]
            let meanwhile = world.chance.of(Meanwhile.allCases)
            Self.endpoints(world, configuration)
            let client = Self.client(world, configuration)
            var tickets: [Ticket] = []
            var passedNs: UInt64?
            /// Brought when nobody could wait for it, whatever happened meanwhile.
            var late = 0
            func bring(_ ticket: Ticket, _ number: Int) {
                if number == 0, passedNs == nil { passedNs = world.nowNs }
                ticket.bring(number)
            }
            desk.parked = { ticket in
                tickets.append(ticket)
                let first = tickets.count == 1
                let soonMs = world.chance.below(1_000)
                switch fate {
                case .pass: world.after(ms: soonMs) { bring(ticket, 0) }
                case .refuse: world.after(ms: soonMs) { bring(ticket, 1) }
                case .again: world.after(ms: soonMs) { bring(ticket, first ? 2 : 0) }
                case .never: break
                case .late:
                    late += 1
                    world.after(ms: 3_500 + soonMs) { ticket.bring(0) }
                case .twice:
                    world.after(ms: soonMs) {
                        late += 1
                        bring(ticket, 0)
                        bring(ticket, 1)
                    }
                case .outOfOrder:
                    if first {
                        world.after(ms: soonMs) { bring(ticket, 2) }
                    } else {
                        // What was for the first wait does not end the second.
                        late += 1
                        tickets[0].bring(1)
                        world.after(ms: 1 + soonMs) { bring(ticket, 0) }
                    }
                }
            }
            let atMs = world.chance.below(1_500)
            switch meanwhile {
            case .nothing: break
            case .leave: world.after(ms: atMs) { client.leave() }
            case .reload: world.after(ms: atMs) { world.plane.reload(configuration, world.worker) }
            case .drain: world.after(ms: atMs) { world.plane.drain(world.worker) }
            }
            if !world.run(atMostMs: 20_000, until: { client.isDone || client.outcomes[0] != .open }) {
                world.violated("\(fate): no end")
            }
            let said = "\(fate), \(meanwhile)"
            world.run(atMostMs: 6_000) { false }
            for arrival in world.arrivals {
                if passedNs.map({ arrival.atNs < $0 }) ?? true {
                    world.violated("\(said): has gone on alone")
                }
            }
            let records = world.records()
            // A connection may be closed by a drain before its request is read, or left before.
            if let record = records.first, !client.hasLeft, !tickets.isEmpty {
                let wanted =
                    switch fate {
                    case .pass, .again, .twice, .outOfOrder: (200, "")
                    case .refuse: (403, "upgrade-not-allowed")
                    case .never, .late: (503, "connection-limit")
                    }
                // A slow body may have used up the time there is.
                if (record.status, record.reason) != wanted, record.reason != "total-timeout" {
                    world.violated("\(said): \(record.line)")
                }
                if wanted.0 == 503, record.reason == "connection-limit" {
                    let ms = Int(ParkingPolicy.atMostMs)
                    if record.totalUs < (ms - 1) * 1_000 { world.violated("\(said): too early") }
                }
            }
            let counted = Int(world.plane.metrics.workers.values()[0].lateAnswers)
            if counted < late && !world.hasStopped { world.violated("\(said): \(counted) late, not \(late)") }
            if !client.hasLeft, counted > late, records.first?.reason != "total-timeout", !world.hasStopped {
                world.violated("\(said): \(counted) late, and only \(late) were")
            }
            if desk.ended != min(1, tickets.count) { world.violated("\(said): \(desk.ended) states ended") }
            world.expectRest()
            world.expectOneRecordEach(records)
        }
    }

    /// The same for a body that is held, and for the time before another attempt.
    @Test func bodiesAndPausesEndAlike() throws {
        let configuration = try Self.configuration("waits")
        overSeeds(configuration) { world in
            let isBody = world.chance.one(in: 2)
            let meanwhile = world.chance.of(Meanwhile.allCases)
            let client: SimulatedClient
            if isBody {
                var ask = Ask(number: 1, method: "PUT", size: 1 + world.chance.below(60_000))
                ask.framing = .length
                // Mostly all of it comes, in its time.
                if world.chance.one(in: 4) { ask.stallsAt = 60 + world.chance.below(ask.size) }
                client = SimulatedClient(world, at: configuration.path("web"), [ask])
                client.writes = Wire.Pace(bytesMax: 1_000, pauseMs: world.chance.below(40))
                client.start()
                Self.endpoints(world, configuration)
            } else {
                client = SimulatedClient(
                    world, at: configuration.path("web"), [Ask(number: 1, method: "PUT", size: 10)])
                client.start()
                for i in 0..<2 {
                    let endpoint = SimulatedEndpoint(world, configuration.path("\(i)"))
                    endpoint.behaves = { _ in Behaviour(status: 503, thinksMs: world.chance.below(900)) }
                    endpoint.up()
                }
            }
            let atMs = world.chance.below(2_500)
            switch meanwhile {
            case .nothing: break
            case .leave: world.after(ms: atMs) { client.leave() }
            case .reload: world.after(ms: atMs) { world.plane.reload(configuration, world.worker) }
            case .drain: world.after(ms: atMs) { world.plane.drain(world.worker) }
            }
            if !world.run(atMostMs: 20_000, until: { client.isDone || client.outcomes[0] != .open }) {
                world.violated("no end")
            }
            world.run(atMostMs: 6_000) { false }
            let records = world.records()
            let said = "\(isBody ? "body" : "pause"), \(meanwhile)"
            if let record = records.first, !client.hasLeft {
                switch (record.status, record.reason) {
                case (200, "") where isBody, (503, "") where !isBody: break
                case (_, "total-timeout"):
                    if record.totalUs < 3_299_000 { world.violated("\(said): too early: \(record.line)") }
                case (_, "retry-budget-spent") where !isBody: break
                default: world.violated("\(said): \(record.line)")
                }
            }
            if isBody, world.arrivals.contains(where: { $0.isWhole && $0.bodyBytes != client.asks[0].size }) {
                world.violated("\(said): part of a body was taken for all of it")
            }
            world.expectRest()
            world.expectOneRecordEach(records)
        }
    }
}
