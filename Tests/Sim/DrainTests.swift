// Going away: what was asked for before is answered, nothing new is taken, and it ends.

import Testing

@Suite struct DrainTests {
    static func configuration() throws -> PlaneConfiguration {
        try PlaneConfiguration(
            "drain",
            """
            listeners:
              web:
                address: "unix:@web"
                timeout: { head: 5s, idle: 20s, body: 5s, write: 5s }
            routes:
              - { name: all, match: { path: /* }, service: app, timeout: { head: 5s, idle: 5s } }
            services:
              app: { endpoints: ["unix:@0", "unix:@1"] }
            drain: 30s
            admin: off
            """)
    }

    @Test func nothingAcceptedIsLost() throws {
        let configuration = try Self.configuration()
        overSeeds(configuration) { world in
            TrafficTests.playHealthy(world, configuration, endpoints: 2)
            var drainNs = UInt64.max
            var last: [SimulatedClient] = []
            if world.chance.one(in: 2) {
                world.slowOneIn = 4
                world.holdsOneIn = 2
            }
            world.after(ms: world.chance.below(1_500)) {
                // Who comes at the last moment still waits to be accepted.
                for i in 0..<world.chance.below(4) {
                    let client = SimulatedClient(
                        world, at: configuration.path("web"), [Ask(number: 90_000_000 + i)])
                    client.connect()
                    last.append(client)
                }
                drainNs = world.nowNs
                world.plane.drain(world.worker)
            }
            // The last clients and their thoughts, the longest answer, a grace for those who are silent.
            let hasEnded = world.run(atMostMs: 20_000) { world.hasStopped }
            if !hasEnded { world.violated("the drain does not end") }
            world.run(atMostMs: 1_000) { world.clients.allSatisfy(\.isDone) }
            for client in last where client.outcomes != [.answered(200)] {
                world.violated("one that had come: \(client.outcomes)")
            }
            for client in world.clients {
                for (i, outcome) in client.outcomes.enumerated() {
                    guard let sentNs = client.sentNs[i], sentNs < drainNs else { continue }
                    if outcome != .answered(200) {
                        world.violated(
                            "\(client.asks[i].method) \(client.asks[i].number), asked for before: \(outcome)")
                    }
                }
                for outcome in client.outcomes {
                    // Whatever was begun was finished.
                    if case .cut = outcome { world.violated("an answer was cut") }
                }
            }
            world.expectRest()
            world.expectOneRecordEach(world.records())
        }
    }
}
