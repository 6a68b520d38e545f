// Bodies that go through stages while their source pauses.

import Configuration
import Reactor
import Testing
import WeirHTTPModel

@testable import Proxy

/// Keeps what it gets until the source pauses.
private final class Hoard: BodyStage {
    private var held: [UInt8] = []
    private var taken = 0

    override var flushesWhenIdle: Bool { true }

    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        if let bytes = input.bytes { held += UnsafeBufferPointer(start: bytes, count: input.count) }
        if input.mode == .more { return StageStep(consumed: input.count) }
        let count = min(held.count - taken, capacity)
        held.withUnsafeBufferPointer { held in
            if let base = held.baseAddress { room.update(from: base + taken, count: count) }
        }
        taken += count
        return StageStep(consumed: input.count, produced: count, hasMore: taken < held.count)
    }
}

private final class HoardPolicy: Policy, @unchecked Sendable {
    init() { super.init("hoard", "for a test", .responseHead) }

    override func responseHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: ResponseDraft, _ writer: inout ByteWriter
    ) {
        worker.add(Hoard(), toResponseOf: exchange)
    }
}

@Suite struct StagedBodyTests {
    /// What a flush brings out may be more than goes in one call: the rest waits neither for the endpoint's next byte nor
    /// for the client, which has room for it.
    @Test func aFlushIsSentToItsEnd() throws {
        let configuration = try PlaneConfiguration(
            "flush",
            """
            listeners:
              web: { address: "unix:@web" }
            routes: [{ name: all, match: { path: /* }, service: app }]
            services: { app: { endpoints: ["unix:@0"] } }
            admin: off
            """)
        overSeeds(configuration, further: { _ in [HoardPolicy()] }) { world in
            // As it is read in full blocks, its end is not known before nothing more is to be had.
            let count = (1 + world.chance.below(2)) * Worker.inputBytes - world.chance.below(2) * 100
            let size = count - 9
            let digits = String(size, radix: 16)
            let padding = String(repeating: "0", count: 5 - digits.utf8.count)
            let block =
                Array((padding + digits + "\r\n").utf8)
                + [UInt8](repeating: UInt8(ascii: "x"), count: size) + Array("\r\n".utf8)
            let endpoint = SimulatedEndpoint(world, configuration.path("0"))
            var far: Wire?
            endpoint.accepts = { wire in
                far = wire
                wire.received = { _ in
                    wire.send(Array("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".utf8))
                    world.after(ms: 10) { wire.send(block) }
                }
                wire.ended = { _ in wire.close() }
            }
            endpoint.up()

            let (socket, error) = Socket.connect(to: .unix(path: configuration.path("web")))
            if error != 0 { return world.violated("nobody listens") }
            let near = world.wire(socket)
            var received: [UInt8] = []
            near.received = { received += $0 }
            near.ended = { _ in near.close() }
            near.send(Array("GET /1 HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n".utf8))
            // A client that takes something tells the worker that there is room.
            near.isDeaf = true
            world.run(atMostMs: 1_000) { false }
            var sent = 0
            world.worker.exchanges.each { if !$0.pointee.isOver { sent = Int($0.pointee.bytesOut) } }
            if sent < size { world.violated("\(sent) of \(size) bytes have been sent on") }
            near.isDeaf = false
            far?.send(Array("0\r\n\r\n".utf8))
            if !world.run(atMostMs: 1_000, until: { near.isClosed }) { world.violated("no end") }
            let came = received.reduce(0) { $0 + ($1 == UInt8(ascii: "x") ? 1 : 0) }
            if came != size { world.violated("\(came) of \(size) bytes have come") }
            world.expectRest()
        }
    }
}
