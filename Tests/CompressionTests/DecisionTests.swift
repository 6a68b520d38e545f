// Which responses are compressed, and what becomes of their fields.

import WeirHTTP1
import WeirHTTPModel
import Testing

@testable import WeirCompression

/// A request and a response as the proxy has them, judged and written.
private struct Judged {
    var decision = CompressionDecision.pass
    /// Field lines of the response as they would go to the client.
    var fields: [String] = []

    init(_ request: String, _ response: String, rule: CompressionRule = CompressionRule()) throws {
        var requestBytes = Array(request.utf8)
        var responseBytes = Array(response.utf8)
        var requestHead = RequestHead()
        var responseHead = ResponseHead()
        var requestFields = [Field](
            repeating: Field(nameOffset: 0, nameCount: 0, valueOffset: 0, valueCount: 0, id: .other),
            count: 64)
        var responseFields = requestFields
        let requestCount = requestBytes.count
        let responseCount = responseBytes.count
        let parsedRequest = RequestParser(limits: HeadLimits()).parse(
            &requestBytes, count: requestCount, fields: &requestFields, into: &requestHead)
        try #require(parsedRequest == .complete, "\(request)")
        let parsedResponse = ResponseParser().parse(
            &responseBytes, count: responseCount, requestMethod: requestHead.method, fields: &responseFields,
            into: &responseHead)
        try #require(parsedResponse == .complete, "\(response)")
        var decision = CompressionDecision.pass
        var lines: [String] = []
        requestBytes.withUnsafeBufferPointer { requestBase in
            responseBytes.withUnsafeBufferPointer { base in
                guard let start = base.baseAddress, let requestStart = requestBase.baseAddress else { return }
                decision = rule.decide(
                    request: RequestView(bytes: requestStart, head: &requestHead, fields: &requestFields),
                    head: responseHead, fields: &responseFields, base: start)
                let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 4096)
                defer { room.deallocate() }
                var writer = ByteWriter(room, capacity: 4096)
                for field in responseFields.prefix(Int(responseHead.fieldCount)) where !field.isHopByHop {
                    writer.appendField(field, start)
                }
                decision.apply(from: 0, &writer)
                lines = String(
                    decoding: UnsafeBufferPointer(start: room, count: writer.count), as: UTF8.self
                ).split(separator: "\r\n").map(String.init)
            }
        }
        self.decision = decision
        fields = lines
    }

    /// What the decision is, in one word.
    var verdict: String { decision.coding.map { "\($0.name)" } ?? (decision.changesFields ? "vary" : "pass") }
}

@Suite("Compression rule")
struct DecisionTests {
    static func request(_ accept: String? = "gzip", method: String = "GET", _ more: String = "") -> String {
        "\(method) / HTTP/1.1\r\nHost: a\r\n"
            + (accept.map { "Accept-Encoding: \($0)\r\n" } ?? "") + more + "\r\n"
    }

    static func response(
        _ more: String = "", status: String = "200 OK", type: String? = "text/html", length: Int? = 5000
    ) -> String {
        "HTTP/1.1 \(status)\r\n" + (type.map { "Content-Type: \($0)\r\n" } ?? "")
            + (length.map { "Content-Length: \($0)\r\n" } ?? "") + more + "\r\n"
    }

    struct Case: Sendable {
        let request: String
        let response: String
        let verdict: String

        init(_ request: String, _ response: String, _ verdict: String) {
            self.request = request
            self.response = response
            self.verdict = verdict
        }
    }

    static let cases: [Case] = [
        Case(request(), response(), "gzip"),
        Case(request("br, gzip"), response(), "br"),
        // The client does not want it, the response would have been.
        Case(request(nil), response(), "vary"),
        Case(request("identity"), response(), "vary"),
        Case(request("gzip;q=0"), response(), "vary"),
        Case(request("gzip;;"), response(), "vary"),
        // Size
        Case(request(), response(length: 1024), "gzip"),
        Case(request(), response(length: 1023), "pass"),
        Case(request(), response(length: 0), "pass"),
        Case(request(), response("Transfer-Encoding: chunked\r\n", length: nil), "gzip"),
        Case(request(), response(length: nil), "gzip"),
        // Types
        Case(request(), response(type: "TEXT/HTML; charset=utf-8"), "gzip"),
        Case(request(), response(type: "application/json"), "gzip"),
        Case(request(), response(type: "application/problem+json"), "gzip"),
        Case(request(), response(type: "application/json-seq"), "pass"),
        Case(request(), response(type: "image/svg+xml"), "gzip"),
        Case(request(), response(type: "image/png"), "pass"),
        Case(request(), response(type: "application/grpc"), "pass"),
        Case(request(), response(type: "texthtml"), "pass"),
        Case(request(), response(type: ""), "pass"),
        Case(request(), response(type: nil), "pass"),
        Case(request(), response(type: "text/event-stream", length: nil), "pass"),
        // Already coded, partial, not to be touched
        Case(request(), response("Content-Encoding: br\r\n"), "pass"),
        Case(request(), response("Content-Encoding: identity\r\n"), "pass"),
        Case(
            request(), response("Content-Range: bytes 0-4999/9000\r\n", status: "206 Partial Content"), "pass"
        ),
        Case(request(), response("Content-Range: bytes */9000\r\n"), "pass"),
        Case(request(), response("Cache-Control: public, No-Transform\r\n"), "pass"),
        Case(request(), response("Cache-Control: public\r\nCache-Control: no-transform\r\n"), "pass"),
        Case(request(), response("Cache-Control: private=\"a, no-transform\"\r\n"), "gzip"),
        Case(request(), response("Cache-Control: private=\"a, no-transform , b\"\r\n"), "gzip"),
        Case(request(), response("Cache-Control: no-transformation\r\n"), "gzip"),
        Case(request("gzip", "Cache-Control: no-transform\r\n"), response(), "pass"),
        Case(request(), response("Content-Digest: sha-256=:AAAA:\r\n"), "pass"),
        Case(request(), response("Repr-Digest: sha-256=:AAAA:\r\n"), "pass"),
        Case(request(), response("Digest: sha-256=AAAA\r\n"), "pass"),
        Case(request(), response("Content-MD5: AAAA\r\n"), "pass"),
        // Statuses and methods
        Case(request(), response(status: "404 Not Found"), "gzip"),
        Case(request(), response(status: "500 Internal Server Error"), "gzip"),
        Case(request(), response(status: "201 Created"), "gzip"),
        Case(request(), response(status: "204 No Content", length: nil), "pass"),
        Case(request(), response(status: "205 Reset Content", length: nil), "pass"),
        Case(request(), response(status: "304 Not Modified", length: nil), "vary"),
        Case(request("gzip", method: "HEAD"), response(), "vary"),
        Case(request("gzip", method: "POST", "Content-Length: 0\r\n"), response(), "gzip"),
    ]

    private static func request(_ accept: String, _ more: String) -> String {
        request(accept, method: "GET", more)
    }

    @Test("verdicts", arguments: cases)
    func verdict(of row: Case) throws {
        #expect(try Judged(row.request, row.response).verdict == row.verdict, "\(row.request)\(row.response)")
    }

    @Test("the fields of a compressed response")
    func compressedFields() throws {
        let judged = try Judged(
            Self.request("br"),
            Self.response("ETag: \"abc\"\r\nAccept-Ranges: bytes\r\nServer: x\r\nLast-Modified: now\r\n"))
        #expect(
            judged.fields == [
                "Content-Type: text/html", "Server: x", "Last-Modified: now", "ETag: W/\"abc\"",
                "content-encoding: br", "vary: Accept-Encoding",
            ])
        #expect(!judged.decision.flushesWhenIdle)
    }

    @Test("the fields of a response this client wanted plain")
    func plainFields() throws {
        let judged = try Judged(
            Self.request(nil), Self.response("ETag: \"abc\"\r\nAccept-Ranges: bytes\r\n"))
        #expect(
            judged.fields == [
                "Content-Type: text/html", "Content-Length: 5000", "ETag: \"abc\"", "Accept-Ranges: bytes",
                "vary: Accept-Encoding",
            ])
    }

    @Test("a response that is passed is not touched")
    func passedFields() throws {
        let judged = try Judged(Self.request(), Self.response("Vary: Origin\r\n", type: "image/png"))
        #expect(judged.fields == ["Content-Type: image/png", "Content-Length: 5000", "Vary: Origin"])
    }

    @Test(
        "Vary",
        arguments: [
            ("Vary: Origin\r\n", ["Vary: Origin, Accept-Encoding"]),
            ("Vary: accept-encoding\r\n", ["Vary: accept-encoding"]),
            ("Vary: Origin,Accept-Encoding, Cookie\r\n", ["Vary: Origin,Accept-Encoding, Cookie"]),
            ("Vary: *\r\n", ["Vary: *"]), ("Vary:\r\n", []),
            ("Vary: Origin\r\nVary: Cookie\r\n", ["Vary: Origin, Accept-Encoding", "Vary: Cookie"]),
            ("Vary: X-Accept-Encoding\r\n", ["Vary: X-Accept-Encoding, Accept-Encoding"]),
        ])
    func vary(sent: String, expected: [String]) throws {
        let judged = try Judged(Self.request(), Self.response(sent))
        #expect(judged.fields.filter { $0.hasPrefix("Vary") } == expected)
    }

    @Test(
        "entity tags",
        arguments: [
            ("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\""), ("\"\"", "W/\"\""), ("a", "a"), ("\"", "\""),
            ("w/\"a\"", "w/\"a\""),
        ])
    func tags(sent: String, expected: String) throws {
        let judged = try Judged(Self.request(), Self.response("ETag: \(sent)\r\n"))
        #expect(judged.fields.contains("ETag: \(expected)"))
    }

    @Test(
        "the tag of a 304 is the one the client knows",
        arguments: [
            ("W/\"a\"", "W/\"a\""), ("\"a\"", "\"a\""), ("\"b\", W/\"a\"", "W/\"a\""),
            ("W/\"ab\"", "\"a\""), ("W/\"a", "\"a\""), ("*", "\"a\""), ("\"x, W/\", \"a\"", "\"a\""),
            ("W/\"b\"", "\"a\""),
        ])
    func revalidation(known: String, expected: String) throws {
        let judged = try Judged(
            Self.request("gzip", "If-None-Match: \(known)\r\n"),
            "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")
        #expect(judged.fields == ["ETag: \(expected)", "vary: Accept-Encoding"])
    }

    @Test("bodies of unknown length are flushed when nothing more is there")
    func flushing() throws {
        #expect(try Judged(Self.request(), Self.response(length: nil)).decision.flushesWhenIdle)
        #expect(
            try Judged(Self.request(), Self.response("Transfer-Encoding: chunked\r\n", length: nil))
                .decision.flushesWhenIdle)
        #expect(try !Judged(Self.request(), Self.response()).decision.flushesWhenIdle)
    }

    @Test("event streams only when named in full")
    func events() throws {
        let response = Self.response(type: "text/event-stream", length: nil)
        let named = CompressionRule(types: ["text/event-stream"])
        #expect(try Judged(Self.request(), response, rule: named).verdict == "gzip")
        #expect(try Judged(Self.request(), response, rule: CompressionRule(types: ["*/*"])).verdict == "pass")
        #expect(
            try Judged(Self.request(), response, rule: CompressionRule(types: ["text/*"])).verdict == "pass")
    }

    @Test("a rule of one's own")
    func ownRule() throws {
        let rule = CompressionRule(
            order: CodingOrder([.gzip]), levels: [.gzip: 9, .br: 99, .zstd: -1], bytesMin: 10,
            types: ["Image/*", "application/*+cbor"])
        #expect(rule.level(of: .gzip) == 9 && rule.level(of: .br) == 6 && rule.level(of: .zstd) == 1)
        #expect(
            try Judged(Self.request("br"), Self.response(type: "image/png"), rule: rule).verdict == "vary")
        #expect(
            try Judged(Self.request("*"), Self.response(type: "image/PNG", length: 10), rule: rule).verdict
                == "gzip")
        #expect(
            try Judged(Self.request("*"), Self.response(type: "application/a+cbor"), rule: rule).verdict
                == "gzip")
        #expect(
            try Judged(Self.request("*"), Self.response(type: "application/cbor"), rule: rule).verdict
                == "pass")
        #expect(try Judged(Self.request("*"), Self.response(), rule: rule).verdict == "pass")
        let everything = CompressionRule(types: ["*/*"])
        #expect(try Judged(Self.request(), Self.response(type: "a/b"), rule: everything).verdict == "gzip")
    }
}

@Suite("Compression rule: content of our own")
struct OwnContentTests {
    private func verdict(
        _ fields: [String], method: String = "GET", status: UInt16 = 200, type: String = "text/css",
        bytes: UInt64 = 5000, control: String? = nil, rule: CompressionRule = CompressionRule()
    ) throws -> String {
        let decision = try withRequest(fields, method: method) { request in
            Array(type.utf8).withUnsafeBufferPointer { type in
                Array((control ?? "").utf8).withUnsafeBufferPointer { value in
                    rule.decide(
                        request: request, status: status, type: type, byteCount: bytes,
                        cacheControl: control == nil ? nil : value)
                }
            }
        }
        return decision.coding.map { "\($0.name)" } ?? (decision.needsVary ? "vary" : "pass")
    }

    @Test("what is compressed, what only varies, and what is left alone")
    func verdicts() throws {
        let gzip = ["Accept-Encoding: gzip"]
        #expect(try verdict(gzip) == "gzip")
        #expect(try verdict(["Accept-Encoding: gzip, zstd"]) == "zstd")
        // HEAD says what GET would say.
        #expect(try verdict(gzip, method: "HEAD") == "gzip")
        #expect(try verdict([]) == "vary")
        #expect(try verdict(["Accept-Encoding: gzip;q=0"]) == "vary")
        #expect(try verdict(gzip, bytes: 1024) == "gzip")
        #expect(try verdict(gzip, bytes: 1023) == "pass")
        #expect(try verdict(gzip, bytes: 0, rule: CompressionRule(bytesMin: 0)) == "vary")
        #expect(try verdict(gzip, type: "image/png") == "pass")
        #expect(try verdict(gzip, status: 404) == "gzip")
        for status: UInt16 in [204, 205, 206, 304] { #expect(try verdict(gzip, status: status) == "pass") }
        #expect(try verdict(gzip, control: "max-age=60") == "gzip")
        #expect(try verdict(gzip, control: "max-age=60, No-Transform") == "pass")
        #expect(try verdict(gzip + ["Cache-Control: no-transform"]) == "pass")
    }
}
