import WeirHTTPModel
import Testing

@testable import WeirHTTP1

/// What one service's endpoints may do against the standard, and that nothing else becomes possible by it.
@Suite struct QuirkTests {
    static let all: Quirks = [.paddedChunkSize, .duplicateLength, .teIdentity]

    struct Sample {
        let fields: String
        let quirk: Quirks
        let framing: BodyFraming
        let length: UInt64
        /// Whether another response may follow on the connection.
        let keepAlive: Bool
        /// Fields that do not go on.
        let hopByHop: [String]
    }

    static let samples = [
        Sample(
            fields: "Content-Length: 5\r\nContent-Length: 5\r\n", quirk: .duplicateLength, framing: .length,
            length: 5,
            keepAlive: true, hopByHop: ["Content-Length"]),
        Sample(
            fields: "Content-Length: 5\r\nA: b\r\ncontent-length: 05\r\nContent-Length: 5\r\n",
            quirk: .duplicateLength,
            framing: .length, length: 5, keepAlive: true, hopByHop: ["content-length", "Content-Length"]),
        Sample(
            fields: "Content-Length: 5, 5\t,5\r\n", quirk: .duplicateLength, framing: .length, length: 5,
            keepAlive: true,
            hopByHop: []),
        Sample(
            fields: "Transfer-Encoding: Identity\r\nContent-Length: 5\r\n", quirk: .teIdentity,
            framing: .length,
            length: 5, keepAlive: false, hopByHop: ["Transfer-Encoding"]),
        Sample(
            fields: "Content-Length: 5\r\nTransfer-Encoding: identity\r\n", quirk: .teIdentity,
            framing: .length,
            length: 5, keepAlive: false, hopByHop: ["Transfer-Encoding"]),
        Sample(
            fields: "Transfer-Encoding: identity\r\n", quirk: .teIdentity, framing: .untilClose, length: 0,
            keepAlive: false, hopByHop: ["Transfer-Encoding"]),
    ]

    @Test(arguments: samples)
    func heads(_ sample: Sample) {
        let text = "HTTP/1.1 200 OK\r\n\(sample.fields)\r\n"
        guard case .malformed = parseResponse(text).result else {
            Issue.record("read strictly: \(sample)")
            return
        }
        #expect(
            parseResponse(text, allowing: Self.all.subtracting(sample.quirk)).result
                == parseResponse(text).result,
            "another quirk does not help: \(sample)")
        let response = parseResponse(text, allowing: sample.quirk)
        #expect(response.result == .complete, "\(sample)")
        #expect(response.head.quirks == sample.quirk && response.head.framing == sample.framing, "\(sample)")
        #expect(response.head.contentLength == sample.length, "\(sample)")
        #expect(response.head.allowsKeepAlive == sample.keepAlive, "\(sample)")
        #expect(response.hopByHop == sample.hopByHop, "\(sample)")
        for count in 0..<latin1(text).count {
            #expect(parseResponse(latin1(text)[..<count], allowing: sample.quirk).result == .incomplete)
        }
    }

    @Test func oneLengthGoesOn() {
        for fields in ["Content-Length: 5, 5\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n"] {
            for method in [WeirHTTPModel.Method.get, .head] {
                let response = parseResponse(
                    "HTTP/1.1 200 OK\r\n\(fields)\r\n", to: method, allowing: .duplicateLength)
                let values = response.fields.filter { $0.id == .contentLength && !$0.isHopByHop }
                #expect(values.map { response.text($0.value) } == ["5"])
            }
        }
    }

    /// With all of them allowed.
    @Test(arguments: [
        "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5, 6\r\n", "Content-Length: 5,\r\n",
        "Content-Length: ,5\r\n", "Content-Length: 5 5\r\n", "Content-Length: 5;5\r\n",
        "Content-Length: +5, 5\r\n",
        "Content-Length: 5, 5\r\nContent-Length: 6\r\n", "Content-Length:\r\n", "Content-Length: -5\r\n",
        "Content-Length: 5, 18446744073709551621\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5, 5\r\n",
        "Transfer-Encoding: identity, chunked\r\n", "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: identity\r\n", "Transfer-Encoding: xidentity\r\n",
        "Transfer-Encoding: identity;q=1\r\n", "Transfer-Encoding: gzip\r\n", "Transfer-Encoding:\r\n",
        "Content-Length : 5\r\n", "X: y\nContent-Length: 5\r\n",
    ])
    func nothingElseIsTaken(_ fields: String) {
        let text = "HTTP/1.1 200 OK\r\n\(fields)\r\n"
        let strict = parseResponse(text).result
        guard case .malformed = strict, case .malformed = parseResponse(text, allowing: Self.all).result
        else {
            Issue.record("taken: \(fields), strictly: \(strict)")
            return
        }
    }

    @Test func whatIsWellFormedReadsTheSame() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
            "HTTP/1.1 204 X\r\nContent-Length: 7\r\n\r\n",
        ] {
            let strict = parseResponse(text)
            let lenient = parseResponse(text, allowing: Self.all)
            #expect(lenient.result == .complete && lenient.head.quirks == [])
            #expect(
                lenient.head.framing == strict.head.framing
                    && lenient.head.allowsKeepAlive == strict.head.allowsKeepAlive)
            #expect(lenient.hopByHop == strict.hopByHop)
        }
    }

    @Test func paddedChunkSizes() {
        let text = latin1("5 \r\nhello\r\n1\t  ;a=b\r\n!\r\n0  \r\nX: y\r\n\r\n")
        #expect(decodeChunked(text).violation == .chunkSizeInvalid)
        #expect(
            decodeChunked(text, allowing: [.duplicateLength, .teIdentity]).violation == .chunkSizeInvalid)
        let whole = decodeChunked(text, allowing: .paddedChunkSize)
        #expect(whole.isComplete && String(decoding: whole.data, as: UTF8.self) == "hello!")
        #expect(whole.trailers == ["X=y"] && whole.quirks == .paddedChunkSize)
        for cut in 0...text.count {
            #expect(decodeChunked(text, cuts: [cut], allowing: .paddedChunkSize) == whole)
        }
        #expect(decodeChunked(latin1("5\r\nhello\r\n0\r\n\r\n"), allowing: Self.all).quirks == [])
    }

    @Test(arguments: [
        (" 5\r\n", Violation.chunkSizeInvalid), ("5 5\r\n", .chunkSizeInvalid),
        ("5\u{B}\r\n", .chunkSizeInvalid),
        ("5 \n", .chunkLineEndMalformed), ("5\n", .chunkLineEndMalformed), ("5 \rx", .chunkLineEndMalformed),
        (" \r\n", .chunkSizeInvalid), ("5 ; a\r\n", .chunkExtensionMalformed), ("5 x\r\n", .chunkSizeInvalid),
        ("5" + String(repeating: " ", count: 300) + "\r\n", .chunkExtensionTooLong),
    ])
    func paddingIsBlanksBehindTheSize(_ sample: (line: String, violation: Violation)) {
        #expect(decodeChunked(latin1(sample.line), allowing: Self.all).violation == sample.violation)
    }

    /// Padding counts as extensions do: it cannot make one-byte chunks dearer than those can.
    @Test func paddingIsBounded() {
        let chunk = latin1("1" + String(repeating: " ", count: 200) + "\r\nx\r\n")
        let body = decodeChunked(Array((0..<200).map { _ in chunk }.joined()), allowing: Self.all)
        #expect(body.violation == .chunkOverheadExcessive)
    }
}
