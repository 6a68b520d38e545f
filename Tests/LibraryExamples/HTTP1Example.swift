// WeirHTTP1: what its page shows.

import WeirHTTP1
import WeirHTTPModel

enum HTTP1Example {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        let parser = RequestParser()
        let received = Array(
            "POST /form HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                .utf8)
        if case .incomplete = parser.parse(Array(received.prefix(20))) { print("more has to come") }
        guard case .complete(let head) = parser.parse(received) else { return }
        print("\(head.method) \(head.path) for \(head.host), \(head.framing)")
        var chunks = ChunkedDecoder()
        var body: [UInt8] = []
        let progress = chunks.decode(Array(received.dropFirst(head.byteCount)), into: &body)
        print("\(progress): \(String(decoding: body, as: UTF8.self))")
        // Two readings are none.
        let smuggled = Array(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
        if case .malformed(let violation, _) = parser.parse(smuggled) { print("\(violation.text)") }
        // …to here.
    }
}
