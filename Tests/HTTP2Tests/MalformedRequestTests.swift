// Requests that must be refused, each with the section that forbids it (RFC 9113 §8.1.1: malformed
// requests are stream errors of type PROTOCOL_ERROR; the connection goes on).

import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel
import Testing

struct BadRequest: Sendable, CustomTestStringConvertible {
    let name: String
    let section: String
    let violation: HTTP2Violation
    let fields: [(String, String)]
    var testDescription: String { "\(section) \(name)" }

    init(_ section: String, _ name: String, _ violation: HTTP2Violation, _ fields: [(String, String)]) {
        self.name = name
        self.section = section
        self.violation = violation
        self.fields = fields
    }
}

/// A request with one part replaced, or with further fields.
private func with(_ name: String, _ value: String, method: String = "GET") -> Pairs {
    var fields = get
    fields[0].1 = method
    if let index = fields.firstIndex(where: { $0.0 == name }) {
        fields[index].1 = value
    } else {
        fields.append((name, value))
    }
    return fields
}

private func without(_ name: String) -> Pairs { get.filter { $0.0 != name } }

let badRequests: [BadRequest] = [
    // §8.2.1: field validity
    BadRequest("RFC 9113 §8.2.1", "upper-case name", .fieldNameUppercase, with("X-Test", "1")),
    BadRequest(
        "RFC 9113 §8.2.1", "one upper-case letter at the end", .fieldNameUppercase, with("x-tesT", "1")),
    BadRequest("RFC 9113 §8.2.1", "upper-case known name", .fieldNameUppercase, with("Cookie", "a=b")),
    BadRequest("RFC 9113 §8.2.1", "empty name", .fieldNameEmpty, with("", "1")),
    BadRequest("RFC 9113 §8.2.1", "space in name", .fieldNameInvalid, with("x test", "1")),
    BadRequest("RFC 9113 §8.2.1", "space at end of name", .fieldNameInvalid, with("x-test ", "1")),
    BadRequest("RFC 9113 §8.2.1", "colon in name", .fieldNameInvalid, with("x:test", "1")),
    BadRequest("RFC 9113 §8.2.1", "CR LF in name", .fieldNameInvalid, with("x\r\ny", "1")),
    BadRequest("RFC 9113 §8.2.1", "NUL in name", .fieldNameInvalid, with("x\0", "1")),
    BadRequest("RFC 9113 §8.2.1", "DEL in name", .fieldNameInvalid, with("x\u{7F}", "1")),
    BadRequest("RFC 9113 §8.2.1", "non-ASCII name", .fieldNameInvalid, with("x-ä", "1")),
    BadRequest("RFC 9113 §8.2.1", "CR LF in value", .fieldValueByteInvalid, with("x", "1\r\nhost: b")),
    BadRequest("RFC 9113 §8.2.1", "CR in value", .fieldValueByteInvalid, with("x", "1\r2")),
    BadRequest("RFC 9113 §8.2.1", "LF in value", .fieldValueByteInvalid, with("x", "1\n2")),
    BadRequest("RFC 9113 §8.2.1", "NUL in value", .fieldValueByteInvalid, with("x", "1\0")),
    BadRequest("RFC 9113 §8.2.1", "DEL in value", .fieldValueByteInvalid, with("x", "1\u{7F}")),
    BadRequest("RFC 9113 §8.2.1", "leading space in value", .fieldValueWhitespace, with("x", " 1")),
    BadRequest("RFC 9113 §8.2.1", "trailing space in value", .fieldValueWhitespace, with("x", "1 ")),
    BadRequest("RFC 9113 §8.2.1", "leading tab in value", .fieldValueWhitespace, with("x", "\t1")),
    BadRequest("RFC 9113 §8.2.1", "trailing tab in value", .fieldValueWhitespace, with("x", "1\t")),
    BadRequest(
        "RFC 9113 §8.2.1", "control in a cookie crumb", .fieldValueByteInvalid, with("cookie", "a\u{1}")),
    // §8.2.2: connection-specific fields
    BadRequest("RFC 9113 §8.2.2", "connection", .connectionField, with("connection", "close")),
    BadRequest("RFC 9113 §8.2.2", "keep-alive", .connectionField, with("keep-alive", "timeout=5")),
    BadRequest("RFC 9113 §8.2.2", "proxy-connection", .connectionField, with("proxy-connection", "close")),
    BadRequest(
        "RFC 9113 §8.2.2", "transfer-encoding", .connectionField, with("transfer-encoding", "chunked")),
    BadRequest("RFC 9113 §8.2.2", "empty transfer-encoding", .connectionField, with("transfer-encoding", "")),
    BadRequest("RFC 9113 §8.2.2", "upgrade", .connectionField, with("upgrade", "websocket")),
    BadRequest("RFC 9113 §8.2.2", "te: gzip", .teNotTrailers, with("te", "gzip")),
    BadRequest("RFC 9113 §8.2.2", "te: trailers, gzip", .teNotTrailers, with("te", "trailers, gzip")),
    // §8.3: pseudo-header fields
    BadRequest("RFC 9113 §8.3", "unknown pseudo", .pseudoUnknown, [(":foo", "1")] + get),
    BadRequest("RFC 9113 §8.3", "upper-case pseudo", .pseudoUnknown, [(":Method", "GET")] + get.dropFirst()),
    BadRequest("RFC 9113 §8.3", "bare colon", .pseudoUnknown, [(":", "1")] + get),
    BadRequest("RFC 9113 §8.3", "pseudo after regular", .pseudoAfterRegular, [("x", "1")] + get),
    BadRequest(
        "RFC 9113 §8.3", "path after regular", .pseudoAfterRegular,
        without(":path") + [("x", "1"), (":path", "/")]),
    BadRequest("RFC 9113 §8.3", "status in a request", .pseudoOfOtherKind, get + [(":status", "200")]),
    BadRequest("RFC 9113 §8.3.1", "repeated :method", .pseudoDuplicate, get + [(":method", "GET")]),
    BadRequest("RFC 9113 §8.3.1", "repeated :path", .pseudoDuplicate, get + [(":path", "/other")]),
    BadRequest("RFC 9113 §8.3.1", "repeated :scheme", .pseudoDuplicate, get + [(":scheme", "http")]),
    BadRequest(
        "RFC 9113 §8.3.1", "repeated :authority", .pseudoDuplicate, get + [(":authority", "b.example")]),
    BadRequest("RFC 9113 §8.3.1", "no :method", .methodMissing, without(":method")),
    BadRequest("RFC 9113 §8.3.1", "no :scheme", .schemeMissing, without(":scheme")),
    BadRequest("RFC 9113 §8.3.1", "no :path", .pathMissing, without(":path")),
    BadRequest("RFC 9113 §8.3.1", "nothing at all", .methodMissing, []),
    BadRequest("RFC 9113 §8.3.1", "empty :method", .methodInvalid, with(":method", "", method: "")),
    BadRequest("RFC 9113 §8.3.1", "space in :method", .methodInvalid, with("x", "1", method: "GET /x")),
    BadRequest("RFC 9113 §8.3.1", "CR LF in :method", .methodInvalid, with("x", "1", method: "GET\r\n")),
    BadRequest("RFC 9113 §8.3.1", "unknown :scheme", .schemeInvalid, with(":scheme", "ftp")),
    BadRequest("RFC 9113 §8.3.1", "empty :scheme", .schemeInvalid, with(":scheme", "")),
    BadRequest(
        "RFC 9113 §8.3.1", ":scheme with a target in it", .schemeInvalid, with(":scheme", "https://b/?")),
    BadRequest("RFC 9113 §8.3.1", "empty :path", .pathEmpty, with(":path", "")),
    BadRequest("RFC 9113 §8.3.1", ":path without slash", .pathInvalid, with(":path", "x")),
    BadRequest("RFC 9113 §8.3.1", "absolute :path", .pathInvalid, with(":path", "https://b.example/")),
    BadRequest("RFC 9113 §8.3.1", "* with GET", .asteriskNotOptions, with(":path", "*")),
    BadRequest("RFC 9113 §8.3.1", "*x with OPTIONS", .pathInvalid, with(":path", "*x", method: "OPTIONS")),
    BadRequest("RFC 9113 §8.3.1", "space in :path", .targetInvalid, with(":path", "/a b")),
    BadRequest("RFC 9113 §8.3.1", "version in :path", .targetInvalid, with(":path", "/ HTTP/1.1")),
    BadRequest("RFC 9113 §8.3.1", "CR LF in :path", .targetInvalid, with(":path", "/\r\nx: y")),
    BadRequest("RFC 9113 §8.3.1", "NUL in :path", .targetInvalid, with(":path", "/\0")),
    BadRequest("RFC 9113 §8.3.1", "tab in :path", .targetInvalid, with(":path", "/\ta")),
    BadRequest("RFC 9113 §8.3.1", "trailing space in :path", .targetInvalid, with(":path", "/a ")),
    BadRequest("RFC 9113 §8.3.1", "fragment in :path", .targetInvalid, with(":path", "/a#b")),
    BadRequest("RFC 3986 §5.2.4", "path above the root", .targetInvalid, with(":path", "/a/../../b")),
    BadRequest("RFC 3986 §3.3", "encoded dot segment", .targetInvalid, with(":path", "/a/%2e%2E/b")),
    BadRequest("RFC 3986 §2.1", "broken percent-encoding", .targetInvalid, with(":path", "/%4")),
    BadRequest("RFC 3986 §2.1", "encoded NUL", .targetInvalid, with(":path", "/%00")),
    BadRequest("RFC 3986 §2", "raw byte outside of ASCII", .targetInvalid, with(":path", "/ä")),
    // Authorities
    BadRequest("RFC 9113 §8.3.1", "no authority", .authorityMissing, without(":authority")),
    BadRequest("RFC 9113 §8.3.1", "empty :authority", .authorityInvalid, with(":authority", "")),
    BadRequest("RFC 9113 §8.3.1", "userinfo", .userinfoInAuthority, with(":authority", "u:p@a.example")),
    BadRequest("RFC 3986 §3.2", "space in :authority", .authorityInvalid, with(":authority", "a example")),
    BadRequest("RFC 3986 §3.2", "slash in :authority", .authorityInvalid, with(":authority", "a.example/x")),
    BadRequest(
        "RFC 3986 §3.2", "port that is no number", .authorityInvalid, with(":authority", "a.example:x")),
    BadRequest("RFC 3986 §3.2", "port over 65535", .authorityInvalid, with(":authority", "a.example:65536")),
    BadRequest("RFC 3986 §3.2", "CR LF in :authority", .authorityInvalid, with(":authority", "a\r\nb")),
    BadRequest(
        "RFC 9113 §8.3.1", "two host fields", .hostDuplicate,
        get + [("host", "a.example"), ("host", "a.example")]),
    BadRequest("RFC 9113 §8.3.1", "host differs", .hostMismatch, get + [("host", "b.example")]),
    BadRequest("RFC 9113 §8.3.1", "host differs in port", .hostMismatch, get + [("host", "a.example:444")]),
    BadRequest(
        "RFC 9113 §8.3.1", "host differs by scheme's port", .hostMismatch, get + [("host", "a.example:80")]),
    BadRequest("RFC 9110 §7.2", "invalid host", .hostInvalid, without(":authority") + [("host", "a b")]),
    BadRequest("RFC 9110 §7.2", "empty host", .hostInvalid, without(":authority") + [("host", "")]),
    // §8.5 and RFC 8441: CONNECT
    BadRequest("RFC 9113 §8.5", "CONNECT with :path", .connectWithSchemeOrPath, connect + [(":path", "/")]),
    BadRequest(
        "RFC 9113 §8.5", "CONNECT with :scheme", .connectWithSchemeOrPath, connect + [(":scheme", "https")]),
    BadRequest("RFC 9113 §8.5", "CONNECT without :authority", .authorityMissing, [(":method", "CONNECT")]),
    BadRequest(
        "RFC 9113 §8.5", "CONNECT without port", .connectAuthorityInvalid,
        [(":method", "CONNECT"), (":authority", "a.example")]),
    BadRequest(
        "RFC 9113 §8.5", "CONNECT with userinfo", .userinfoInAuthority,
        [(":method", "CONNECT"), (":authority", "u@a.example:443")]),
    BadRequest(
        "RFC 9113 §8.5", "CONNECT with another host", .hostMismatch, connect + [("host", "b.example:443")]),
    BadRequest(
        "RFC 8441 §4", ":protocol with GET", .protocolWithoutConnect, [(":protocol", "websocket")] + get),
    BadRequest(
        "RFC 8441 §4", "extended CONNECT without :path", .pathMissing, webSocket.filter { $0.0 != ":path" }),
    BadRequest(
        "RFC 8441 §4", "extended CONNECT without :scheme", .schemeMissing,
        webSocket.filter { $0.0 != ":scheme" }),
    BadRequest(
        "RFC 8441 §4", ":protocol that is no token", .protocolInvalid,
        [(":protocol", "web socket")] + webSocket.filter { $0.0 != ":protocol" }),
    // Lengths
    BadRequest(
        "RFC 9110 §8.6", "content-length that is no number", .contentLengthInvalid,
        with("content-length", "x")),
    BadRequest("RFC 9110 §8.6", "empty content-length", .contentLengthInvalid, with("content-length", "")),
    BadRequest("RFC 9110 §8.6", "signed content-length", .contentLengthInvalid, with("content-length", "+1")),
    BadRequest(
        "RFC 9110 §8.6", "list in content-length", .contentLengthInvalid, with("content-length", "0, 0")),
    BadRequest(
        "RFC 9110 §8.6", "content-length of 2^63", .contentLengthTooLarge,
        with("content-length", "9223372036854775808")),
    BadRequest(
        "RFC 9110 §8.6", "two content-lengths", .contentLengthDuplicate,
        get + [("content-length", "0"), ("content-length", "0")]),
    BadRequest(
        "RFC 9113 §8.1.1", "content-length without data", .contentLengthMismatch, with("content-length", "5")),
]

@Suite struct MalformedRequestTests {
    @Test(arguments: badRequests)
    func isReset(_ bad: BadRequest) throws {
        let peer = Peer.server()
        let seen = peer.feed(Frame.headers(1, bad.fields))
        let first = try #require(seen.first)
        #expect(first.kind == .malformed)
        #expect(first.event.violation == bad.violation)
        #expect(seen.count == 1)
        let frames = peer.frames()
        #expect(frames.contains { $0.type == 3 && $0.stream == 1 && $0.code == 1 })
        #expect(!frames.contains { $0.type == 7 })
        // A stream the owner never knew ends without a word, and the connection goes on.
        #expect(peer.events().isEmpty)
        #expect(peer.session.streamsOpen == 0)
        let next = peer.feed(Frame.headers(3, get))
        #expect(next.map(\.kind) == [.head])
    }

    /// The section that a test names and the one the violation names are the same, but for the finer
    /// ones of RFC 3986 and 9110, which the cause tells.
    @Test func everyViolationNamesItsSection() {
        for violation in HTTP2Violation.allCases where violation != .none {
            #expect(violation.section.description.hasPrefix("RFC "))
            #expect(!violation.text.description.isEmpty)
        }
        for bad in badRequests
        where bad.section.hasPrefix("RFC 9113 §8.2") || bad.section.hasPrefix("RFC 8441") {
            if bad.violation == .pathMissing || bad.violation == .schemeMissing { continue }
            #expect(bad.violation.section.description == bad.section)
        }
    }

    @Test func targetsTellTheFinerReason() throws {
        let peer = Peer.server()
        let dot = try #require(peer.feed(Frame.headers(1, with(":path", "/a/%2e%2e/b"))).first)
        #expect(dot.event.cause == .dotSegment)
        let root = try #require(peer.feed(Frame.headers(3, with(":path", "/../b"))).first)
        #expect(root.event.cause == .pathAboveRoot)
        let percent = try #require(peer.feed(Frame.headers(5, with(":path", "/%zz"))).first)
        #expect(percent.event.cause == .percentEncodingInvalid)
    }

    @Test func extendedConnectIsRefusedWhenNotOffered() throws {
        let peer = Peer.server { $0.offersExtendedConnect = false }
        let first = try #require(peer.feed(Frame.headers(1, webSocket)).first)
        #expect(first.event.violation == .extendedConnectNotEnabled)
    }

    @Test func dataOfAMalformedRequestIsDroppedAndItsWindowGivenBack() {
        let peer = Peer.server { $0.connectionWindowBytes = 65_536 }
        for round in 0..<20 {
            let stream = 2 * round + 1
            let seen = peer.feed(
                Frame.headers(stream, with("Bad", "1"), end: false)
                    + Frame.data(stream, String(repeating: "x", count: 10_000)))
            #expect(seen.map(\.kind) == [.malformed])
            _ = peer.output()
            peer.events()
        }
        #expect(peer.session.violation == .none)
    }

    // RFC 9113 §8.1.1: the length must be that of all DATA.
    @Test(arguments: [
        (["12345", "6"], false, "too much data"), (["123"], true, "too little data"), ([""], true, "none"),
    ])
    func contentLengthMismatch(_ chunks: [String], _ ends: Bool, _ name: String) {
        let peer = Peer.server()
        var bytes = Frame.headers(1, post + [("content-length", "5")], end: false)
        for (index, chunk) in chunks.enumerated() {
            bytes += Frame.data(1, chunk, end: ends && index == chunks.count - 1)
        }
        let seen = peer.feed(bytes)
        #expect(seen.last?.kind == .malformed)
        #expect(seen.last?.event.violation == .contentLengthMismatch)
        #expect(!seen.contains { $0.event.endsStream })
        #expect(peer.frames().contains { $0.type == 3 && $0.code == 1 })
        #expect(peer.events().map(\.kind) == [.closed])
    }

    @Test func contentLengthMismatchAtTrailers() {
        let peer = Peer.server()
        let seen = peer.feed(
            Frame.headers(1, post + [("content-length", "5")], end: false) + Frame.data(1, "1234")
                + Frame.headers(1, [("x", "y")]))
        #expect(seen.map(\.kind) == [.head, .data, .malformed])
        #expect(seen.last?.event.violation == .contentLengthMismatch)
    }

    struct BadTrailers: Sendable, CustomTestStringConvertible {
        let name: String
        let violation: HTTP2Violation
        let fields: [(String, String)]
        let ends: Bool
        var testDescription: String { name }
    }

    static let badTrailers = [
        BadTrailers(name: "§8.1 pseudo", violation: .pseudoInTrailers, fields: [(":path", "/")], ends: true),
        BadTrailers(
            name: "§8.1 status", violation: .pseudoInTrailers, fields: [(":status", "200")], ends: true),
        BadTrailers(
            name: "§8.1 without end", violation: .trailersWithoutEnd, fields: [("x", "y")], ends: false),
        BadTrailers(
            name: "§8.2.1 upper case", violation: .fieldNameUppercase, fields: [("X", "y")], ends: true),
        BadTrailers(
            name: "§8.2.2 connection", violation: .connectionField, fields: [("connection", "x")], ends: true),
        BadTrailers(
            name: "§8.2.1 CR LF", violation: .fieldValueByteInvalid, fields: [("x", "a\r\nb")], ends: true),
        BadTrailers(
            name: "RFC 9110 §6.5.1 length", violation: .trailerForbidden, fields: [("content-length", "1")],
            ends: true),
        BadTrailers(
            name: "RFC 9110 §6.5.1 host", violation: .trailerForbidden, fields: [("host", "b")], ends: true),
        BadTrailers(
            name: "§8.2.2 transfer-encoding", violation: .connectionField,
            fields: [("transfer-encoding", "chunked")], ends: true),
        BadTrailers(
            name: "too many", violation: .trailersTooLarge,
            fields: (0..<60).map { ("x-\($0)", "y") }, ends: true),
    ]

    @Test(arguments: badTrailers)
    func trailersThatAreRefused(_ bad: BadTrailers) {
        let peer = Peer.server()
        let seen = peer.feed(
            Frame.headers(1, post, end: false) + Frame.data(1, "x")
                + Frame.headers(1, bad.fields, end: bad.ends))
        #expect(seen.map(\.kind) == [.head, .data, .malformed])
        #expect(seen.last?.event.violation == bad.violation)
        #expect(peer.frames().contains { $0.type == 3 && $0.code == 1 })
    }
}
