// Attacks: each ends with GOAWAY ENHANCE_YOUR_CALM and a reason, and costs a bounded amount of memory
// (RFC 9113 §10.5). And frames that break the connection, each with its section.

import WeirHTTPModel
import Testing

@testable import WeirHTTP2

@Suite struct FloodTests {
    /// Feeds the same frames until the connection ends; how often it took.
    private func flood(
        _ peer: Peer, most: Int = 10_000, answers: Bool = false, _ frames: (Int) -> [UInt8]
    ) -> Int {
        for round in 0..<most {
            let seen = peer.feed(frames(round))
            if seen.contains(where: { $0.kind == .violation }) { return round }
            if answers { for one in seen where one.kind == .head { peer.respond(one.stream, 200) } }
            _ = peer.output()
            if peer.events().contains(where: { $0.kind == .violation }) { return round }
        }
        return most
    }

    private func expectCalm(_ peer: Peer, _ violation: HTTP2Violation, line: Int = #line) {
        #expect(peer.session.violation == violation, "line \(line)")
        #expect(!peer.session.wantsInput)
        _ = peer.output()
        #expect(peer.session.isFinished, "line \(line)")
        // Deaf from now on.
        #expect(peer.feed(Frame.headers(99_999, get)).isEmpty)
        #expect(peer.output().isEmpty)
    }

    // CVE-2023-44487
    @Test func rapidReset() {
        let peer = Peer.server()
        let rounds = flood(peer) { Frame.headers(2 * $0 + 1, get) + Frame.reset(2 * $0 + 1) }
        #expect(rounds == 256)
        expectCalm(peer, .resetFlood)
    }

    // What is reset before we look at it is not even begun.
    @Test func requestsWithdrawnInTheSameBlockAreNeverSeen() {
        let peer = Peer.server()
        let seen = peer.feed(
            Frame.headers(1, post, end: false) + Frame.data(1, "abc") + Frame.headers(3, get) + Frame.reset(1)
        )
        #expect(seen.map(\.kind) == [.withdrawn, .head])
        #expect(seen.last?.stream == 3)
        #expect(peer.session.streamsOpen == 1)
        var bytes: [UInt8] = []
        for round in 2..<100 { bytes += Frame.headers(2 * round + 1, get) + Frame.reset(2 * round + 1) }
        #expect(peer.feed(bytes).allSatisfy { $0.kind == .withdrawn })
    }

    @Test(arguments: [(0, 32), (10, 128), (100, 256)])
    func rapidResetInTwoBlocks(ageMs: UInt64, attempts: Int) {
        let peer = Peer.server { $0.floods.resets = TokenBucket(burst: 256, perSecond: 0) }
        var round = 0
        while peer.session.violation == .none, round < 1_000 {
            #expect(peer.feed(Frame.headers(2 * round + 1, get)).map(\.kind) == [.head])
            peer.nowMs += ageMs
            peer.feed(Frame.reset(2 * round + 1))
            round += 1
        }
        #expect(round == attempts + 1)
    }

    @Test func longCallsMayBeCancelledForEver() {
        let peer = Peer.server { $0.floods.resets = TokenBucket(burst: 1, perSecond: 0) }
        for round in 0..<50 {
            for i in 0..<100 { peer.feed(Frame.headers(2 * (round * 100 + i) + 1, get)) }
            peer.nowMs += 1_000
            for i in 0..<100 { peer.feed(Frame.reset(2 * (round * 100 + i) + 1)) }
            _ = peer.output()
        }
        #expect(peer.session.violation == .none)
    }

    // A page of 128 pictures that is left at once.
    @Test func aBrowserLeavesAPage() {
        let peer = Peer.server()
        peer.feed((0..<128).flatMap { Frame.headers(2 * $0 + 1, get) })
        peer.nowMs += 20
        peer.feed((0..<128).flatMap { Frame.reset(2 * $0 + 1) })
        #expect(peer.session.violation == .none)
    }

    // Ten seconds in which nobody looked: 100 calls a second, each cancelled after 100 ms.
    @Test func callsCancelledWhileTheMachineStoodStill() {
        let peer = Peer.server()
        var bytes: [UInt8] = []
        for call in 0..<1_000 {
            bytes += Frame.headers(2 * call + 1, get)
            if call >= 10 { bytes += Frame.reset(2 * (call - 10) + 1) }
        }
        peer.nowMs += 10_000
        var at = 0
        while at < bytes.count {
            let end = min(at + 65_536, bytes.count)
            peer.feed(Array(bytes[at..<end]))
            at = end
        }
        _ = peer.output()
        #expect(peer.session.violation == .none)
    }

    // As hyper-h2 clients do it: each message is acknowledged, for its stream and for the connection.
    @Test func tinyWindowUpdatesForEachMessageArriveTogether() {
        let peer = Peer.server()
        peer.feed(Frame.headers(1, post, end: false))
        peer.respond(1, 200, end: false)
        for n in 0..<500 {
            peer.send(1, "message \(n)")
            _ = peer.output()
        }
        peer.feed((0..<500).flatMap { _ in Frame.window(1, 11) + Frame.window(0, 11) })
        #expect(peer.session.violation == .none)
    }

    @Test func aReaderInSmallPiecesMaySaySoForEach() {
        let peer = Peer.server()
        peer.feed(Frame.headers(1, get))
        peer.respond(1, 200, end: false)
        for _ in 0..<3 {
            peer.send(1, String(repeating: "x", count: 20_000))
            _ = peer.output()
        }
        peer.feed((0..<240).flatMap { _ in Frame.window(1, 250) + Frame.window(0, 250) })
        #expect(peer.session.violation == .none)
    }

    @Test func pingsWhileTheMachineStoodStill() {
        let peer = Peer.server()
        peer.nowMs += 60_000
        peer.feed((0..<600).flatMap { _ in Frame.ping })
        #expect(peer.frames().filter { $0.type == 6 }.count == 600)
        #expect(peer.session.violation == .none)
    }

    @Test func answersToPingsThatWereNeverSent() {
        let peer = Peer.server()
        let answer = Frame.frame(6, 1, 0, [1, 2, 3, 4, 5, 6, 7, 8])
        for _ in 0..<500 {
            peer.session.ping()
            _ = peer.output()
            peer.feed(answer)
        }
        #expect(peer.session.violation == .none)
        #expect(flood(peer) { _ in answer } == 100)
        expectCalm(peer, .pingFlood)
    }

    // An endpoint that answers early and cuts the rest of the request, again and again.
    @Test func anEndpointMayResetWhatWeOpened() throws {
        let client = Peer.client()
        for _ in 0..<2_000 {
            let id = try #require(client.request("POST", "/", end: false))
            _ = client.output()
            client.feed(Frame.headers(Int(id), [(":status", "413")]) + Frame.reset(Int(id), 0))
            _ = client.output()
            client.events()
        }
        #expect(client.session.violation == .none)
        #expect(flood(client) { _ in Frame.reset(1) } > 0)
        expectCalm(client, .resetFlood)
    }

    @Test func rapidResetEndsWithGoaway() {
        let peer = Peer.server()
        var bytes: [UInt8] = []
        for round in 0..<10_000 { bytes += Frame.headers(2 * round + 1, get) + Frame.reset(2 * round + 1) }
        let seen = peer.feed(bytes)
        #expect(seen.last?.kind == .violation)
        let frames = peer.frames()
        #expect(frames.last?.type == 7 && frames.last?.code == 11)
    }

    // Memory: what 10,000 rapid resets on one connection hold at most, and what remains of them. The
    // budget is out of the way here.
    @Test func rapidResetCostsLittleMemory() {
        let peer = Peer.server { $0.floods.resets = TokenBucket(burst: 1_000_000, perSecond: 1) }
        var bytes: [UInt8] = []
        for round in 0..<10_000 {
            bytes += Frame.headers(2 * round + 1, get + [("x", String(repeating: "y", count: 500))])
            bytes += Frame.reset(2 * round + 1)
        }
        var streamsMost = 0
        var inboxMost = 0
        var heads = 0
        var at = 0
        while at < bytes.count {
            let end = min(at + 65_536, bytes.count)
            bytes[at..<end].withUnsafeBufferPointer { buffer in
                guard let start = buffer.baseAddress else { return }
                peer.session.receive(start, count: buffer.count, nowMs: 0)
                while let event = peer.session.nextEvent() {
                    if event.kind == .head || event.kind == .withdrawn { heads += 1 }
                    streamsMost = max(streamsMost, peer.session.streamsOpen)
                    inboxMost = max(inboxMost, peer.session.s.pointee.inbox?.pointee.byteCapacity ?? 0)
                }
            }
            _ = peer.output()
            at = end
        }
        #expect(heads == 10_000)
        #expect(streamsMost <= Inbox.eventsFull)
        #expect(inboxMost <= 2 * Inbox.bytesFull)
        #expect(peer.session.streamsOpen == 0)
        #expect(peer.session.s.pointee.inbox == nil)
        #expect(peer.context.c.pointee.freeStreamCount <= Inbox.eventsFull)
        #expect(!peer.session.wantsOutput)
    }

    @Test func clientsThatAlsoGetAnswersMayCancelMuch() {
        let peer = Peer.server()
        for round in 0..<5_000 {
            let first = 4 * round + 1
            peer.feed(Frame.headers(first, get) + Frame.headers(first + 2, get) + Frame.reset(first + 2))
            peer.respond(Int32(first), 200)
            _ = peer.output()
            peer.events()
        }
        #expect(peer.session.violation == .none)
    }

    // CVE-2025-8671: the peer makes us reset streams.
    @Test func madeYouResetByMalformedRequests() {
        let peer = Peer.server()
        #expect(flood(peer) { Frame.headers(2 * $0 + 1, get + [("Bad", "1")]) } == 100)
        expectCalm(peer, .provokedResetFlood)
    }

    @Test func madeYouResetByWindowOverflow() {
        let peer = Peer.server()
        let rounds = flood(peer) {
            Frame.headers(2 * $0 + 1, get) + Frame.window(2 * $0 + 1, 0x7FFF_FFFF)
                + Frame.window(2 * $0 + 1, 0x7FFF_FFFF)
        }
        #expect(rounds <= 101)
        expectCalm(peer, .provokedResetFlood)
    }

    @Test func madeYouResetByLength() {
        let peer = Peer.server()
        let rounds = flood(peer) {
            Frame.headers(2 * $0 + 1, post + [("content-length", "1")], end: false)
                + Frame.data(2 * $0 + 1, "ab", end: true)
        }
        #expect(rounds == 100)
        expectCalm(peer, .provokedResetFlood)
    }

    @Test func pingFlood() {
        let peer = Peer.server()
        #expect(flood(peer) { _ in Frame.ping } == 100)
        expectCalm(peer, .pingFlood)
    }

    @Test func pingsOverTimeAreFine() {
        let peer = Peer.server()
        for _ in 0..<1_000 {
            peer.nowMs += 200
            peer.feed(Frame.ping)
            #expect(peer.frames().map(\.type) == [6])
        }
        #expect(peer.session.violation == .none)
    }

    @Test func settingsFlood() {
        let peer = Peer.server()
        #expect(flood(peer) { _ in Frame.settings([(4, 70_000)]) } == 31)
        expectCalm(peer, .settingsFlood)
    }

    @Test func emptyDataFlood() {
        let peer = Peer.server()
        peer.feed(Frame.headers(1, post, end: false))
        #expect(flood(peer) { _ in Frame.data(1, "") } == 128)
        expectCalm(peer, .emptyFrameFlood)
    }

    @Test func emptyContinuationFlood() {
        let peer = Peer.server()
        peer.feed(Frame.frame(1, 1, 1, []))
        #expect(flood(peer) { _ in Frame.frame(9, 0, 1, []) } == 16)
        expectCalm(peer, .continuationFlood)
    }

    @Test func priorityFlood() {
        let peer = Peer.server()
        #expect(flood(peer) { _ in Frame.frame(2, 0, 5, [0, 0, 0, 3, 10]) } == 256)
        expectCalm(peer, .priorityFlood)
        let updates = Peer.server()
        updates.feed(Frame.headers(1, get))
        #expect(flood(updates) { _ in Frame.priorityUpdate(1, "u=1") } == 256)
        expectCalm(updates, .priorityFlood)
    }

    @Test func tinyWindowUpdateFlood() {
        let peer = Peer.server()
        #expect(flood(peer) { _ in Frame.window(0, 1) } == 256)
        expectCalm(peer, .windowUpdateFlood)
        let large = Peer.server()
        #expect(flood(large, most: 1_000) { _ in Frame.window(0, 1_024) } == 1_000)
    }

    // The peer sends pings and does not read: what waits is bounded by us, then by the library.
    @Test func acknowledgementsThatNobodyReads() {
        let peer = Peer.server { $0.floods.pings = TokenBucket(burst: 100_000, perSecond: 1) }
        var fed = 0
        while peer.session.wantsInput, fed < 10_000 {
            peer.feed(Frame.ping)
            fed += 1
        }
        #expect(fed < 1_000)
        while peer.session.violation == .none, fed < 10_000 {
            peer.feed(Frame.ping)
            fed += 1
        }
        #expect(fed < 2_000)
        expectCalm(peer, .acknowledgementFlood)
    }

    @Test func streamsOverTheLimit() {
        let peer = Peer.server { $0.streamsMax = 10 }
        var heads = 0
        for index in 0..<12 {
            heads += peer.feed(Frame.headers(2 * index + 1, get)).filter { $0.kind == .head }.count
        }
        #expect(heads == 10)
        let refused = peer.frames()
        #expect(refused.map(\.type) == [3, 3] && refused.map(\.code) == [7, 7])
        #expect(refused.map(\.stream) == [21, 23])
        peer.events()
        // A place that is free again is taken; what comes late for a refused stream harms nobody.
        peer.feed(Frame.reset(1))
        #expect(peer.feed(Frame.headers(25, get)).map(\.kind) == [.head])
        peer.feed(Frame.data(21, "late", end: true))
        #expect(peer.session.violation == .none)
    }

    @Test func refusalsAreNotForEver() {
        let peer = Peer.server { $0.streamsMax = 10 }
        let rounds = flood(peer) { Frame.headers(2 * $0 + 1, get) }
        #expect(rounds == 110)
        expectCalm(peer, .provokedResetFlood)
    }

    // All of it in one block: nothing is sent in between, and no more is kept than the budget allows.
    @Test func refusalsInOneBlock() {
        let peer = Peer.server { $0.streamsMax = 10 }
        var bytes: [UInt8] = []
        for index in 0..<2_000 { bytes += Frame.headers(2 * index + 1, get) }
        let seen = peer.feed(bytes)
        #expect(seen.filter { $0.kind == .head }.count == 10)
        #expect(seen.contains { $0.kind == .violation })
        #expect(peer.session.streamsOpen <= 111)
        expectCalm(peer, .provokedResetFlood)
    }

    @Test(arguments: [0, 1], [0, 5, 300])
    func framesOfUnknownTypes(stream: Int, length: Int) {
        let peer = Peer.server()
        let payload = [UInt8](repeating: 7, count: length)
        let rounds = flood(peer) { Frame.frame(UInt8(11 + $0 % 5), 0xff, stream, payload) }
        #expect(rounds == 128)
        expectCalm(peer, .emptyFrameFlood)
    }

    @Test func framesOfUnknownTypesBesideRequestsAreNoFlood() {
        let peer = Peer.server()
        for round in 0..<5_000 {
            peer.feed(Frame.frame(0x2b, 0, 0, [1, 2, 3]) + Frame.headers(2 * round + 1, get))
            peer.respond(Int32(2 * round + 1), 200)
            _ = peer.output()
            peer.events()
        }
        #expect(peer.session.violation == .none)
    }
}

@Suite struct ConnectionErrorTests {
    struct Bad: Sendable, CustomTestStringConvertible {
        let name: String
        let code: UInt32
        let frames: [UInt8]
        var testDescription: String { name }
        init(_ name: String, _ code: UInt32, _ frames: [UInt8]) {
            self.name = name
            self.code = code
            self.frames = frames
        }
    }

    static let bad = [
        Bad("§4.1 frame over the maximum size", 6, Frame.frame(0, 0, 1, Array(repeating: 0, count: 16_385))),
        Bad("§5.1 DATA on an idle stream", 1, Frame.data(1, "x")),
        Bad("§5.1 RST_STREAM on an idle stream", 1, Frame.reset(1)),
        Bad("§5.1 WINDOW_UPDATE on an idle stream", 1, Frame.window(1, 10)),
        Bad("§5.1 CONTINUATION out of the blue", 1, Frame.frame(9, 4, 1, [])),
        Bad("§5.1.1 even stream number", 1, Frame.headers(2, get)),
        Bad("§6.1 DATA on stream 0", 1, Frame.data(0, "x")),
        Bad(
            "§6.1 padding longer than the frame", 1,
            Frame.headers(1, post, end: false) + Frame.frame(0, 8, 1, [200, 1])),
        Bad("§6.2 HEADERS on stream 0", 1, Frame.headers(0, get)),
        Bad("§6.2 another frame inside of a head", 1, Frame.frame(1, 1, 1, Frame.section(get)) + Frame.ping),
        Bad(
            "§6.10 CONTINUATION of another stream", 1,
            Frame.frame(1, 1, 1, Frame.section(get)) + Frame.frame(9, 4, 3, [])),
        Bad("§6.3 PRIORITY of a wrong size", 6, Frame.frame(2, 0, 1, [0, 0, 0, 0])),
        Bad("§6.4 RST_STREAM of a wrong size", 6, Frame.headers(1, get) + Frame.frame(3, 0, 1, [0, 0, 0])),
        Bad("§6.4 RST_STREAM on stream 0", 1, Frame.reset(0)),
        Bad("§6.5 SETTINGS of a wrong size", 6, Frame.frame(4, 0, 0, [0, 1, 2])),
        Bad("§6.5 SETTINGS on a stream", 1, Frame.frame(4, 0, 1, [])),
        Bad("§6.5 acknowledgement with a payload", 6, Frame.frame(4, 1, 0, [0, 1, 0, 0, 0, 0])),
        Bad("§6.5.2 ENABLE_PUSH 2", 1, Frame.settings([(2, 2)])),
        Bad("§6.5.2 INITIAL_WINDOW_SIZE over 2^31-1", 3, Frame.settings([(4, 0x8000_0000)])),
        Bad("§6.5.2 MAX_FRAME_SIZE too small", 1, Frame.settings([(5, 16_383)])),
        Bad("§6.5.2 MAX_FRAME_SIZE too large", 1, Frame.settings([(5, 16_777_216)])),
        Bad(
            "§6.6 PUSH_PROMISE from a client", 1,
            Frame.headers(1, get) + Frame.frame(5, 4, 1, [0, 0, 0, 2] + Frame.section(get))),
        Bad("§6.7 PING of a wrong size", 6, Frame.frame(6, 0, 0, [1, 2, 3])),
        Bad("§6.7 PING on a stream", 1, Frame.frame(6, 0, 1, [1, 2, 3, 4, 5, 6, 7, 8])),
        Bad("§6.8 GOAWAY on a stream", 1, Frame.frame(7, 0, 1, Frame.number(0) + Frame.number(0))),
        Bad("§6.9 WINDOW_UPDATE of a wrong size", 6, Frame.frame(8, 0, 0, [0, 0, 1])),
        Bad("§6.9 increment 0 on the connection", 1, Frame.window(0, 0)),
        Bad("§6.9.1 connection window over 2^31-1", 3, Frame.window(0, 0x7FFF_FFFF)),
        Bad("§4.3 invalid index", 9, Frame.block(1, [0xFF, 0xFF, 0xFF, 0x01])),
        Bad("§4.3 truncated section", 9, Frame.block(1, [0x00, 0x05, 0x61])),
        Bad(
            "RFC 7541 §4.2 table size over the setting", 9,
            Frame.block(1, [0x3F, 0xE1, 0xFF, 0x03] + Frame.section(get))),
    ]

    @Test(arguments: bad)
    func endsTheConnection(_ bad: Bad) {
        let peer = Peer.server()
        var seen = peer.feed(bad.frames)
        let frames = peer.frames()
        seen += peer.events()
        #expect(frames.contains { $0.type == 7 && $0.code == bad.code }, "\(frames)")
        #expect(seen.filter { $0.kind == .violation }.count == 1)
        #expect(peer.session.violation.endsConnection)
        #expect(peer.session.isFinished)
        #expect(!peer.session.wantsInput)
    }

    // RFC 9113 §3.4
    @Test(arguments: ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r!", "\u{16}\u{3}\u{1}"])
    func preface(_ text: String) {
        let peer = Peer(.server)
        _ = peer.output()
        let seen = peer.feed(Array(text.utf8))
        #expect(seen.map(\.kind) == [.violation])
        #expect(peer.session.violation == .prefaceInvalid)
        _ = peer.output()
        #expect(peer.session.isFinished)
    }

    @Test func prefaceWithoutSettings() {
        let peer = Peer(.server)
        _ = peer.output()
        peer.feed(Frame.preface + Frame.ping)
        _ = peer.output()
        peer.events()
        #expect(peer.session.violation.endsConnection)
        #expect(peer.session.isFinished)
    }

    @Test func pushToAClient() throws {
        let client = Peer.client()
        _ = try #require(client.request())
        _ = client.output()
        client.feed(Frame.frame(5, 4, 1, [0, 0, 0, 2] + Frame.section(get)))
        #expect(client.frames().contains { $0.type == 7 && $0.code == 1 })
    }

    @Test func dataBeforeAnyHeadOfAResponse() throws {
        let client = Peer.client()
        _ = try #require(client.request())
        _ = client.output()
        client.feed(Frame.data(1, "ab"))
        #expect(client.frames().contains { $0.type == 7 && $0.code == 1 })
        #expect(client.session.violation.endsConnection)
    }

    @Test func frameOnAHalfClosedStream() {
        let peer = Peer.server()
        peer.feed(Frame.headers(1, get))
        peer.feed(Frame.data(1, "x"))
        #expect(peer.frames().contains { ($0.type == 3 || $0.type == 7) && $0.code == 5 })
    }
}
