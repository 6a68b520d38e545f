// Trying again: what may be, where, how often, and not before its time.

import Testing

@Suite struct RetryTests {
    static func configuration() throws -> PlaneConfiguration {
        try PlaneConfiguration(
            "retries",
            """
            listeners:
              web: { address: "unix:@web", timeout: { idle: 3s } }
            routes:
              - name: all
                match: { path: /* }
                service: app
                timeout: { head: 500ms, idle: 500ms }
                retry: { attempts: 3, on: [connect, reset, timeout, 503] }
                hold: 8KiB
            services:
              app:
                endpoints: ["unix:@0", "unix:@1", "unix:@2", "unix:@3"]
                connections: { idle-timeout: 1s }
                retry-budget: { ratio: 10%, floor: 1/s }
            admin: off
            """)
    }

    @Test func withinBounds() throws {
        let configuration = try Self.configuration()
        overSeeds(configuration) { world in
            // Most of what is asked for fails: the budget is spent soon.
            for i in 0..<4 {
                let endpoint = SimulatedEndpoint(world, configuration.path("\(i)"))
                endpoint.behaves = { _ in
                    var behaviour = Behaviour(size: world.chance.size(2_000))
                    if !world.chance.one(in: 3) {
                        behaviour.fault = world.chance.of([.close, .reset, .withinHead, .silence, nil])
                        behaviour.status = 503
                    }
                    return behaviour
                }
                if !world.chance.one(in: 4) { endpoint.up() }
                // Some come and go.
                if world.chance.one(in: 3) {
                    world.after(ms: world.chance.below(500)) { endpoint.crash() }
                    world.after(ms: 500 + world.chance.below(500)) { endpoint.up() }
                }
            }
            var number = 0
            for _ in 0..<(4 + world.chance.below(8)) {
                let asks = (0...world.chance.below(4)).map { _ in
                    number += 1
                    var ask = Ask(number: number)
                    ask.method = world.chance.of(["GET", "POST", "PUT", "DELETE", "HEAD"])
                    if ask.method.first == "P" {
                        ask.size = world.chance.size(20_000)
                        ask.framing = world.chance.of([.length, .chunked])
                    }
                    return ask
                }
                let client = SimulatedClient(world, at: configuration.path("web"), asks)
                // Of a large body a part has been sent on when it is tried again, and a part has not come yet.
                client.writes = TrafficTests.pace(world)
                client.start(afterMs: world.chance.below(1_000))
            }
            let beganNs = world.nowNs
            if !world.run(atMostMs: 60_000, until: { world.clients.allSatisfy(\.isDone) }) {
                world.violated("not every client has got its answers")
            }
            let tookMs = Int((world.nowNs - beganNs) / 1_000_000)
            world.expectRest()
            let records = world.records()
            world.expectOneRecordEach(records)
            // A window allows 10 of its own, and one begins with every second it is longer.
            world.expectRetriesInBounds(
                records, attemptsMax: 3, floor: 10 * (1 + tookMs / 9_000), perMille: 100)
            for record in records where record.status == 503 && record.reason == "retry-budget-spent" {
                if record.attempts > 2 {
                    world.violated("\(record.number): the budget was spent and \(record.attempts) made")
                }
            }
        }
    }
}
