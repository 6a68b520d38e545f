// Several endpoints asked at once: each is blamed for what it did and for nothing else, and the request has one end,
// in whichever order they fail, and however soon.

import Testing
import WeirResilience

@testable import Proxy
@testable import Telemetry

@Suite struct HedgeTests {
    private static let attemptsMax = 4

    private static func configuration() throws -> PlaneConfiguration {
        try PlaneConfiguration(
            "hedges",
            """
            listeners:
              web: { address: "unix:@web", timeout: { idle: 3s } }
            routes:
              - name: all
                match: { path: /* }
                service: app
                timeout: { head: 500ms, idle: 500ms }
                retry: { attempts: \(attemptsMax), on: [connect, reset, timeout] }
            services:
              app:
                endpoints: ["unix:@0", "unix:@1", "unix:@2", "unix:@3", "unix:/nowhere/endpoint.sock"]
                connections: { idle-timeout: 1s }
                retry-budget: { ratio: 100%, floor: 100/s }
            admin: off
            """)
    }

    /// What an endpoint does with whoever comes.
    private enum Fate {
        case answer, close, silence, refuse

        var reason: Reason {
            switch self {
            case .answer: .none
            case .close: .upstreamClosed
            case .silence: .upstreamHeadTimeout
            case .refuse: .connectRefused
            }
        }
    }

    @Test func eachFailsForItsOwnReason() throws {
        let configuration = try Self.configuration()
        overSeeds(configuration) { world in
            var reasons: [String: Reason] = [:]
            for i in 0..<4 {
                let path = configuration.path("\(i)")
                let endpoint = SimulatedEndpoint(world, path)
                // Few answer: that is where attempts follow each other.
                let fate = world.chance.of([Fate.answer, .close, .close, .silence, .refuse, .refuse])
                endpoint.behaves = { _ in
                    var behaviour = Behaviour(size: world.chance.size(2_000))
                    if fate != .answer { behaviour.fault = fate == .close ? .close : .silence }
                    behaviour.thinksMs = world.chance.below(300)
                    return behaviour
                }
                if fate != .refuse { endpoint.up() }
                reasons[path] = fate.reason
            }
            reasons["/nowhere/endpoint.sock"] = .connectFailed
            let client = SimulatedClient(world, at: configuration.path("web"), [Ask(number: 1)])
            client.start()
            var hedges = 0
            for _ in 0..<(1 + world.chance.below(3)) {
                world.after(ms: 1 + world.chance.below(300)) {
                    // Its last turn may have been long ago.
                    world.worker.updateClock()
                    guard let exchange = world.exchange, world.worker.hedge(exchange) else { return }
                    hedges += 1
                    world.worker.conclude(exchange)
                }
            }
            if !world.run(atMostMs: 10_000, until: { client.isDone }) { world.violated("no end") }
            let now = world.worker.nowMs
            let left = world.worker.serviceStates[0].budget.remaining(at: now)
            world.expectRest()
            let records = world.records()
            world.expectOneRecordEach(records)

            var attempts = 0
            var failures: [Reason] = []
            for (path, reason) in reasons {
                guard
                    let values = world.plane.metrics.snapshot().endpoints.first(where: {
                        $0.endpoint.hasSuffix(path)
                    })
                else {
                    world.violated("nothing is known of \(path)")
                    continue
                }
                attempts += Int(values.attempts)
                failures += values.failures.map(\.reason)
                for failure in values.failures where failure.reason != reason {
                    world.violated("\(path) is blamed for \(failure.reason.name), and it was \(reason.name)")
                }
                if values.failures.reduce(0, { $0 + $1.count }) > values.attempts {
                    world.violated("\(path) has failed more often than it was asked")
                }
            }
            guard let record = records.first else { return }
            if record.attempts != attempts {
                world.violated("\(record.attempts) attempts are recorded, \(attempts) were made")
            }
            if attempts > Self.attemptsMax + hedges { world.violated("\(attempts) attempts") }
            // All but the first are taken from the budget, which the request has filled up by one.
            if left != 1_000 + 1 - (attempts - 1) { world.violated("\(left) are left of the budget") }
            if record.status != 200, !failures.contains(where: { "\($0.name)" == record.reason }) {
                world.violated("\(record.reason), for which no endpoint is blamed")
            }
        }
    }
}

extension Simulation {
    /// The one exchange under way.
    fileprivate var exchange: ExchangePointer? {
        var found: ExchangePointer?
        worker.exchanges.each { if !$0.pointee.isOver { found = $0 } }
        return found
    }
}
