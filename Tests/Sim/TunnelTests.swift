// TCP connections: bytes both ways, unchanged and all of them, whatever the pieces; each direction ends for itself.

import Glibc
import Reactor
import Testing

/// One end of a tunnel: sends what it has, ends its direction, and compares what comes.
private final class TunnelEnd {
    private unowned let world: Simulation
    private let number: Int
    private let isClient: Bool
    private let wire: Wire
    private(set) var came = 0
    private(set) var hasHeardEnd = false
    private(set) var hasFailed = false

    /// - Parameter size: of what it sends.
    init(_ world: Simulation, _ wire: Wire, number: Int, isClient: Bool, size: Int) {
        self.world = world
        self.number = number
        self.isClient = isClient
        self.wire = wire
        wire.writes = TrafficTests.pace(world)
        wire.reads = TrafficTests.pace(world)
        wire.received = { [self] bytes in
            if !Pattern.matches(bytes.baseAddress!, bytes.count, number, isResponse: isClient, at: came) {
                world.violated("bytes of tunnel \(number) have changed")
            }
            came += bytes.count
        }
        wire.ended = { [self] error in
            hasHeardEnd = true
            hasFailed = error != 0
        }
        wire.drained = { wire.shutdownWrite() }
        world.after(ms: world.chance.below(50)) {
            if size == 0 { return wire.shutdownWrite() }
            wire.send(Array(Pattern.body(number, isResponse: !isClient, size)))
        }
    }

    func close() { wire.close() }
}

@Suite struct TunnelTests {
    @Test func bothWays() throws {
        let configuration = try PlaneConfiguration(
            "tunnels",
            """
            listeners:
              tcp: { address: "unix:@tcp", protocol: tcp, service: app, timeout: { idle: 4s } }
            services:
              app: { endpoints: ["unix:@0"] }
            admin: off
            """)
        overSeeds(configuration) { world in
            let endpoint = SimulatedEndpoint(world, configuration.path("0"))
            endpoint.up()
            var near: [TunnelEnd] = []
            var far: [TunnelEnd] = []
            // One after the other, so that it is known whose the endpoint's connection is.
            let count = 1 + world.chance.below(3)
            let sizes = (0..<count).map { _ in
                (toEndpoint: world.chance.size(500_000), toClient: world.chance.size(500_000))
            }
            endpoint.accepts = { wire in
                far.append(
                    TunnelEnd(
                        world, wire, number: far.count, isClient: false, size: sizes[far.count].toClient))
            }
            for i in 0..<count {
                let (socket, error) = Socket.connect(to: .unix(path: configuration.path("tcp")))
                guard error == 0 else { return world.violated("connect: \(error)") }
                near.append(
                    TunnelEnd(
                        world, world.wire(socket), number: i, isClient: true, size: sizes[i].toEndpoint))
                world.run(atMostMs: 1_000) { far.count == near.count }
            }
            // Now and then somebody goes in the middle.
            var gone = -1
            if world.chance.one(in: 3) {
                gone = world.chance.below(count)
                let leaver = world.chance.one(in: 2) ? near[gone] : far[gone]
                world.after(ms: world.chance.below(40)) { leaver.close() }
            }
            let isDone = world.run(atMostMs: 30_000) {
                (0..<count).allSatisfy { $0 == gone || near[$0].hasHeardEnd && far[$0].hasHeardEnd }
            }
            if !isDone { world.violated("a tunnel has not ended") }
            for i in 0..<count where i != gone {
                if near[i].came != sizes[i].toClient || far[i].came != sizes[i].toEndpoint {
                    world.violated("tunnel \(i): \(near[i].came), \(far[i].came) bytes of \(sizes[i])")
                }
                if near[i].hasFailed || far[i].hasFailed { world.violated("tunnel \(i) was reset") }
            }
            for end in near + far { end.close() }
            world.expectRest()
            let records = world.records()
            if records.count != count { world.violated("\(records.count) records of \(count) tunnels") }
        }
    }
}
