// Runs the examples of the libraries' pages, imported as other programs import them, and compares what they print.

import Testing

@Suite struct LibraryExamplesTests {
    private func printed(_ run: ((String) -> Void) throws -> Void) rethrows -> [String] {
        var lines: [String] = []
        try run { lines.append($0) }
        return lines
    }

    @Test func addresses() {
        #expect(
            printed(AddressesExample.run) == [
                #"2001:db8::1"#,
                #"true"#,
                #"true"#,
                #"[fe80::1]:80"#,
            ])
    }

    @Test func balancing() {
        #expect(
            printed(BalancingExample.run) == [
                #"b"#,
                #"a"#,
                #"nobody"#,
            ])
    }

    @Test func resilience() {
        #expect(
            printed(ResilienceExample.run) == [
                #"again, in 25 ms"#,
                #"connect-refused is a 502"#,
            ])
    }

    @Test func routing() throws {
        #expect(
            try printed(RoutingExample.run) == [
                #"users ["id": "42"]"#,
                #"https://example.com/profiles/42?full"#,
            ])
    }

    @Test func files() {
        #expect(
            printed(FilesExample.run) == [
                #"text/css; charset=utf-8"#,
                #"true false"#,
            ])
    }

    @Test func compression() throws {
        #expect(
            try printed(CompressionExample.run) == [
                #"smaller: true"#,
                #"the same: true"#,
                #"tooLarge"#,
            ])
    }

    @Test func grpc() {
        #expect(
            printed(GRPCExample.run) == [
                #"250 ms"#,
                #"200000u"#,
                #"UNAVAILABLE"#,
            ])
    }

    @Test func httpModel() {
        #expect(
            printed(HTTPModelExample.run) == [
                #"Sun, 06 Nov 1994 08:49:37 GMT"#,
                #"784111777"#,
                #"br"#,
            ])
    }

    @Test func http1() {
        #expect(
            printed(HTTP1Example.run) == [
                #"more has to come"#,
                #"POST /form for example.com, chunked"#,
                #"end(consumed: 15): hello"#,
                #"Transfer-Encoding together with Content-Length"#,
            ])
    }

    @Test func http2() {
        #expect(
            printed(HTTP2Example.run) == [
                #"20 at once"#,
                #"false after 50 ms, true after 100 ms"#,
            ])
    }

    @Test func json() throws {
        #expect(
            try printed(JSONExample.run) == [
                #"weir"#,
                #"[80, 443]"#,
                #"{"ok":true,"text":"a \"quoted\" line\n"}"#,
                #"the name stands twice in the object at byte 17"#,
            ])
    }

    @Test func webSocket() {
        #expect(
            printed(WebSocketExample.run) == [
                #"between two frames: false"#,
                #"between two frames: true"#,
            ])
    }

    @Test func proxyProtocol() {
        #expect(
            printed(ProxyProtocolExample.run) == [
                #"PROXY TCP4 192.0.2.7 192.0.2.1 40000 443"#,
                #"192.0.2.7:40000, 42 bytes"#,
                #"malformed(position: 0)"#,
            ])
    }

    @Test func expressions() throws {
        #expect(try printed(ExpressionsExample.run) == ["true, 0 patterns", "wrong at 17"])
    }
}
