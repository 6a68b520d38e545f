// One table of malformed messages: each names the violation, and for heads the offset, that must be
// reported. `everyViolationIsProvoked` keeps the table complete.

import WeirHTTPModel
import Testing

@testable import WeirHTTP1

struct MalformedRequest: CustomTestStringConvertible {
    let text: String
    let violation: Violation
    let at: Int

    init(_ text: String, _ violation: Violation, _ at: Int) {
        self.text = text
        self.violation = violation
        self.at = at
    }
    var testDescription: String { "\(violation): \(text.debugDescription)" }
}

/// A request whose only peculiarity is one target.
private func target(_ target: String, _ violation: Violation, _ at: Int) -> MalformedRequest {
    MalformedRequest("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n", violation, 4 + at)
}

/// A request whose only peculiarity is one more field line. The offset counts from its start.
private func line(_ line: String, _ violation: Violation, _ at: Int) -> MalformedRequest {
    MalformedRequest("GET / HTTP/1.1\r\nHost: a\r\n\(line)\r\n\r\n", violation, 25 + at)
}

/// A request whose only peculiarity is the Host value.
private func host(_ value: String, _ at: Int) -> MalformedRequest {
    MalformedRequest("GET / HTTP/1.1\r\nHost: \(value)\r\n\r\n", .hostInvalid, 22 + at)
}

let malformedRequests: [MalformedRequest] = [
    // Lines
    MalformedRequest("\rGET / HTTP/1.1\r\n", .bareCR, 0),
    MalformedRequest("\nGET / HTTP/1.1\r\n", .bareLF, 0),
    MalformedRequest("\r\n\r\nGET / HTTP/1.1\r\n", .extraEmptyLine, 2),
    MalformedRequest("GET\rX", .bareCR, 3),
    MalformedRequest("GET\n", .bareLF, 3),
    MalformedRequest("GET / HTTP/1.1\nHost: a\n\n", .bareLF, 14),
    MalformedRequest("GET / HTTP/1.1\rHost: a\r\r", .bareCR, 14),
    MalformedRequest("GET / HTTP/1.1\r\nHost: a\n\r\n", .bareLF, 23),
    MalformedRequest("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", .bareCR, 23),
    MalformedRequest("GET / HTTP/1.1\r\nHost: a\r\n\n", .bareLF, 25),
    MalformedRequest("GET / HTTP/1.1\r\nHost: a\r\n\rX", .bareCR, 25),
    line("X: a\rb", .bareCR, 4), line("X: a\nY: b", .bareLF, 4), line("X\rY: b", .bareCR, 1),
    line("X\nY: b", .bareLF, 1), line("X: a\r Y: b", .bareCR, 4),
    // Request line
    MalformedRequest(" GET / HTTP/1.1\r\n", .methodMissing, 0),
    MalformedRequest("\u{16}\u{3}\u{1}\u{0}", .methodInvalid, 0),
    MalformedRequest("G@T / HTTP/1.1\r\n", .methodInvalid, 1),
    MalformedRequest("GET\r\n", .methodInvalid, 3),
    MalformedRequest("GET: / HTTP/1.1\r\n", .methodInvalid, 3),
    MalformedRequest("G\u{e9}T / HTTP/1.1\r\n", .methodInvalid, 1),
    MalformedRequest("GET\t/ HTTP/1.1\r\n", .requestLineWhitespace, 3),
    MalformedRequest("GET  / HTTP/1.1\r\n", .requestLineWhitespace, 4),
    MalformedRequest("GET /  HTTP/1.1\r\n", .requestLineWhitespace, 6),
    MalformedRequest("GET /\tHTTP/1.1\r\n", .requestLineWhitespace, 5),
    MalformedRequest("GET /\r\n", .versionMissing, 5),
    MalformedRequest("GET /?a\r\n", .versionMissing, 7),
    MalformedRequest("GET / \r\n", .versionMissing, 6),
    MalformedRequest("GET /\n", .bareLF, 5),
    MalformedRequest("GET / \n", .bareLF, 6),
    MalformedRequest("GET /\rX", .bareCR, 5),
    MalformedRequest("GET / \rX", .bareCR, 6),
    MalformedRequest("GET / http/1.1\r\n", .versionMalformed, 6),
    MalformedRequest("GET / HTTP/11\r\n", .versionMalformed, 12),
    MalformedRequest("GET / HTTP/1,1\r\n", .versionMalformed, 12),
    MalformedRequest("GET / HTTP/1.1 \r\n", .versionMalformed, 14),
    MalformedRequest("GET / HTTP/1.10\r\n", .versionMalformed, 14),
    MalformedRequest("GET / HTTP/01.1\r\n", .versionMalformed, 12),
    MalformedRequest("GET / FTP/1.1\r\n", .versionMalformed, 6),
    MalformedRequest("GET / HTTP /1.1\r\n", .requestLineWhitespace, 10),
    MalformedRequest("GET / HTTP/1.:\r\n", .versionMalformed, 13),
    MalformedRequest("GET / HTTP/3.1\r\n", .versionUnsupported, 6),
    MalformedRequest("GET / HTTP/0.9\r\n", .versionUnsupported, 6),
    MalformedRequest("GET / HTTP/2.0\r\n", .versionUnsupported, 6),
    MalformedRequest("GET / HTTP/9.9\r\n", .versionUnsupported, 6),
    MalformedRequest("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .asteriskNotOptions, 4),
    // Target
    target("index.html", .targetFormUnknown, 10), target("a:80", .targetFormUnknown, 2),
    target("?q", .targetFormUnknown, 0), target("http:/a/", .targetFormUnknown, 6),
    target("1http://a/", .targetFormUnknown, 0), target("*", .asteriskNotOptions, 0),
    MalformedRequest("OPTIONS *x HTTP/1.1\r\n", .targetByteInvalid, 9),
    MalformedRequest("OPTIONS ** HTTP/1.1\r\n", .targetByteInvalid, 9),
    MalformedRequest("CONNECT / HTTP/1.1\r\n", .connectTargetNotAuthority, 8),
    MalformedRequest("CONNECT a HTTP/1.1\r\n", .connectTargetNotAuthority, 8),
    MalformedRequest("CONNECT a: HTTP/1.1\r\n", .connectTargetNotAuthority, 8),
    MalformedRequest("CONNECT a:0 HTTP/1.1\r\n", .connectTargetNotAuthority, 8),
    MalformedRequest("CONNECT :80 HTTP/1.1\r\n", .connectTargetNotAuthority, 8),
    MalformedRequest("CONNECT a:65536 HTTP/1.1\r\n", .connectTargetNotAuthority, 10),
    MalformedRequest("CONNECT a:80/x HTTP/1.1\r\n", .connectTargetNotAuthority, 12),
    MalformedRequest("CONNECT http://a:80 HTTP/1.1\r\n", .connectTargetNotAuthority, 13),
    MalformedRequest("CONNECT u@a:80 HTTP/1.1\r\n", .userinfoInTarget, 9),
    MalformedRequest("CONNECT * HTTP/1.1\r\n", .connectTargetNotAuthority, 8),
    target("ftp://a/", .schemeUnsupported, 0), target("httpx://a/", .schemeUnsupported, 0),
    target("http://u@a/", .userinfoInTarget, 8), target("http://u:p@a/", .userinfoInTarget, 10),
    target("http:///", .targetAuthorityInvalid, 7), target("http://:80/", .targetAuthorityInvalid, 7),
    target("http://a:x/", .targetAuthorityInvalid, 9), target("http://[::1/", .targetAuthorityInvalid, 7),
    target("http://a,b/", .targetAuthorityInvalid, 8), target("http://a\\b/", .targetAuthorityInvalid, 8),
    target("http://a%2fb/", .targetAuthorityInvalid, 8),
    target("/a\"", .targetByteInvalid, 2), target("/<", .targetByteInvalid, 1),
    target("/a>b", .targetByteInvalid, 2), target("/a\\b", .targetByteInvalid, 2),
    target("/{a}", .targetByteInvalid, 1), target("/`", .targetByteInvalid, 1),
    target("/?\"", .targetByteInvalid, 2), target("/?<", .targetByteInvalid, 2),
    target("/?a>", .targetByteInvalid, 3), target("/\u{0}", .targetByteInvalid, 1),
    target("/\u{7f}", .targetByteInvalid, 1), target("/\u{e9}", .targetByteInvalid, 1),
    target("/?\u{0}", .targetByteInvalid, 2), target("/?\u{80}", .targetByteInvalid, 2),
    target("/a#b", .targetFragment, 2), target("/?a#b", .targetFragment, 3),
    target("http://a#b", .targetFragment, 8), target("#", .targetFragment, 0),
    target("/%", .percentEncodingInvalid, 1), target("/%4", .percentEncodingInvalid, 1),
    target("/%zz", .percentEncodingInvalid, 1), target("/%4g/x", .percentEncodingInvalid, 1),
    target("/%%41", .percentEncodingInvalid, 1), target("/a%00b", .encodedNUL, 2),
    target("http://a/%00", .encodedNUL, 9),
    target("/..", .pathAboveRoot, 1), target("/a/../../b", .pathAboveRoot, 6),
    target("/./..?q", .pathAboveRoot, 3), target("/a//../b", .pathAmbiguous, 4),
    target("/..//b", .pathAmbiguous, 1),
    target("/%2e", .dotSegment, 1), target("/%2E%2e/x", .dotSegment, 1),
    target("/.%2e/", .dotSegment, 1), target("/a/%2e./", .dotSegment, 3),
    target("/a/..;/b", .dotSegment, 3), target("/a/..;x=1/b", .dotSegment, 3),
    target("/a/..%2fb", .dotSegment, 3), target("/a%2F..", .dotSegment, 5),
    target("/a/%2e%2e%5Cb", .dotSegment, 3),
    target("/a/.;", .dotSegment, 3), target("http://a/../b", .pathAboveRoot, 9),
    // Field lines
    line(": x", .fieldNameMissing, 0), line("X Y: z", .whitespaceBeforeColon, 1),
    line("X : y", .whitespaceBeforeColon, 1), line("X\t: y", .whitespaceBeforeColon, 1),
    line("Transfer-Encoding : chunked", .whitespaceBeforeColon, 17),
    line("X(: y", .fieldNameInvalid, 1), line("X\u{0}: y", .fieldNameInvalid, 1),
    line("X\u{e9}: y", .fieldNameInvalid, 1), line("\u{0b}X: y", .fieldNameInvalid, 0),
    line("X", .colonMissing, 1), line(" folded", .lineFolding, 0), line("\tfolded", .lineFolding, 0),
    line("X: a\r\n b", .lineFolding, 6),
    MalformedRequest("GET / HTTP/1.1\r\n Host: a\r\n\r\n", .leadingWhitespace, 16),
    MalformedRequest("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", .leadingWhitespace, 16),
    line("X: a\u{0}b", .fieldValueByteInvalid, 4), line("X: \u{7f}", .fieldValueByteInvalid, 3),
    line("X: 0123456789\u{1b}", .fieldValueByteInvalid, 13), line("X: \u{0b}y", .fieldValueByteInvalid, 3),
    // Host
    MalformedRequest("GET / HTTP/1.1\r\n\r\n", .hostMissing, 16),
    MalformedRequest("GET / HTTP/1.1\r\nX: y\r\n\r\n", .hostMissing, 22),
    MalformedRequest("GET http://a/ HTTP/1.1\r\n\r\n", .hostMissing, 24),
    line("Host: a", .hostDuplicate, 0), line("hOST: b", .hostDuplicate, 0),
    MalformedRequest("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", .hostDuplicate, 25),
    host("a b", 1), host("a,b", 1), host("a, b", 1), host("u@a", 1), host("a/b", 1), host("a?b", 1),
    host("a#b", 1), host("a\\b", 1), host("a:b", 2), host("a:1:2", 3), host("a:65536", 2),
    host("a:123456", 7), host("a:-1", 2), host(":80", 0), host("http://a", 5), host("a%41", 1),
    host("\u{e9}", 0), host("a\tb", 1), host("[::1", 0), host("[]", 0), host("[::1]x", 5),
    host("[1:2:3:4:5:6:7:8:9]", 0), host("[1:2:3]", 0), host("[1::2::3]", 6), host("[12345::]", 6),
    host("[::1%25eth0]", 4), host("[v1.a]", 1), host("[::1.2.3]", 3), host("[::256.1.1.1]", 3),
    host("[::01.2.3.4]", 3), host("[::1.2.3.04]", 3),
    host("[1:]", 3), host("[:1]", 1), host("::1", 0), host("a\"", 1),
    host(String(repeating: "a", count: 255), 0),
    MalformedRequest("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", .hostMismatch, 30),
    MalformedRequest("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n", .hostMismatch, 29),
    MalformedRequest("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", .hostMismatch, 33),
    MalformedRequest("GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", .hostMismatch, 31),
    MalformedRequest("CONNECT a:443 HTTP/1.1\r\nHost: a:80\r\n\r\n", .hostMismatch, 30),
    MalformedRequest("CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n", .hostMismatch, 30),
    // Framing
    line("Content-Length:", .contentLengthInvalid, 15), line("Content-Length: +1", .contentLengthInvalid, 16),
    line("Content-Length: -1", .contentLengthInvalid, 16),
    line("Content-Length: 1 2", .contentLengthInvalid, 17),
    line("Content-Length: 5, 5", .contentLengthInvalid, 17),
    line("Content-Length: 0x5", .contentLengthInvalid, 17),
    line("Content-Length: 5;", .contentLengthInvalid, 17),
    line("Content-Length: 1_000", .contentLengthInvalid, 17),
    line("Content-Length: \"5\"", .contentLengthInvalid, 16),
    line("Content-Length: 9223372036854775808", .contentLengthTooLarge, 16),
    line("Content-Length: 18446744073709551617", .contentLengthTooLarge, 16),
    line("Content-Length: 99999999999999999999999", .contentLengthTooLarge, 16),
    line("Content-Length: 5\r\nContent-Length: 5", .contentLengthDuplicate, 19),
    line("Content-Length: 5\r\ncontent-length: 6", .contentLengthDuplicate, 19),
    line("Transfer-Encoding:", .transferEncodingMalformed, 18),
    line("Transfer-Encoding: chunked,", .transferEncodingMalformed, 19),
    line("Transfer-Encoding: ,chunked", .transferEncodingMalformed, 19),
    line("Transfer-Encoding: \"chunked\"", .transferEncodingMalformed, 19),
    line("Transfer-Encoding: chunked;q=1", .transferEncodingMalformed, 26),
    line("Transfer-Encoding: chunked\t x", .transferEncodingMalformed, 26),
    line("Transfer-Encoding: \u{a0}chunked", .transferEncodingMalformed, 19),
    line("Transfer-Encoding: gzip", .transferEncodingUnknown, 19),
    line("Transfer-Encoding: identity", .transferEncodingUnknown, 19),
    line("Transfer-Encoding: xchunked", .transferEncodingUnknown, 19),
    line("Transfer-Encoding: gzip, chunked", .transferEncodingUnknown, 19),
    line("Transfer-Encoding: chunked, gzip", .transferEncodingUnknown, 19),
    line("Transfer-Encoding: chunked, chunked", .transferEncodingUnknown, 19),
    line("Transfer-Encoding: chunked chunked", .transferEncodingUnknown, 19),
    line("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .transferEncodingDuplicate, 28),
    line("Transfer-Encoding: chunked\r\ntransfer-encoding: x", .transferEncodingDuplicate, 28),
    MalformedRequest(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10, 17),
    line("Content-Length: 5\r\nTransfer-Encoding: chunked", .transferEncodingWithContentLength, 19),
    line("Transfer-Encoding: chunked\r\nContent-Length: 5", .transferEncodingWithContentLength, 28),
    // Others
    line("Connection: close; x", .connectionMalformed, 17), line("Connection: a b", .connectionMalformed, 14),
    line("Connection: \"close\"", .connectionMalformed, 12),
    line("Connection: " + String(repeating: "x,", count: 65), .connectionMalformed, 140),
    line("Connection: host", .connectionNamesEssentialField, 12),
    line("Connection: close, Content-Length", .connectionNamesEssentialField, 19),
    line("Connection: transfer-encoding", .connectionNamesEssentialField, 12),
    line("Connection: content-type", .connectionNamesEssentialField, 12),
    line("Connection: content-encoding", .connectionNamesEssentialField, 12),
    line("Connection: content-range", .connectionNamesEssentialField, 12),
    line("Expect: 200-ok", .expectationUnknown, 8), line("Expect:", .expectationUnknown, 7),
    line("Expect: 100-continue, x", .expectationUnknown, 8),
]

let malformedResponses: [MalformedRequest] = [
    MalformedRequest("HTP/1.1 200 OK\r\n\r\n", .statusLineMalformed, 2),
    MalformedRequest("\r\nHTTP/1.1 200 OK\r\n\r\n", .statusLineMalformed, 0),
    MalformedRequest("http/1.1 200 OK\r\n\r\n", .statusLineMalformed, 0),
    MalformedRequest("ICY 200 OK\r\n\r\n", .statusLineMalformed, 0),
    MalformedRequest("HTTP/1.1\t200 OK\r\n\r\n", .statusLineMalformed, 8),
    MalformedRequest("HTTP/1.1\r\n\r\n", .statusLineMalformed, 8),
    MalformedRequest("HTTP/1.1\n", .bareLF, 8),
    MalformedRequest("HTTP/1.10 200 OK\r\n\r\n", .statusLineMalformed, 8),
    MalformedRequest("HTTP/2.0 200 OK\r\n\r\n", .versionUnsupported, 0),
    MalformedRequest("HTTP/0.2 200 OK\r\n\r\n", .versionUnsupported, 0),
    MalformedRequest("HTTP/1.1  200 OK\r\n\r\n", .statusInvalid, 9),
    MalformedRequest("HTTP/1.1 099 X\r\n\r\n", .statusInvalid, 9),
    MalformedRequest("HTTP/1.1 20 OK\r\n\r\n", .statusInvalid, 11),
    MalformedRequest("HTTP/1.1 2000 OK\r\n\r\n", .statusInvalid, 12),
    MalformedRequest("HTTP/1.1 +20 OK\r\n\r\n", .statusInvalid, 9),
    MalformedRequest("HTTP/1.1 200\tOK\r\n\r\n", .statusInvalid, 12),
    MalformedRequest("HTTP/1.1 200 O\u{0}K\r\n\r\n", .reasonByteInvalid, 14),
    MalformedRequest("HTTP/1.1 200 \u{7f}\r\n\r\n", .reasonByteInvalid, 13),
    MalformedRequest("HTTP/1.1 200 OK\n\n", .bareLF, 15),
    MalformedRequest("HTTP/1.1 200 OK\rX: y\r\n\r\n", .bareCR, 15),
    MalformedRequest("HTTP/1.1 200\n", .bareLF, 12),
    MalformedRequest("HTTP/1.1 200 OK\r\n X: y\r\n\r\n", .leadingWhitespace, 17),
    MalformedRequest("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", .whitespaceBeforeColon, 18),
    MalformedRequest("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", .lineFolding, 23),
    MalformedRequest("HTTP/1.1 200 OK\r\nX: y\u{0}\r\n\r\n", .fieldValueByteInvalid, 21),
    MalformedRequest("HTTP/1.1 200 OK\r\nGarbage\r\n\r\n", .colonMissing, 24),
    MalformedRequest(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", .contentLengthDuplicate, 36),
    MalformedRequest(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", .contentLengthDuplicate, 36),
    MalformedRequest("HTTP/1.1 200 OK\r\nContent-Length: 5,5\r\n\r\n", .contentLengthInvalid, 34),
    MalformedRequest(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        .transferEncodingWithContentLength, 36),
    MalformedRequest(
        "HTTP/1.1 304 N\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        .transferEncodingWithContentLength, 35),
    MalformedRequest(
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10, 17),
    MalformedRequest(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .transferEncodingUnknown, 36),
    MalformedRequest(
        "HTTP/1.1 200 OK\r\nConnection: content-length\r\n\r\n", .connectionNamesEssentialField, 29),
]

/// Chunked bodies; the offset is not compared, for it depends on where the bytes were split.
let malformedBodies: [(text: String, violation: Violation)] = [
    ("\r\n", .chunkSizeMissing), (";x\r\n", .chunkSizeMissing), ("\n", .chunkSizeMissing),
    ("g\r\n", .chunkSizeInvalid), (" 5\r\n", .chunkSizeInvalid), ("5 \r\n", .chunkSizeInvalid),
    ("5\t\r\n", .chunkSizeInvalid), ("0x5\r\n", .chunkSizeInvalid), ("-5\r\n", .chunkSizeInvalid),
    ("+5\r\n", .chunkSizeInvalid), ("5 ;x\r\n", .chunkSizeInvalid), ("5_0\r\n", .chunkSizeInvalid),
    ("\u{0}5\r\n", .chunkSizeInvalid), ("5,5\r\n", .chunkSizeInvalid),
    ("0000000000000005\r\n", .chunkSizeTooLarge), ("ffffffffffffffff\r\n", .chunkSizeTooLarge),
    ("10000000000000000\r\n", .chunkSizeTooLarge),
    ("5\n", .chunkLineEndMalformed), ("5\rX", .chunkLineEndMalformed), ("5;a\n", .chunkLineEndMalformed),
    ("5;a=b\n", .chunkLineEndMalformed), ("5;a=\"b\"\n", .chunkLineEndMalformed),
    ("5\r\r\n", .chunkLineEndMalformed), ("5;a\rb", .chunkLineEndMalformed),
    ("0\n\n", .chunkLineEndMalformed),
    ("5;\r\n", .chunkExtensionMalformed), ("5; a\r\n", .chunkExtensionMalformed),
    ("5;a =b\r\n", .chunkExtensionMalformed), ("5;a=\r\n", .chunkExtensionMalformed),
    ("5;=b\r\n", .chunkExtensionMalformed), ("5;a=\"b\"c\r\n", .chunkExtensionMalformed),
    ("5;a=\"b\nc\"\r\n", .chunkExtensionMalformed), ("5;a=\"b\rc\"\r\n", .chunkExtensionMalformed),
    ("5;a=\"\\\n\"\r\n", .chunkExtensionMalformed), ("5;a\u{0}\r\n", .chunkExtensionMalformed),
    ("5;;a\r\n", .chunkExtensionMalformed), ("5;\n", .chunkExtensionMalformed),
    ("5;" + String(repeating: "a", count: 256) + "\r\n", .chunkExtensionTooLong),
    (
        String(repeating: "1;" + String(repeating: "a", count: 250) + "\r\nx\r\n", count: 80),
        .chunkOverheadExcessive
    ),
    ("5\r\nhello\n", .chunkDataEndMalformed), ("5\r\nhelloX", .chunkDataEndMalformed),
    ("5\r\nhello0\r\n", .chunkDataEndMalformed), ("5\r\nhello\rX", .chunkDataEndMalformed),
    ("0\r\nX : y\r\n\r\n", .whitespaceBeforeColon), ("0\r\n x: y\r\n\r\n", .leadingWhitespace),
    ("0\r\nX: y\r\n z\r\n\r\n", .lineFolding), ("0\r\nX: y\n\r\n", .bareLF),
    ("0\r\nX\r\n\r\n", .colonMissing),
    ("0\r\n\rX\r\n\r\n", .bareCR), ("0\r\n\n", .bareLF), ("0\r\nX: \u{0}\r\n\r\n", .fieldValueByteInvalid),
    ("0\r\nContent-Length: 5\r\n\r\n", .trailerForbidden),
    ("0\r\ntransfer-encoding: chunked\r\n\r\n", .trailerForbidden),
    ("0\r\nX: y\r\nHost: a\r\n\r\n", .trailerForbidden),
    ("0\r\nX: " + String(repeating: "a", count: 8_190) + "\r\n\r\n", .trailersTooLarge),
    ("0\r\n" + String(repeating: "X: y\r\n", count: 51) + "\r\n", .trailersTooLarge),
    ("0\r\n" + String(repeating: "a", count: 9_000), .trailersTooLarge),
]

@Suite struct MalformedTests {
    @Test(arguments: malformedRequests)
    func requestIsRefused(_ sample: MalformedRequest) {
        #expect(parseRequest(sample.text).result == .malformed(sample.violation, at: sample.at))
    }

    @Test(arguments: malformedResponses)
    func responseIsRefused(_ sample: MalformedRequest) {
        #expect(parseResponse(sample.text).result == .malformed(sample.violation, at: sample.at))
    }

    /// However the bytes arrive, the same violation is found.
    @Test(arguments: malformedBodies.indices)
    func bodyIsRefused(_ index: Int) {
        let (text, violation) = malformedBodies[index]
        let bytes = latin1(text)
        #expect(decodeChunked(bytes).violation == violation, "\(text.debugDescription)")
        for cut in stride(from: 0, through: bytes.count, by: max(1, bytes.count / 100)) {
            #expect(decodeChunked(bytes, cuts: [cut]).violation == violation)
        }
        #expect(decodeChunked(bytes, cuts: Array(0...bytes.count)).violation == violation)
    }

    /// A prefix is either incomplete or malformed in the same way as the whole: the verdict does not
    /// depend on how the bytes arrive.
    @Test func verdictDoesNotDependOnArrival() {
        for sample in malformedRequests {
            let bytes = latin1(sample.text)
            for count in 0..<bytes.count {
                let result = parseRequest(bytes[..<count]).result
                #expect(
                    result == .incomplete || result == .malformed(sample.violation, at: sample.at),
                    "\(sample.text.debugDescription) cut at \(count): \(result)")
            }
        }
        for sample in malformedResponses {
            let bytes = latin1(sample.text)
            for count in 0..<bytes.count {
                let result = parseResponse(bytes[..<count]).result
                #expect(
                    result == .incomplete || result == .malformed(sample.violation, at: sample.at),
                    "\(sample.text.debugDescription) cut at \(count): \(result)")
            }
        }
    }

    @Test func everyViolationIsProvoked() {
        let provoked = Set(
            malformedRequests.map(\.violation) + malformedResponses.map(\.violation)
                + malformedBodies.map(\.violation))
        // Needs a listener that says so: RequestParserTests.underscores.
        for violation in Violation.allCases where violation != .none && violation != .fieldNameUnderscore {
            #expect(provoked.contains(violation), "no sample for \(violation)")
        }
    }

    @Test func everyViolationHasItsOwnTextAndASection() {
        var texts = Set<String>()
        for violation in Violation.allCases {
            #expect(texts.insert("\(violation.text)").inserted, "\(violation)")
            #expect(violation == .none || "\(violation.section)".hasPrefix("RFC "))
        }
        #expect(Violation.none.rawValue == 0)
    }
}
