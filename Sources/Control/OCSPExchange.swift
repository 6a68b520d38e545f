// What goes over the wire to an OCSP responder and back (RFC 6960 §A.1), without the wire.
//
// The responder's address comes from a certificate the operator installed, the answer from whoever is on
// the way: it is bounded, read by the data plane's strict parsers, and means nothing before its
// signature is verified (TLS/OCSPQuestion.swift). No redirects, no https (a responder behind TLS would need
// the very thing it vouches for), no user names.

import HTTP1
import HTTPModel

/// Where a responder is: http://host[:port][/path].
struct ResponderURL: Sendable, Equatable {
    /// A name or an address, without brackets.
    var host: String
    var port: UInt16
    /// Path and query.
    var target: String
    /// For the Host field.
    var authority: String

    /// nil: not a URL of this kind.
    init?(_ text: String) {
        guard text.utf8.count <= 2_048, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
            text.prefix(7).lowercased() == "http://"
        else { return nil }
        let rest = text.dropFirst(7).prefix { $0 != "#" }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let path = rest[authority.endIndex...]
        var host = authority
        var port: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<end]
            let behind = authority[authority.index(after: end)...]
            guard behind.isEmpty || behind.hasPrefix(":") else { return nil }
            if !behind.isEmpty { port = behind.dropFirst() }
        } else if let colon = authority.firstIndex(of: ":") {
            host = authority[..<colon]
            port = authority[authority.index(after: colon)...]
        }
        guard !host.isEmpty, !authority.contains("@") else { return nil }
        var number: UInt16 = 80
        if let port, !port.isEmpty {
            guard port.utf8.allSatisfy({ $0 &- 48 < 10 }), let given = UInt16(port), given > 0 else {
                return nil
            }
            number = given
        }
        self.host = String(host)
        self.port = number
        self.authority = String(authority)
        target = path.isEmpty ? "/" : path.hasPrefix("?") ? "/" + path : String(path)
    }
}

enum OCSPExchange {
    /// Longest answer, head and body. Real ones are below 4 KiB.
    static let answerBytesMax = 65_536

    /// The whole request.
    static func request(_ url: ResponderURL, _ der: [UInt8]) -> [UInt8] {
        let head = """
            POST \(url.target) HTTP/1.1\r
            Host: \(url.authority)\r
            User-Agent: weir\r
            Content-Type: application/ocsp-request\r
            Accept: application/ocsp-response\r
            Content-Length: \(der.count)\r
            Connection: close\r
            \r

            """
        return Array(head.utf8) + der
    }

    /// What became of the bytes received so far.
    enum Answer: Equatable {
        case incomplete
        case body([UInt8])
        /// The status was not 200.
        case refused(status: UInt16)
        case malformed
        case tooLarge
    }

    /// - Parameters:
    ///   - input: everything received.
    ///   - isOver: the responder has closed.
    static func answer(_ input: [UInt8], isOver: Bool) -> Answer {
        if input.count > answerBytesMax { return .tooLarge }
        let parser = ResponseParser()
        var head = ResponseHead()
        var start = 0
        repeat {
            let result = withUnsafeTemporaryAllocation(of: Field.self, capacity: parser.limits.fieldsMax) {
                fields in
                input.withUnsafeBufferPointer { bytes -> HeadResult in
                    guard let base = bytes.baseAddress, let table = fields.baseAddress else {
                        return .incomplete
                    }
                    return parser.parse(
                        base + start, count: bytes.count - start, requestMethod: .post, fields: table,
                        into: &head)
                }
            }
            guard result == .complete else {
                return result == .incomplete && !isOver ? .incomplete : .malformed
            }
            start += Int(head.byteCount)
        } while head.isInterim
        guard head.status == 200 else { return .refused(status: head.status) }
        let rest = input[start...]
        switch head.framing {
        case .none: return .body([])
        case .untilClose: return isOver ? .body(Array(rest)) : .incomplete
        case .length:
            if head.contentLength > UInt64(answerBytesMax) { return .tooLarge }
            if rest.count >= Int(head.contentLength) {
                return .body(Array(rest.prefix(Int(head.contentLength))))
            }
            return isOver ? .malformed : .incomplete
        case .chunked: return chunked(Array(rest), isOver)
        }
    }

    private static func chunked(_ bytes: [UInt8], _ isOver: Bool) -> Answer {
        var decoder = ChunkedDecoder()
        var body: [UInt8] = []
        var cursor = 0
        return bytes.withUnsafeBufferPointer { buffer in
            while let base = buffer.baseAddress {
                switch decoder.next(base, count: buffer.count, at: &cursor) {
                case .data(let offset, let count): body += buffer[offset..<(offset + count)]
                case .end: return .body(body)
                case .malformed: return .malformed
                case .needMore: return isOver ? .malformed : .incomplete
                }
            }
            return isOver ? .malformed : .incomplete
        }
    }
}
