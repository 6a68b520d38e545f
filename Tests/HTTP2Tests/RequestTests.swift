// Requests as the phases see them: the same form that the parser of HTTP/1.1 gives.

import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel
import Testing

@Suite struct RequestTests {
    private func head(_ fields: Pairs, end: Bool = true) throws -> Seen {
        let peer = Peer.server()
        let seen = peer.feed(Frame.headers(1, fields, end: end))
        let first = try #require(seen.first)
        #expect(seen.count == 1)
        #expect(first.kind == .head)
        return first
    }

    @Test func plain() throws {
        let seen = try head([
            (":method", "GET"), (":path", "/a/b?c=d"), (":scheme", "https"), (":authority", "A.example:8443"),
            ("user-agent", "x"), ("x-other", "y z"),
        ])
        let request = seen.event.request
        #expect(request.method == .get)
        #expect(request.version == .http2)
        #expect(request.targetForm == .origin)
        #expect(request.framing == .none)
        #expect(seen.event.endsStream)
        #expect(seen.part(request.methodName) == "GET")
        #expect(seen.part(request.target) == "/a/b?c=d")
        #expect(seen.part(request.path) == "/a/b")
        #expect(request.hasQuery && seen.part(request.query) == "c=d")
        #expect(seen.part(request.authority) == "A.example:8443")
        #expect(seen.part(request.host) == "A.example")
        #expect(seen.part(seen.event.scheme) == "https")
        #expect(seen.fields.map(\.0) == ["host", "user-agent", "x-other"])
        #expect(seen.fields.map(\.1) == ["A.example:8443", "x", "y z"])
        #expect(seen.table.map(\.id) == [.host, .userAgent, .other])
        #expect(Int(request.fieldCount) == 3)
        #expect(Int(request.byteCount) == seen.event.count)
        #expect(request.wantsKeepAlive && !request.wantsUpgrade)
    }

    @Test func hostFieldStandsFirstWhereverItCame() throws {
        let seen = try head([
            (":method", "GET"), (":scheme", "http"), (":path", "/"), ("accept", "*/*"), ("host", "b.example"),
        ])
        #expect(seen.fields.map(\.0) == ["host", "accept"])
        #expect(seen.part(seen.event.request.host) == "b.example")
    }

    @Test(arguments: ["a.example", "A.EXAMPLE", "a.example:443"])
    func hostThatAgreesIsOneField(_ host: String) throws {
        let seen = try head(get + [("host", host)])
        #expect(seen.fields.map(\.0) == ["host"])
        #expect(seen.fields.map(\.1) == ["a.example"])
    }

    @Test func ipv6Authority() throws {
        var fields = get
        fields[2].1 = "[::1]:8080"
        let seen = try head(fields)
        #expect(seen.part(seen.event.request.host) == "[::1]")
    }

    @Test func asterisk() throws {
        var fields = get
        fields[0].1 = "OPTIONS"
        fields[3].1 = "*"
        let seen = try head(fields)
        #expect(seen.event.request.targetForm == .asterisk)
        #expect(seen.event.request.path.isEmpty)
    }

    @Test func unknownMethod() throws {
        var fields = get
        fields[0].1 = "PURGE"
        let seen = try head(fields)
        #expect(seen.event.request.method == .other)
        #expect(seen.part(seen.event.request.methodName) == "PURGE")
    }

    // Framing: what the body's end is known by.
    @Test func framing() throws {
        let open = try head(post, end: false)
        #expect(open.event.request.framing == .chunked)
        #expect(!open.event.endsStream)
        let length = try head(post + [("content-length", "7")], end: false)
        #expect(length.event.request.framing == .length)
        #expect(length.event.request.contentLength == 7)
        let empty = try head(post + [("content-length", "0")])
        #expect(empty.event.request.framing == .length)
        #expect(empty.event.request.contentLength == 0)
    }

    // RFC 9113 §8.2.3
    @Test(arguments: [
        ([("cookie", "a=1"), ("cookie", "b=2"), ("x", "y"), ("cookie", "c=3")], ["host", "cookie", "x"]),
        ([("x", "y"), ("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")], ["host", "x", "cookie"]),
        (
            [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("z", "y"), ("cookie", "c=3")],
            ["host", "cookie", "x", "z"]
        ),
    ])
    func cookieCrumbsAreJoined(_ fields: [(String, String)], _ names: [String]) throws {
        let seen = try head(get + fields)
        #expect(seen.fields.map(\.0) == names)
        #expect(seen.value("cookie") == "a=1; b=2; c=3")
        #expect(seen.value("x") == "y")
        #expect(Int(seen.event.request.fieldCount) == names.count)
    }

    @Test func oneCookieStaysAsItIs() throws {
        #expect(try head(get + [("cookie", "a=1; b=2")]).value("cookie") == "a=1; b=2")
    }

    @Test func fieldsThatMeanSomething() throws {
        let seen = try head(post + [("te", "trailers"), ("expect", "100-continue")], end: false)
        #expect(seen.event.request.acceptsTrailers)
        #expect(seen.event.request.expectsContinue)
        #expect(seen.table.first { $0.id == .te }?.isHopByHop == true)
        #expect(seen.table.first { $0.id == .expect }?.isHopByHop == false)
    }

    @Test func otherExpectationIs417() throws {
        let peer = Peer.server()
        let seen = peer.feed(Frame.headers(1, post + [("expect", "magic")], end: false))
        #expect(seen.map(\.kind) == [.headRefused])
        #expect(seen.first?.event.status == 417)
    }

    @Test func connectRequest() throws {
        let seen = try head(connect, end: false)
        #expect(seen.event.request.method == .connect)
        #expect(seen.event.request.targetForm == .authority)
        #expect(seen.part(seen.event.request.target) == "a.example:443")
        #expect(seen.part(seen.event.request.host) == "a.example")
        #expect(seen.event.protocolName.isEmpty)
        #expect(seen.event.scheme.isEmpty)
        #expect(seen.fields.map(\.1) == ["a.example:443"])
    }

    // RFC 8441 §4
    @Test func extendedConnect() throws {
        let seen = try head(webSocket + [("sec-websocket-version", "13")], end: false)
        let request = seen.event.request
        #expect(request.method == .connect)
        #expect(request.targetForm == .origin)
        #expect(seen.part(request.path) == "/chat")
        #expect(seen.part(request.host) == "a.example")
        #expect(seen.part(seen.event.protocolName) == "websocket")
        #expect(seen.part(seen.event.scheme) == "https")
        #expect(request.framing == .chunked)
    }

    // A head may arrive in any pieces, with heads of other connections of the worker in between.
    @Test func piecesOfOneByte() throws {
        let peer = Peer(.server)
        var bytes = Frame.preface + Frame.settings()
        bytes += Frame.block(1, Frame.section(get + [("x", String(repeating: "y", count: 300))]), piece: 60)
        bytes += Frame.headers(3, get + [("cookie", "a"), ("b", "c"), ("cookie", "d")], end: false)
        bytes += Frame.data(3, "body", end: true)
        var seen: [Seen] = []
        for byte in bytes { seen += peer.feed([byte]) }
        try #require(seen.map(\.kind).prefix(3) == [.settings, .head, .head])
        #expect(seen[1].value("x")?.count == 300)
        #expect(seen[2].value("cookie") == "a; d")
        #expect(seen.dropFirst(3).map(\.text).joined() == "body")
        #expect(seen.last?.event.endsStream == true)
    }

    // Everything at once: decoding pauses when the inbox is full and nothing is lost.
    @Test func hundredsOfRequestsInOneRead() throws {
        let peer = Peer.server { $0.streamsMax = 1_000 }
        var bytes: [UInt8] = []
        for index in 0..<500 {
            bytes += Frame.headers(
                2 * index + 1,
                get + [("x-number", "\(index)"), ("x-fill", String(repeating: "z", count: 2_000))])
        }
        let seen = peer.feed(bytes)
        #expect(seen.count == 500)
        for (index, one) in seen.enumerated() {
            #expect(one.stream == Int32(2 * index + 1))
            #expect(one.value("x-number") == "\(index)")
        }
    }

    @Test func trailersOfARequest() throws {
        let peer = Peer.server()
        let seen = peer.feed(
            Frame.headers(1, post, end: false) + Frame.data(1, "abc")
                + Frame.headers(1, [("x-checksum", "1"), ("cookie", "no")]))
        #expect(seen.map(\.kind) == [.head, .data, .trailers])
        #expect(seen[2].event.endsStream)
        #expect(!seen[1].event.endsStream)
        #expect(seen[2].fields.map(\.0) == ["x-checksum", "cookie"])
        #expect(seen[2].table.map(\.isHopByHop) == [false, true])
    }

    @Test func theEndComesWithTheLastData() throws {
        let peer = Peer.server()
        let seen = peer.feed(
            Frame.headers(1, post, end: false) + Frame.data(1, "abc") + Frame.data(1, "de", end: true))
        #expect(seen.map(\.kind) == [.head, .data, .data])
        #expect(seen.map(\.event.endsStream) == [false, false, true])
        let alone = peer.feed(Frame.headers(3, post, end: false) + Frame.data(3, "", end: true))
        #expect(alone.map(\.kind) == [.head, .end])
        #expect(alone.last?.event.endsStream == true)
    }
}

@Suite struct HeadLimitTests {
    // RFC 9113 §6.5.2: 32 bytes per field count.
    @Test func bytesAtTheBoundAndOneOver() throws {
        // The four pseudo-header fields: 7+3 + 7+5 + 10+9 + 5+1 + 4×32 = 175.
        for (fill, isRefused) in [(1_000 - 175 - 33, false), (1_000 - 175 - 32, true)] {
            let peer = Peer.server { $0.head.bytesMax = 1_000 }
            let seen = peer.feed(Frame.headers(1, get + [("x", String(repeating: "y", count: fill))]))
            #expect(seen.map(\.kind) == [isRefused ? .headRefused : .head])
            #expect(seen.first?.event.status == (isRefused ? 431 : 0))
        }
    }

    @Test func fieldsAtTheBoundAndOneOver() throws {
        for (count, isRefused) in [(16, false), (17, true)] {
            let peer = Peer.server { $0.head.fieldsMax = 20 }
            let seen = peer.feed(Frame.headers(1, get + (0..<count).map { ("x-\($0)", "") }))
            #expect(seen.map(\.kind) == [isRefused ? .headRefused : .head])
        }
    }

    /// RFC 9110 §17.10
    @Test func underscores() throws {
        let fields = get + [("x_real_ip", "1"), ("x_a", "2"), ("x-a", "3")]
        for (rule, count) in [(UnderscoreRule.pass, 3), (.drop, 2)] {
            let peer = Peer.server { $0.head.underscores = rule }
            // Host has its place in the table besides.
            #expect(peer.feed(Frame.headers(1, fields)).first?.event.request.fieldCount == Int32(count))
        }
        let peer = Peer.server { $0.head.underscores = .refuse }
        let seen = peer.feed(Frame.headers(1, fields))
        #expect(seen.map(\.kind) == [.headRefused])
        #expect(seen.first?.event.status == 400 && seen.first?.event.cause == .fieldNameUnderscore)
    }

    @Test func cookieCrumbsCount() throws {
        let peer = Peer.server { $0.head.fieldsMax = 20 }
        let seen = peer.feed(Frame.headers(1, get + (0..<17).map { ("cookie", "a\($0)") }))
        #expect(seen.map(\.kind) == [.headRefused])
    }

    /// RFC 9113 §6.5.2: each crumb counts with its name and 32 bytes, although they become one field.
    @Test func cookieCrumbsCountInBytes() throws {
        // The four pseudo-header fields take 175 of them, four crumbs 4 × (6 + 32) and their values.
        let room = 1_000 - 175 - 4 * 38
        for (values, isRefused) in [(room, false), (room + 1, true)] {
            let peer = Peer.server { $0.head.bytesMax = 1_000 }
            let crumbs = [100, 100, 100, values - 300].map { ("cookie", String(repeating: "c", count: $0)) }
            let seen = peer.feed(Frame.headers(1, get + crumbs))
            #expect(seen.map(\.kind) == [isRefused ? .headRefused : .head])
            #expect(seen.first?.event.status == (isRefused ? 431 : 0))
        }
    }

    @Test func longTargetIs414() throws {
        let peer = Peer.server { $0.head.targetBytesMax = 100 }
        var fields = get
        fields[3].1 = "/" + String(repeating: "a", count: 99)
        #expect(peer.feed(Frame.headers(1, fields)).map(\.kind) == [.head])
        fields[3].1 += "a"
        let seen = peer.feed(Frame.headers(3, fields))
        #expect(seen.map(\.kind) == [.headRefused])
        #expect(seen.first?.event.status == 414)
    }

    // The owner answers; the table of the decompressor is as it should be for the next head.
    @Test func refusedHeadIsAnsweredAndCompressionGoesOn() throws {
        let peer = Peer.server { $0.head.bytesMax = 1_000 }
        // Literal with incremental indexing: enters the table although nothing of it is kept.
        let indexed =
            [0x40] + Frame.string(Array("x-big".utf8)) + Frame.string(Array(repeating: 97, count: 1_100))
        let later = [0x40] + Frame.string(Array("x-later".utf8)) + Frame.string(Array("v".utf8))
        let seen = peer.feed(
            Frame.block(1, Frame.section(get) + indexed + later, end: false) + Frame.data(1, "lost"))
        #expect(seen.map(\.kind) == [.headRefused])
        #expect(peer.respond(1, 431))
        #expect(peer.frames().map(\.type) == [1])
        // What still comes of the request is thrown away, and its window given back.
        let rest = String(repeating: "x", count: 16_384)
        #expect(peer.feed((0..<4).flatMap { _ in Frame.data(1, rest) }).isEmpty)
        #expect(peer.frames().contains { $0.type == 8 && $0.stream == 1 })
        peer.session.reset(1, .noError)
        let frames = peer.frames()
        #expect(frames.map(\.type) == [3])
        #expect(frames.last?.code == 0)
        #expect(peer.events().map(\.kind) == [.closed])
        // Index 62 is the last that was entered.
        let next = peer.feed(Frame.block(3, Frame.section(get) + [0x80 | 62]))
        #expect(next.first?.value("x-later") == "v")
    }

    @Test func severalTimesOverEndsTheConnection() throws {
        let peer = Peer.server { $0.head.bytesMax = 1_000 }
        let seen = peer.feed(
            Frame.headers(1, get + (0..<50).map { ("x-\($0)", String(repeating: "y", count: 100)) }))
        #expect(seen.map(\.kind) == [.violation])
        #expect(seen.first?.event.violation == .headFlood)
        #expect(peer.frames().contains { $0.type == 7 && $0.code == 11 })
        #expect(peer.session.isFinished)
        #expect(!peer.session.wantsInput)
    }

    @Test func fieldsWithoutEndEndTheConnection() throws {
        let peer = Peer.server {
            $0.head.fieldsMax = 20
            $0.head.bytesMax = 1 << 20
        }
        let seen = peer.feed(Frame.headers(1, get + (0..<200).map { ("x-\($0)", "") }))
        #expect(seen.map(\.kind) == [.violation])
        #expect(seen.first?.event.violation == .headFlood)
    }

    // A few bytes that stand for many: one entry of the table, referred to again and again.
    @Test func decompressionBomb() throws {
        let peer = Peer.server()
        let entry = [0x40] + Frame.string(Array("x".utf8)) + Frame.string(Array(repeating: 97, count: 4_000))
        let section = Frame.section(get) + entry + Array(repeating: UInt8(0x80 | 62), count: 10_000)
        let seen = peer.feed(Frame.block(1, section))
        #expect(seen.map(\.kind) == [.violation])
        #expect(peer.session.violation == .headFlood)
    }

    @Test func continuationFlood() throws {
        let peer = Peer.server()
        let seen = peer.feed(
            Frame.block(1, Frame.section(get + [("x", String(repeating: "y", count: 400))]), piece: 10))
        #expect(seen.map(\.kind) == [.violation])
        #expect(peer.session.violation == .continuationFlood)
        #expect(peer.frames().contains { $0.type == 7 && $0.code == 11 })
    }

    @Test func fieldNameOverTheLimit() throws {
        let peer = Peer.server { $0.head.fieldNameBytesMax = 64 }
        let seen = peer.feed(Frame.headers(1, get + [(String(repeating: "n", count: 65), "v")]))
        #expect(seen.map(\.kind) == [.headRefused])
    }
}
