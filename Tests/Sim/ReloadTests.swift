// A new configuration under traffic: nobody notices, and of the old one nothing stays.

import Glibc
import Testing

@Suite struct ReloadTests {
    /// It comes and goes: the name of a file is free when its socket ends, one in the abstract namespace is not.
    private static let path = "/tmp/weir-sim-\(getpid())-more"

    /// - Parameter second: whether there is another listener.
    private static func configuration(endpoints: [Int], second: Bool, idleMs: Int) throws
        -> PlaneConfiguration
    {
        let list = endpoints.map { "\"unix:@\($0)\"" }.joined(separator: ", ")
        return try PlaneConfiguration(
            "reload",
            """
            listeners:
              web:
                address: "unix:@web"
                timeout: { head: 5s, idle: \(idleMs)ms, body: 5s, write: 5s }
            \(second ? "  more: { address: \"unix:\(path)\", timeout: { idle: 6s } }" : "")
            routes:
              - { name: all, match: { path: /* }, service: app, timeout: { head: 5s, idle: 5s } }
            services:
              app: { endpoints: [\(list)], connections: { idle-timeout: 2s } }
            admin: off
            """)
    }

    @Test func nothingIsLost() throws {
        let configurations = [
            try Self.configuration(endpoints: [0, 1], second: true, idleMs: 6_000),
            try Self.configuration(endpoints: [1, 2], second: true, idleMs: 5_000),
            try Self.configuration(endpoints: [2], second: true, idleMs: 6_000),
            try Self.configuration(endpoints: [0, 1, 2], second: false, idleMs: 6_000),
        ]
        overSeeds(configurations[0]) { world in
            TrafficTests.playHealthy(world, configurations[0], endpoints: 3)
            var more: [SimulatedClient] = []
            for i in 0..<world.chance.below(3) {
                let asks = (0...world.chance.below(3)).map {
                    Ask(number: 90_000_000 + 10 * i + $0, thinksMs: $0 * 300)
                }
                let client = SimulatedClient(world, at: Self.path, asks)
                client.start()
                more.append(client)
            }
            // What was asked for on a listener before it went is answered.
            var goneNs = UInt64.max
            for _ in 0...world.chance.below(3) {
                let next = world.chance.below(configurations.count)
                world.after(ms: 1 + world.chance.below(2_000)) {
                    if next == 3 { goneNs = min(goneNs, world.nowNs) }
                    world.plane.reload(configurations[next], world.worker)
                }
            }
            if !world.run(atMostMs: 60_000, until: { world.clients.allSatisfy(\.isDone) }) {
                world.violated("not every client has got its answers")
            }
            for client in world.clients {
                let isMore = more.contains { $0 === client }
                for (i, outcome) in client.outcomes.enumerated() where outcome != .answered(200) {
                    if isMore, client.sentNs[i].map({ $0 >= goneNs }) ?? true, outcome == .nothing {
                        continue
                    }
                    world.violated("\(client.asks[i].method) \(client.asks[i].number): \(outcome)")
                }
            }
            world.run(atMostMs: 5_000) { false }
            world.expectRest()
            world.expectOneRecordEach(world.records())
        }
    }
}
