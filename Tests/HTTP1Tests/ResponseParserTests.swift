import WeirHTTPModel
import Testing

@testable import WeirHTTP1

@Suite struct ResponseParserTests {
    @Test func everyPartIsFound() {
        let text = """
            HTTP/1.1 404 Not \u{e9}found\r
            Date: Sun, 06 Nov 1994 08:49:37 GMT\r
            Content-Length: 5\r
            Keep-Alive: max=100, timeout=15\r
            Connection: keep-alive\r
            \r

            """
        let response = parseResponse(text + "hello")
        #expect(response.result == .complete)
        let head = response.head
        #expect(head.status == 404 && head.version == .http11)
        #expect(head.reason == ByteRange(13, 10))
        #expect(head.framing == .length && head.contentLength == 5 && head.hasContentLength)
        #expect(head.allowsKeepAlive && head.hasDate && head.keepAliveTimeoutSeconds == 15)
        #expect(Int(head.byteCount) == latin1(text).count)
        #expect(response.hopByHop == ["Keep-Alive", "Connection"])
    }

    @Test func everyPrefixIsIncompleteAndTheWholeIsComplete() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 999 \r\nX:\r\n\r\n",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive, x\r\nX: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: x\r\n\r\n",
        ] {
            let bytes = latin1(text)
            for count in 0..<bytes.count {
                #expect(parseResponse(bytes[..<count]).result == .incomplete, "\(text.prefix(count))")
            }
            #expect(parseResponse(bytes).result == .complete, "\(text)")
        }
    }

    struct Framing {
        let method: WeirHTTPModel.Method
        let status: Int
        let fields: String
        let framing: BodyFraming
        let keepAlive: Bool

        init(
            _ method: WeirHTTPModel.Method, _ status: Int, _ fields: String, _ framing: BodyFraming,
            _ keepAlive: Bool
        ) {
            self.method = method
            self.status = status
            self.fields = fields
            self.framing = framing
            self.keepAlive = keepAlive
        }
    }

    /// RFC 9112 §6.3, rule by rule.
    @Test(arguments: [
        Framing(.get, 200, "", .untilClose, false),
        Framing(.get, 200, "Content-Length: 0\r\n", .length, true),
        Framing(.get, 200, "Content-Length: 7\r\n", .length, true),
        Framing(.get, 200, "Transfer-Encoding: chunked\r\n", .chunked, true),
        Framing(.head, 200, "", .none, true),
        Framing(.head, 200, "Content-Length: 7\r\n", .none, true),
        Framing(.head, 200, "Transfer-Encoding: chunked\r\n", .none, true),
        Framing(.get, 304, "Content-Length: 7\r\n", .none, true),
        Framing(.get, 204, "", .none, true),
        Framing(.get, 204, "Content-Length: 0\r\n", .none, true),
        Framing(.get, 204, "Content-Length: 7\r\n", .none, false),
        Framing(.get, 204, "Transfer-Encoding: chunked\r\n", .none, false),
        Framing(.get, 100, "", .none, true),
        Framing(.get, 103, "Content-Length: 7\r\n", .none, false),
        Framing(.get, 101, "Upgrade: x\r\nConnection: upgrade\r\n", .none, true),
        Framing(.connect, 200, "Content-Length: 7\r\n", .none, false),
        Framing(.connect, 200, "", .none, true),
        Framing(.connect, 403, "Content-Length: 7\r\n", .length, true),
        Framing(.get, 205, "Content-Length: 0\r\n", .length, true),
        Framing(.get, 200, "Connection: close\r\nContent-Length: 7\r\n", .length, false),
    ])
    func framing(_ sample: Framing) {
        let response = parseResponse("HTTP/1.1 \(sample.status) X\r\n\(sample.fields)\r\n", to: sample.method)
        #expect(response.result == .complete)
        #expect(response.head.framing == sample.framing, "\(sample)")
        #expect(response.head.allowsKeepAlive == sample.keepAlive, "\(sample)")
    }

    @Test func lengthsThatMeanNothingAreNotRelayed() {
        let noContent = parseResponse("HTTP/1.1 204 X\r\nContent-Length: 7\r\nX: y\r\n\r\n")
        #expect(noContent.hopByHop == ["Content-Length"] && !noContent.head.hasContentLength)
        let chunked = parseResponse("HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        #expect(chunked.hopByHop == ["Transfer-Encoding"])
        let head = parseResponse("HTTP/1.1 200 X\r\nContent-Length: 7\r\n\r\n", to: .head)
        #expect(head.hopByHop == [] && head.head.hasContentLength && head.head.contentLength == 7)
    }

    @Test func persistence() {
        func allows(_ version: String, _ fields: String) -> Bool {
            parseResponse("HTTP/\(version) 200 X\r\nContent-Length: 0\r\n\(fields)\r\n").head.allowsKeepAlive
        }
        #expect(allows("1.1", ""))
        #expect(!allows("1.1", "Connection: Close\r\n"))
        #expect(!allows("1.0", ""))
        #expect(allows("1.0", "Connection: keep-alive\r\n"))
        #expect(!allows("1.0", "Connection: keep-alive\r\nConnection: close\r\n"))
    }

    @Test func keepAliveTimeouts() {
        for (value, seconds) in [
            ("timeout=5", 5), ("Timeout=60, max=3", 60), ("max=3,\ttimeout=7", 7),
            ("timeout=999999999999", 65_535),
            ("max=5", 0), ("timeout", 0), ("timeout=", 0), ("xtimeout=5", 0), ("", 0), (",,,timeout=1", 1),
        ] {
            let response = parseResponse("HTTP/1.1 200 X\r\nKeep-Alive: \(value)\r\n\r\n")
            #expect(Int(response.head.keepAliveTimeoutSeconds) == seconds, "\(value)")
        }
    }

    @Test func namedFieldsAreHopByHopHereToo() {
        let response = parseResponse("HTTP/1.1 200 X\r\nX-Y: 1\r\nConnection: x-y\r\nX: 2\r\n\r\n")
        #expect(response.hopByHop == ["X-Y", "Connection"])
    }

    @Test func limitsHoldAtTheBound() {
        let bytes = latin1("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n")
        var limits = HeadLimits()
        limits.bytesMax = bytes.count
        limits.fieldsMax = 2
        #expect(parseResponse(bytes, limits: limits).result == .complete)
        limits.fieldsMax = 1
        #expect(parseResponse(bytes, limits: limits).result == .tooLarge(.fields))
        limits.fieldsMax = 2
        limits.bytesMax -= 1
        #expect(parseResponse(bytes, limits: limits).result == .tooLarge(.bytes))
    }
}
