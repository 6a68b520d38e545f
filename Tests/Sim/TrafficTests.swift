// Any traffic: peers do what they like, in any pieces, at any moment. What must hold holds all the same.

import Testing

@Suite struct TrafficTests {
    static func configuration(_ test: String) throws -> PlaneConfiguration {
        try PlaneConfiguration(
            test,
            """
            listeners:
              web:
                address: "unix:@web"
                timeout: { head: 2s, idle: 3s, body: 2s, write: 3s }
            routes:
              - name: all
                match: { path: /* }
                service: app
                timeout: { head: 3s, idle: 3s }
                retry: { attempts: 3, on: [connect, reset, timeout, 503] }
                hold: 16KiB
            services:
              app:
                endpoints: ["unix:@0", "unix:@1", "unix:@2"]
                connections: { idle-timeout: 2s }
                retry-budget: { ratio: 20%, floor: 1/s }
            admin: off
            """)
    }

    /// Some clients, each with some requests; endpoints that fail in every way there is.
    static func play(
        _ world: Simulation, _ configuration: PlaneConfiguration, faultsOneIn: Int, endpoints: Int = 3
    ) {
        for i in 0..<endpoints {
            let endpoint = SimulatedEndpoint(world, configuration.path("\(i)"))
            endpoint.reads = pace(world)
            endpoint.behaves = { _ in behaviour(world, faultsOneIn: faultsOneIn) }
            if faultsOneIn == 0 || !world.chance.one(in: 6) { endpoint.up() }
        }
        var number = Int(world.seed % 1_000) * 100
        for _ in 0...world.chance.below(4) {
            var asks: [Ask] = []
            for _ in 0...world.chance.below(4) {
                number += 1
                asks.append(ask(world, number))
            }
            // Who connects has something to say.
            asks[0].thinksMs = 0
            let client: Asking
            if world.chance.one(in: 3) {
                let streams = StreamsClient(world, at: configuration.path("web"), asks)
                streams.withdrawsOneIn = faultsOneIn
                client = streams
            } else {
                client = SimulatedClient(world, at: configuration.path("web"), asks)
            }
            client.writes = pace(world)
            client.reads = pace(world)
            client.start(afterMs: world.chance.below(200))
        }
    }

    /// The same with endpoints that all do as they should, the first of them listening.
    static func playHealthy(_ world: Simulation, _ configuration: PlaneConfiguration, endpoints count: Int) {
        play(world, configuration, faultsOneIn: 0, endpoints: count)
    }

    static func ask(_ world: Simulation, _ number: Int) -> Ask {
        var ask = Ask(number: number)
        ask.method = world.chance.of(["GET", "GET", "GET", "HEAD", "PUT", "POST", "POST", "DELETE"])
        if ask.method == "PUT" || ask.method == "POST" {
            ask.size = world.chance.size(world.chance.one(in: 8) ? 400_000 : 40_000)
            if world.chance.one(in: 2) { ask.framing = .chunked }
        }
        if world.chance.one(in: 3) { ask.thinksMs = world.chance.below(2_500) }
        return ask
    }

    static func behaviour(_ world: Simulation, faultsOneIn: Int) -> Behaviour {
        var behaviour = Behaviour()
        behaviour.size = world.chance.size(world.chance.one(in: 8) ? 600_000 : 60_000)
        behaviour.framing = world.chance.of([.length, .length, .chunked, .untilEnd])
        behaviour.thinksMs = world.chance.one(in: 2) ? world.chance.below(200) : 0
        behaviour.isInterim = world.chance.one(in: 8)
        // An answer before its request is whole ends the connection.
        behaviour.isEarly = faultsOneIn > 0 && world.chance.one(in: 16)
        behaviour.writes = pace(world)
        if faultsOneIn > 0, world.chance.one(in: faultsOneIn) {
            behaviour.fault = world.chance.of(Behaviour.Fault.allCases)
            // An end that nobody announced says nothing of what is missing.
            if behaviour.framing == .untilEnd { behaviour.framing = .length }
        }
        if faultsOneIn > 0, world.chance.one(in: faultsOneIn) { behaviour.status = 503 }
        return behaviour
    }

    static func pace(_ world: Simulation) -> Wire.Pace {
        if world.chance.one(in: 2) { return .atOnce }
        return Wire.Pace(bytesMax: 1 + world.chance.size(40_000), pauseMs: world.chance.below(3))
    }

    @Test func whateverPeersDo() throws {
        let configuration = try Self.configuration("traffic")
        overSeeds(configuration) { world in
            Self.play(world, configuration, faultsOneIn: 4)
            // Some leave in the middle.
            for client in world.clients where world.chance.one(in: 4) {
                world.after(ms: world.chance.below(3_000)) { client.leave() }
            }
            if !world.run(atMostMs: 120_000, until: { world.clients.allSatisfy(\.isDone) }) {
                world.violated("not every client has got its answers")
            }
            world.expectRest()
            let records = world.records()
            world.expectOneRecordEach(records)
            world.expectRetriesInBounds(records, attemptsMax: 3, floor: 10, perMille: 200)
        }
    }

    /// The same without faults: every request is answered in full, and every body arrives.
    @Test func whatIsHealthyArrives() throws {
        let configuration = try Self.configuration("healthy")
        overSeeds(configuration) { world in
            Self.play(world, configuration, faultsOneIn: 0)
            if !world.run(atMostMs: 120_000, until: { world.clients.allSatisfy(\.isDone) }) {
                world.violated("not every client has got its answers")
            }
            for client in world.clients {
                for (ask, outcome) in zip(client.asks, client.outcomes) where outcome != .answered(200) {
                    world.violated("\(ask.method) \(ask.number): \(outcome)")
                }
            }
            for arrival in world.arrivals {
                let ask = world.clients.lazy.flatMap(\.asks).first { $0.number == arrival.number }
                if let ask, arrival.isWhole, arrival.bodyBytes != ask.size {
                    world.violated("\(ask.number) arrived with \(arrival.bodyBytes) bytes of \(ask.size)")
                }
            }
            world.expectRest()
            world.expectOneRecordEach(world.records())
        }
    }
}
