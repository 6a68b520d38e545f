// A client and a server session that talk to each other in memory: everything a proxy needs of both.

import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel
import Testing

/// Both ends of a connection.
final class Pair {
    let client: Peer
    let server: Peer
    var clientSaw: [Seen] = []
    var serverSaw: [Seen] = []

    init(
        client clientChange: (inout HTTP2Configuration) -> Void = { _ in },
        server serverChange: (inout HTTP2Configuration) -> Void = { _ in }
    ) {
        client = Peer(.client, clientChange)
        server = Peer(.server, serverChange)
        run()
        clientSaw = []
        serverSaw = []
    }

    /// Carries bytes back and forth until nothing moves.
    func run() {
        var moved = true
        while moved {
            moved = false
            for (from, to, isToServer) in [(client, server, true), (server, client, false)] {
                let bytes = from.output()
                let own = from.events()
                let seen = bytes.isEmpty ? [] : to.feed(bytes)
                if isToServer {
                    clientSaw += own
                    serverSaw += seen
                } else {
                    serverSaw += own
                    clientSaw += seen
                }
                if !bytes.isEmpty || !own.isEmpty { moved = true }
            }
        }
    }

    func take() -> (client: [Seen], server: [Seen]) {
        defer {
            clientSaw = []
            serverSaw = []
        }
        return (clientSaw, serverSaw)
    }
}

@Suite struct ConversationTests {
    @Test func settingsOfBothSides() {
        let peer = Peer(.server)
        let first = peer.frames()
        #expect(first.first?.type == 4)
        #expect(first.contains { $0.type == 8 && $0.stream == 0 })
        let pair = Pair()
        #expect(pair.client.session.peerOffersExtendedConnect)
        #expect(pair.client.session.streamsFree == 128)
        let plain = Pair(server: {
            $0.offersExtendedConnect = false
            $0.streamsMax = 5
        })
        #expect(!plain.client.session.peerOffersExtendedConnect)
        #expect(plain.client.session.streamsFree == 5)
    }

    @Test func numberOfStreamsIsAnnounced() throws {
        let settings = try #require(Peer(.server) { $0.streamsMax = 300 }.frames().first)
        let entries = stride(from: 0, to: settings.payload.count, by: 6).map {
            Array(settings.payload[$0..<$0 + 6])
        }
        #expect(settings.type == 4 && entries.contains([0, 3, 0, 0, 1, 44]))
    }

    @Test func settingsThatAreNotAcknowledged() {
        let peer = Peer(.server)
        _ = peer.output()
        peer.feed(Frame.preface + Frame.settings())
        #expect(!peer.session.settingsAreAcknowledged)
        peer.feed(Frame.settingsAck)
        #expect(peer.session.settingsAreAcknowledged)
        peer.session.settingsTimedOut()
        #expect(peer.events().map(\.event.violation) == [.settingsTimeout])
        let frames = peer.frames()
        #expect(frames.last?.type == 7 && frames.last?.code == 4)
        #expect(peer.session.isFinished)
    }

    @Test func requestAndResponse() throws {
        let pair = Pair()
        let stream = try #require(
            pair.client.request("GET", "/a?b", fields: [("User-Agent", "t"), ("x", "y")], userData: 77))
        pair.run()
        var (client, server) = pair.take()
        let request = try #require(server.first)
        #expect(server.map(\.kind) == [.head])
        #expect(request.fields.map(\.0) == ["host", "user-agent", "x"])
        #expect(request.part(request.event.request.path) == "/a")
        #expect(client.isEmpty)

        pair.server.session.setUserData(stream, 99)
        #expect(pair.server.respond(stream, 200, [("content-length", "5"), ("date", "x")], end: false))
        #expect(!pair.server.respond(stream, 200))
        #expect(pair.server.send(stream, "hello") == 5)
        #expect(pair.server.session.submitEnd(stream))
        #expect(!pair.server.session.submitEnd(stream))
        pair.run()
        (client, server) = pair.take()
        #expect(client.map(\.kind) == [.head, .data, .closed])
        let head = try #require(client.first).event.response
        #expect(head.status == 200 && head.version == .http2 && head.framing == .length)
        #expect(head.contentLength == 5 && head.hasContentLength && head.hasDate)
        #expect(client[1].text == "hello" && client[1].event.endsStream)
        #expect(client.allSatisfy { $0.event.userData == 77 })
        #expect(client[2].event.code == .noError && !client[2].event.isUnprocessed)
        #expect(server.map(\.kind) == [.closed])
        #expect(server.first?.event.userData == 99)
        #expect(pair.client.session.streamsOpen == 0 && pair.server.session.streamsOpen == 0)
    }

    @Test func bodiesBothWaysWithTrailers() throws {
        let pair = Pair()
        let stream = try #require(pair.client.request("POST", "/", fields: [("te", "trailers")], end: false))
        #expect(pair.client.send(stream, "ping") == 4)
        pair.run()
        #expect(pair.take().server.map(\.kind) == [.head, .data])
        withFields([("x-sum", "1")]) { _ = pair.client.session.submitEnd(stream, trailers: $0, count: $1) }
        pair.server.respond(stream, 200, [("content-type", "application/grpc")], end: false)
        #expect(pair.server.send(stream, "pong") == 4)
        withFields([("grpc-status", "0"), ("grpc-message", "")]) {
            _ = pair.server.session.submitEnd(stream, trailers: $0, count: $1)
        }
        pair.run()
        let (client, server) = pair.take()
        #expect(server.map(\.kind) == [.trailers, .closed])
        #expect(server.first?.value("x-sum") == "1")
        #expect(client.map(\.kind) == [.head, .data, .trailers, .closed])
        #expect(client[2].fields.map(\.0) == ["grpc-status", "grpc-message"])
        #expect(client.first?.event.response.framing == .chunked)
    }

    // gRPC's "trailers only" and trailers after an empty body.
    @Test func trailersWithoutABody() throws {
        let pair = Pair()
        let stream = try #require(pair.client.request())
        pair.run()
        pair.server.respond(stream, 200, end: false)
        pair.run()
        withFields([("grpc-status", "5")]) {
            _ = pair.server.session.submitEnd(stream, trailers: $0, count: $1)
        }
        pair.run()
        #expect(pair.take().client.map(\.kind) == [.head, .trailers, .closed])
    }

    @Test func interimResponses() throws {
        let pair = Pair()
        let stream = try #require(
            pair.client.request("POST", "/", fields: [("expect", "100-continue")], end: false))
        pair.run()
        #expect(pair.take().server.first?.event.request.expectsContinue == true)
        withFields([]) { _ = pair.server.session.submitInterim(stream, status: 100, fields: $0, count: $1) }
        withFields([("link", "</a>")]) {
            _ = pair.server.session.submitInterim(stream, status: 103, fields: $0, count: $1)
        }
        pair.run()
        let interim = pair.take().client
        #expect(interim.map(\.event.response.status) == [100, 103])
        #expect(interim.allSatisfy { $0.event.response.isInterim && !$0.event.endsStream })
        pair.client.session.submitEnd(stream)
        pair.server.respond(stream, 204)
        pair.run()
        let final = pair.take().client
        #expect(final.map(\.kind) == [.head, .closed])
        #expect(final.first?.event.response.framing == BodyFraming.none)
    }

    // Framing of responses: by status and method first.
    @Test func responseFraming() throws {
        let pair = Pair()
        for (method, status, fields, end, framing, hasLength) in [
            ("HEAD", 200, [("content-length", "10")], true, BodyFraming.none, true),
            ("GET", 304, [("content-length", "10")], true, .none, true),
            ("GET", 200, [], true, .length, true),
            ("GET", 200, [("content-length", "0")], true, .length, true),
            ("GET", 200, [], false, .chunked, false),
            ("GET", 200, [("content-length", "3")], false, .length, true),
            ("GET", 204, [("content-length", "0")], true, .none, false),
        ] as [(String, UInt16, [(String, String)], Bool, BodyFraming, Bool)] {
            let stream = try #require(pair.client.request(method))
            pair.run()
            pair.server.respond(stream, status, fields, end: end)
            pair.run()
            let head = try #require(pair.take().client.first)
            #expect(head.event.response.framing == framing, "\(method) \(status)")
            #expect(head.event.response.hasContentLength == hasLength, "\(method) \(status)")
            #expect(head.event.endsStream == end)
            let lengths = head.table.filter { $0.id == .contentLength && !$0.isHopByHop }
            #expect(lengths.count == (hasLength ? 1 : 0), "\(method) \(status)")
            if !end { pair.client.session.reset(stream, .cancel) }
            pair.run()
            _ = pair.take()
        }
    }

    // RFC 9113 §8.5 and RFC 8441 §5: either side may end first.
    @Test func tunnel() throws {
        let pair = Pair()
        let stream = try #require(
            pair.client.request("CONNECT", "/chat", protocolName: "websocket", end: false))
        pair.run()
        let request = try #require(pair.take().server.first)
        #expect(request.part(request.event.protocolName) == "websocket")
        pair.server.respond(stream, 200, end: false)
        #expect(pair.server.send(stream, "hi") == 2)
        pair.run()
        let opened = pair.take().client
        #expect(opened.map(\.kind) == [.head, .data])
        #expect(opened.first?.event.response.framing == BodyFraming.none)
        pair.server.session.submitEnd(stream)
        pair.run()
        #expect(pair.take().client.map(\.kind) == [.end])
        #expect(pair.client.send(stream, "still here") == 10)
        pair.client.session.submitEnd(stream)
        pair.run()
        let (client, server) = pair.take()
        #expect(server.map(\.kind) == [.data, .closed])
        #expect(client.map(\.kind) == [.closed])

        let plain = try #require(pair.client.request("CONNECT", "", authority: "a.example:443", end: false))
        pair.run()
        #expect(pair.take().server.first?.event.request.targetForm == .authority)
        #expect(pair.client.send(plain, "x") == 1)
    }

    // RFC 9113 §8.1: a complete answer does not wait for the rest of the request, which may go on behind it.
    @Test func earlyAnswerLetsTheUploadEnd() throws {
        let pair = Pair()
        let stream = try #require(pair.client.request("POST", "/", end: false))
        _ = pair.client.send(stream, "some")
        pair.run()
        _ = pair.take()
        #expect(pair.server.session.endSentMs(stream) == nil)
        pair.server.nowMs += 70
        pair.server.respond(stream, 413)
        #expect(pair.server.session.endSentMs(stream) == nil)
        pair.run()
        let answered = pair.take()
        #expect(answered.client.map(\.kind) == [.head])
        #expect(answered.client.first?.event.endsStream == true)
        #expect(answered.server.isEmpty)
        #expect(pair.server.session.endSentMs(stream) == pair.server.nowMs)
        // Far more than a window: what is thrown away is given back.
        let sentMs = pair.server.nowMs
        for _ in 0..<64 {
            pair.server.nowMs += 1
            #expect(pair.client.send(stream, String(repeating: "x", count: 32_768)) == 32_768)
            pair.run()
        }
        #expect(pair.take().server.map(\.text.utf8.count).reduce(0, +) == 64 * 32_768)
        #expect(pair.server.session.endSentMs(stream) == sentMs)
        pair.client.session.submitEnd(stream)
        pair.run()
        let (client, server) = pair.take()
        #expect(server.map(\.kind) == [.end, .closed])
        #expect(client.map(\.kind) == [.closed])
        #expect(server.last?.event.code == .noError && client.last?.event.code == .noError)
        #expect(pair.server.session.endSentMs(stream) == nil)
    }

    @Test func earlyAnswerCutsTheUploadWhenTheOwnerSaysSo() throws {
        let pair = Pair()
        let stream = try #require(pair.client.request("POST", "/", end: false))
        pair.run()
        pair.server.respond(stream, 413)
        pair.run()
        _ = pair.take()
        pair.server.session.reset(stream, .noError)
        pair.run()
        let (client, server) = pair.take()
        #expect(client.map(\.kind) == [.reset, .closed])
        #expect(client.first?.event.code == .noError)
        #expect(server.map(\.kind) == [.closed])
        #expect(pair.client.send(stream, "more") == 0)
    }

    // What waits for the client's window has not been sent.
    @Test func endIsSentBehindTheBody() throws {
        let peer = Peer.server(settings: [(4, 10)])
        peer.feed(Frame.headers(1, post, end: false))
        peer.respond(1, 200, end: false)
        peer.send(1, String(repeating: "a", count: 20))
        peer.session.submitEnd(1)
        _ = peer.output()
        #expect(peer.session.endSentMs(1) == nil)
        peer.nowMs += 3_000
        peer.feed(Frame.window(1, 10))
        _ = peer.output()
        #expect(peer.session.endSentMs(1) == 1_003_000)
    }

    @Test func resetByTheClient() throws {
        let pair = Pair()
        let stream = try #require(pair.client.request())
        pair.run()
        pair.server.session.setUserData(stream, 5)
        pair.client.session.reset(stream, .cancel)
        pair.run()
        let (client, server) = pair.take()
        #expect(server.map(\.kind) == [.head, .reset, .closed])
        #expect(server[1].event.code == .cancel && server[1].event.userData == 5)
        #expect(client.map(\.kind) == [.closed])
        #expect(!pair.server.respond(stream, 200))
        #expect(pair.server.session.room(stream) == 0)
        #expect(!pair.server.session.setUserData(stream, 6))
    }

    // What waits in the queue goes with the stream, also when a frame of it was about to leave.
    @Test func resetWithAFullQueue() throws {
        let pair = Pair()
        let stream = try #require(pair.client.request())
        pair.run()
        _ = pair.take()
        pair.server.respond(stream, 200, end: false)
        #expect(pair.server.send(stream, String(repeating: "x", count: 65_536)) == 65_536)
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 20_000)
        defer { room.deallocate() }
        let some = pair.server.session.output(into: room, capacity: 20_000, nowMs: 0)
        #expect(some > 16_384)
        pair.server.session.reset(stream, .internalError)
        #expect(pair.server.session.queuedBytes(stream) == 0)
        let rest = pair.server.output()
        #expect(Written.parse(rest).map(\.type) == [3])
        pair.client.feed(Array(UnsafeBufferPointer(start: room, count: some)) + rest)
        #expect(!pair.server.session.isWaiting)
    }

    @Test func pingAndItsAnswer() {
        let pair = Pair()
        pair.server.session.ping()
        pair.run()
        #expect(pair.take().server.map(\.kind) == [.pingAck])
    }

    // MARK: GOAWAY (RFC 9113 §6.8)

    @Test func orderlyEndInTwoSteps() throws {
        let pair = Pair()
        let first = try #require(pair.client.request())
        pair.run()
        _ = pair.take()
        pair.server.session.announceShutdown()
        let late = try #require(pair.client.request())
        pair.run()
        var (client, server) = pair.take()
        // The notice lets requests under way through.
        #expect(server.map(\.kind) == [.head, .pingAck])
        #expect(client.map(\.kind) == [.goaway])
        #expect(client.first?.stream == Int32.max)
        #expect(pair.client.session.acceptsNoStreams)
        #expect(pair.client.session.streamsFree == 0)
        #expect(pair.client.request() == nil)
        pair.server.session.shutdown()
        pair.server.respond(first, 200)
        pair.run()
        #expect(!pair.server.session.isFinished)
        pair.server.respond(late, 200)
        pair.run()
        (client, server) = pair.take()
        #expect(client.map(\.kind) == [.goaway, .head, .closed, .head, .closed])
        #expect(client.first?.stream == late)
        #expect(pair.server.session.isFinished)
        #expect(pair.client.session.isFinished)
    }

    // The other way round the answer would say nothing about what the peer knows.
    @Test func noticeIsAheadOfThePing() {
        let peer = Peer.server()
        peer.feed(Frame.headers(1, get))
        peer.session.announceShutdown()
        let frames = peer.frames()
        #expect(frames.map(\.type) == [7, 6])
        #expect(frames.last?.flags == 0)
    }

    @Test func streamsAboveTheLastAreUnprocessed() throws {
        let client = Peer.client()
        let first = try #require(client.request(userData: 1))
        let second = try #require(client.request(userData: 2))
        _ = client.output()
        let seen = client.feed(Frame.goaway(UInt32(first)))
        #expect(seen.map(\.kind) == [.goaway, .closed])
        #expect(seen[1].stream == second && seen[1].event.isUnprocessed)
        #expect(seen[1].event.userData == 2)
        #expect(client.session.streamsOpen == 1)
    }

    // A request that was submitted and has not left when GOAWAY comes.
    @Test func requestThatNeverLeft() throws {
        let client = Peer.client()
        let stream = try #require(client.request(userData: 3))
        client.feed(Frame.goaway(0))
        _ = client.output()
        let seen = client.events()
        #expect(seen.map(\.kind) == [.closed])
        #expect(seen.first?.stream == stream && seen.first?.event.isUnprocessed == true)
        #expect(client.session.isFinished)
    }

    @Test func refusedStreamMayBeTriedAgain() throws {
        let client = Peer.client()
        let refused = try #require(client.request())
        let cancelled = try #require(client.request())
        _ = client.output()
        let seen = client.feed(Frame.reset(Int(refused), 7) + Frame.reset(Int(cancelled), 8))
        #expect(seen.map(\.kind) == [.reset, .closed, .reset, .closed])
        #expect(seen[1].event.isUnprocessed && seen[1].event.code == .refusedStream)
        #expect(!seen[3].event.isUnprocessed)
    }

    @Test func resetOfARequestThatHasNotLeft() throws {
        let client = Peer.client()
        let stream = try #require(client.request())
        client.session.reset(stream, .cancel)
        let frames = client.frames()
        #expect(!frames.contains { $0.type == 1 })
        #expect(client.events().map(\.kind) == [.closed])
        #expect(client.session.streamsOpen == 0)
    }

    @Test func streamsFreeFollowsThePeer() throws {
        let client = Peer.client(settings: [(3, 2)])
        #expect(client.session.streamsFree == 2)
        _ = client.request()
        #expect(client.session.streamsFree == 1)
        _ = client.request()
        #expect(client.session.streamsFree == 0)
        _ = client.output()
        client.feed(Frame.settings([(3, 10)]))
        #expect(client.session.streamsFree == 8)
    }

    @Test func terminateSaysWhyAndStops() {
        let pair = Pair()
        pair.server.session.terminate(.internalError)
        pair.run()
        let (client, server) = pair.take()
        #expect(client.map(\.kind) == [.goaway])
        #expect(client.first?.event.code == .internalError)
        #expect(server.isEmpty)
        #expect(pair.server.session.isFinished)
        #expect(pair.server.session.violation == .none)
    }
}

@Suite struct MalformedResponseTests {
    struct BadResponse: Sendable, CustomTestStringConvertible {
        let name: String
        let violation: HTTP2Violation
        let frames: [UInt8]
        var method = "GET"
        var testDescription: String { name }
    }

    static let ok: Pairs = [(":status", "200")]
    static let bad = [
        BadResponse(
            name: "§8.3.2 no :status", violation: .statusMissing, frames: Frame.headers(1, [("x", "y")])),
        BadResponse(
            name: "§8.3.2 short :status", violation: .statusInvalid,
            frames: Frame.headers(1, [(":status", "20")])),
        BadResponse(
            name: "§8.3.2 :status 099", violation: .statusInvalid,
            frames: Frame.headers(1, [(":status", "099")])),
        BadResponse(
            name: "§8.3.2 :status with reason", violation: .statusInvalid,
            frames: Frame.headers(1, [(":status", "200 OK")])),
        BadResponse(name: "§8.3 two :status", violation: .pseudoDuplicate, frames: Frame.headers(1, ok + ok)),
        BadResponse(
            name: "§8.3 :path in a response", violation: .pseudoOfOtherKind,
            frames: Frame.headers(1, ok + [(":path", "/")])),
        BadResponse(
            name: "§8.3 pseudo after regular", violation: .pseudoAfterRegular,
            frames: Frame.headers(1, [("x", "y")] + ok)),
        BadResponse(
            name: "§8.6 status 101", violation: .switchingProtocols,
            frames: Frame.headers(1, [(":status", "101")], end: false)),
        BadResponse(
            name: "§8.1 interim that ends", violation: .interimEndsStream,
            frames: Frame.headers(1, [(":status", "103")])),
        BadResponse(
            name: "§8.2.1 upper case", violation: .fieldNameUppercase,
            frames: Frame.headers(1, ok + [("X", "y")])),
        BadResponse(
            name: "§8.2.1 CR LF", violation: .fieldValueByteInvalid,
            frames: Frame.headers(1, ok + [("x", "a\r\nb: c")])),
        BadResponse(
            name: "§8.2.2 connection", violation: .connectionField,
            frames: Frame.headers(1, ok + [("connection", "close")])),
        BadResponse(
            name: "§8.2.2 transfer-encoding", violation: .connectionField,
            frames: Frame.headers(1, ok + [("transfer-encoding", "chunked")])),
        BadResponse(
            name: "RFC 9110 §8.6 two lengths", violation: .contentLengthDuplicate,
            frames: Frame.headers(1, ok + [("content-length", "1"), ("content-length", "1")])),
        BadResponse(
            name: "§8.1.1 length without data", violation: .contentLengthMismatch,
            frames: Frame.headers(1, ok + [("content-length", "1")])),
        BadResponse(
            name: "§8.1.1 too much data", violation: .contentLengthMismatch,
            frames: Frame.headers(1, ok + [("content-length", "1")], end: false) + Frame.data(1, "ab")),
        BadResponse(
            name: "§8.1.1 too little data", violation: .contentLengthMismatch,
            frames: Frame.headers(1, ok + [("content-length", "3")], end: false)
                + Frame.data(1, "ab", end: true)),
        BadResponse(
            name: "§8.1 data after interim", violation: .dataBeforeHead,
            frames: Frame.headers(1, [(":status", "103")], end: false) + Frame.data(1, "", end: true)),
        BadResponse(
            name: "§8.1.1 data to HEAD", violation: .bodyNotAllowed,
            frames: Frame.headers(1, ok, end: false) + Frame.data(1, "ab"), method: "HEAD"),
        BadResponse(
            name: "§8.1.1 data with 204", violation: .bodyNotAllowed,
            frames: Frame.headers(1, [(":status", "204")], end: false) + Frame.data(1, "ab")),
        BadResponse(
            name: "§8.1.1 data with 304", violation: .bodyNotAllowed,
            frames: Frame.headers(1, [(":status", "304")], end: false) + Frame.data(1, "ab")),
        BadResponse(
            name: "§8.1 pseudo in trailers", violation: .pseudoInTrailers,
            frames: Frame.headers(1, ok, end: false) + Frame.headers(1, [(":status", "200")])),
        BadResponse(
            name: "§8.1 second head", violation: .trailersWithoutEnd,
            frames: Frame.headers(1, ok, end: false) + Frame.headers(1, [("x", "y")], end: false)),
        BadResponse(
            name: "§8.1 endless interim responses", violation: .interimFlood,
            frames: (0..<33).flatMap { _ in Frame.headers(1, [(":status", "103")], end: false) }),
    ]

    @Test(arguments: bad)
    func isReset(_ bad: BadResponse) throws {
        let client = Peer.client()
        let stream = try #require(client.request(bad.method, userData: 9))
        #expect(stream == 1)
        _ = client.output()
        var seen = client.feed(bad.frames)
        #expect(client.frames().contains { $0.type == 3 && $0.code == 1 })
        seen += client.events()
        // When both halves are at their end the stream closes at once, else with our reset.
        #expect(seen.suffix(2).map(\.kind) == [.malformed, .closed])
        #expect(seen.suffix(2).first?.event.violation == bad.violation)
        #expect(seen.allSatisfy { $0.event.userData == 9 })
        #expect(!seen.contains { $0.event.endsStream })
        #expect(seen.last?.event.isUnprocessed == false)
        #expect(client.session.violation == .none)
    }

    @Test func responseHeadOverTheLimit() throws {
        let client = Peer.client { $0.head.bytesMax = 1_000 }
        let stream = try #require(client.request())
        _ = client.output()
        let seen = client.feed(
            Frame.headers(1, Self.ok + [("x", String(repeating: "y", count: 1_500))], end: false))
        #expect(seen.map(\.kind) == [.headRefused])
        client.session.reset(stream, .cancel)
        _ = client.output()
        #expect(client.events().map(\.kind) == [.closed])
    }
}
