// Deadlines: each passes at its time, with its reason, and never before, whatever else goes on.

import Testing

@Suite struct DeadlineTests {
    /// Times no two of which are alike.
    static func configuration() throws -> PlaneConfiguration {
        try PlaneConfiguration(
            "deadlines",
            """
            listeners:
              web:
                address: "unix:@web"
                timeout: { head: 1100ms, idle: 1700ms, body: 2300ms, write: 3100ms }
                min-body-rate: "off"
            routes:
              - name: total
                match: { method: DELETE, path: /* }
                service: app
                timeout: { head: 30s, idle: 30s, total: 4300ms }
                retry: { attempts: 1 }
              - name: timed
                match: { method: GET, path: /* }
                service: app
                timeout: { head: 1300ms, idle: 1900ms }
                retry: { attempts: 1 }
              - name: all
                match: { path: /* }
                service: app
                timeout: { head: 1300ms, idle: 1900ms }
                retry: { attempts: 2, on: [503] }
            services:
              app:
                endpoints: ["unix:@0"]
                connections: { idle-timeout: 2s }
            admin: off
            """)
    }

    private enum Scene: CaseIterable {
        case head, silentConnection, betweenRequests, body, endpointSilent, endpointStalls, total, clientDeaf
        case endpointDeaf, patience
    }

    /// Time counts in whole milliseconds: a deadline is early by less than one at most. It passes when a slot of the wheel comes round, and the machine may have been busy.
    private static let lateMs = 8 + 2 * 30 + 10

    @Test func eachAtItsTime() throws {
        let configuration = try Self.configuration()
        overSeeds(configuration) { world in
            let scene = Scene.allCases[Int(world.seed) % Scene.allCases.count]
            let endpoint = SimulatedEndpoint(world, configuration.path("0"))
            endpoint.up()
            var behaviour = Behaviour(size: world.chance.size(20_000), thinksMs: world.chance.below(60))
            behaviour.framing = world.chance.of([.length, .chunked])
            behaviour.writes = TrafficTests.pace(world)
            let number = 1
            var ask = Ask(number: number)
            switch scene {
            case .head:
                ask.stallsAt = 1 + world.chance.below(30)
            case .silentConnection:
                ask.stallsAt = 0
            case .betweenRequests: break
            case .body:
                ask = Ask(number: number, method: "POST", size: 500)
                ask.stallsAt = 100 + world.chance.below(300)
            case .endpointSilent: behaviour.fault = .silence
            case .endpointStalls:
                behaviour.fault = .stall
                behaviour.size = 20_000
            case .total:
                ask.method = "DELETE"
                behaviour.fault = world.chance.of([.silence, .stall])
                behaviour.size = 5_000
            case .clientDeaf: behaviour.size = 900_000
            case .endpointDeaf:
                ask = Ask(number: number, method: "POST", size: 900_000)
                behaviour.isDeaf = true
                behaviour.fault = .silence
            case .patience:
                ask = Ask(number: number, method: "PUT", size: 3_000, framing: .chunked)
                ask.stallsAt = 200 + world.chance.below(1_000)
                behaviour.isEarly = true
            }
            endpoint.behaves = { [behaviour] arrival in arrival.number == number ? behaviour : Behaviour() }
            let client = SimulatedClient(world, at: configuration.path("web"), [ask])
            client.writes = Wire.Pace(bytesMax: 1 + world.chance.size(60_000), pauseMs: 1)
            client.staysOpen = true
            client.isDeaf = scene == .clientDeaf
            client.start()
            // Others go on meanwhile.
            let other = SimulatedClient(
                world, at: configuration.path("web"),
                (2...3).map { Ask(number: $0, thinksMs: $0 == 2 ? 0 : 700) })
            other.start(afterMs: world.chance.below(500))
            world.run(atMostMs: 20_000) {
                (client.isDone || scene == .clientDeaf && client.endedNs != nil) && other.isDone
            }
            if scene == .clientDeaf { client.isDeaf = false }
            world.run(atMostMs: 20_000) { client.isDone }
            world.expectRest()
            let records = world.records()
            world.expectOneRecordEach(records)
            Self.judge(world, scene, client, records.first { $0.number == number })
        }
    }

    /// Of an endpoint that says how long it keeps a connection Weir's end is a second earlier: no request meets its own.
    @Test func anEndpointsConnectionEndsBeforeItsOwnEnd() throws {
        let configuration = try PlaneConfiguration(
            "keeping",
            """
            listeners: { web: { address: "unix:@web" } }
            routes: [{ name: all, match: { path: /* }, service: app }]
            services:
              app:
                endpoints: ["unix:@0"]
                connections: { idle-timeout: 60s }
            admin: off
            """)
        overSeeds(configuration) { world in
            let seconds = 2 + world.chance.below(9)
            let pauseMs = world.chance.below(seconds * 1_000 + 1_000)
            let endpoint = SimulatedEndpoint(world, configuration.path("0"))
            endpoint.up()
            endpoint.behaves = { _ in Behaviour(size: 100, keepsSeconds: seconds) }
            let client = SimulatedClient(
                world, at: configuration.path("web"), [Ask(number: 1), Ask(number: 2, thinksMs: pauseMs)])
            client.start()
            world.run(atMostMs: 30_000) { client.isDone }
            world.expectRest()
            guard world.arrivals.count == 2 else { return world.violated("not both came") }
            let endMs = (seconds - 1) * 1_000
            if pauseMs > endMs + Self.lateMs, !world.arrivals[1].isFirst {
                world.violated("a connection was used \(pauseMs) ms after its answer said \(seconds) s")
            }
            if pauseMs < endMs - 10, world.arrivals[1].isFirst {
                world.violated("a connection ended \(pauseMs) ms after its answer said \(seconds) s")
            }
        }
    }

    private static func judge(
        _ world: Simulation, _ scene: Scene, _ client: SimulatedClient, _ record: Record?
    ) {
        /// The record of the request says that this deadline has passed, and when.
        func expect(
            _ reason: String, _ status: Int, _ deadlineMs: Int, sinceUs: Int = 0, lateMs: Int = lateMs
        ) {
            guard let record else { return world.violated("\(scene): no record") }
            if record.reason != reason || record.status != status {
                world.violated("\(scene): \(record.status) \(record.reason)")
            }
            let tookUs = record.totalUs - sinceUs
            if tookUs <= (deadlineMs - 1) * 1_000 {
                world.violated("\(scene): after \(tookUs) us, too early")
            }
            if tookUs > (deadlineMs + lateMs) * 1_000 {
                world.violated("\(scene): after \(tookUs) us, too late")
            }
        }
        func expectEnd(_ deadlineMs: Int, sinceNs: UInt64, earlyMs: Int = 1) {
            guard let endedNs = client.endedNs else {
                return world.violated("\(scene): the connection has not ended")
            }
            let tookMs = Int(endedNs / 1_000) - Int(sinceNs / 1_000)
            if tookMs <= (deadlineMs - earlyMs) * 1_000 {
                world.violated("\(scene): after \(tookMs) us, too early")
            }
            if tookMs > (deadlineMs + lateMs) * 1_000 {
                world.violated("\(scene): after \(tookMs) us, too late")
            }
        }
        switch scene {
        case .head:
            // Refused before there is a request to be recorded under its target.
            if client.outcomes != [.answered(408)] { world.violated("\(scene): \(client.outcomes)") }
            expectEnd(1_100, sinceNs: client.connectedNs)
        case .silentConnection:
            if client.outcomes != [.nothing] { world.violated("\(scene): \(client.outcomes)") }
            expectEnd(1_100, sinceNs: client.connectedNs)
        case .betweenRequests:
            // The client hears of the answer a turn later than it has left.
            expectEnd(1_700, sinceNs: client.knownNs[0] ?? 0, earlyMs: 31)
        case .body:
            // Its last byte came within that much.
            expect("request-body-timeout", 408, 2_300, lateMs: lateMs + 500)
        case .endpointSilent:
            expect("upstream-head-timeout", 504, 1_300, lateMs: lateMs + 100)
        case .endpointStalls:
            expect("upstream-body-timeout", 200, 1_900, lateMs: lateMs + 500)
        case .total:
            expect("total-timeout", record?.status ?? 0, 4_300)
        case .clientDeaf:
            expect("client-too-slow", 200, 3_100, lateMs: lateMs + 3_100 / 4 + 500)
        case .endpointDeaf:
            expect("upstream-write-timeout", 504, 1_900, lateMs: lateMs + 1_900 / 4 + 500)
        case .patience:
            // A body without a length that may be sent again is given 100 ms to be whole.
            guard let arrival = world.arrivals.first(where: { $0.number == 1 }) else {
                return world.violated("\(scene): has not come to the endpoint")
            }
            let waitedUs = Int(arrival.atNs / 1_000) - Int(client.connectedNs / 1_000)
            if waitedUs <= 99_000 { world.violated("\(scene): sent on after \(waitedUs) us") }
            if waitedUs > (100 + lateMs + 200) * 1_000 {
                world.violated("\(scene): sent on after \(waitedUs) us only")
            }
        }
    }
}
