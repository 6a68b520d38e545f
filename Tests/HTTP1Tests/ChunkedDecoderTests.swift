import WeirHTTPModel
import WeirBalancing
import Testing

@testable import WeirHTTP1

@Suite struct ChunkedDecoderTests {
    private let sample = latin1(
        "5\r\nhello\r\n0000A;a;b=c;d=\"e \\\" f\"\r\n0123456789\r\n1\r\n!\r\n0;x\r\nX-Sum: 1 2\r\nEtag:\"a\"\r\nCookie: c\r\n\r\n"
    )

    @Test func everySplitGivesTheSameBody() {
        let whole = decodeChunked(sample + latin1("GET"))
        #expect(String(decoding: whole.data, as: UTF8.self) == "hello0123456789!")
        #expect(whole.isComplete && whole.consumed == sample.count)
        #expect(whole.trailers == ["X-Sum=1 2", "Etag=\"a\"", "Cookie=c"])
        #expect(whole.droppedTrailers == ["Cookie"])
        for first in 0...sample.count {
            #expect(decodeChunked(sample, cuts: [first]) == whole)
        }
        for first in stride(from: 0, through: sample.count, by: 3) {
            for second in stride(from: first, through: sample.count, by: 2) {
                #expect(decodeChunked(sample, cuts: [first, second]) == whole)
            }
        }
        #expect(decodeChunked(sample, cuts: Array(0...sample.count)) == whole)
    }

    @Test func prefixesAreIncomplete() {
        for count in 0..<sample.count {
            let body = decodeChunked(Array(sample[..<count]))
            #expect(!body.isComplete && body.violation == .none)
        }
    }

    @Test func emptyBodyKeepsNothing() {
        for cuts in [[], [1], [3], [4]] {
            let body = decodeChunked(latin1("0\r\n\r\n"), cuts: cuts)
            #expect(body.isComplete && body.data.isEmpty && body.trailers.isEmpty && body.consumed == 5)
        }
        var decoder = ChunkedDecoder()
        withExact(latin1("0\r\n\r\n")) { bytes, count in
            var cursor = 0
            #expect(decoder.next(bytes, count: count, at: &cursor) == .end)
        }
        #expect(decoder.trailerBytes.capacity == 0)
    }

    @Test func answersStayTheSame() {
        withExact(latin1("0\r\n\r\n5\r\n")) { bytes, count in
            var decoder = ChunkedDecoder()
            var cursor = 0
            #expect(decoder.next(bytes, count: count, at: &cursor) == .end)
            #expect(decoder.next(bytes, count: count, at: &cursor) == .end && cursor == 5)
        }
        withExact(latin1("x5\r\n")) { bytes, count in
            var decoder = ChunkedDecoder()
            var cursor = 0
            #expect(decoder.next(bytes, count: count, at: &cursor) == .malformed(.chunkSizeInvalid, at: 0))
            #expect(decoder.next(bytes, count: count, at: &cursor) == .malformed(.chunkSizeInvalid, at: 0))
        }
    }

    @Test func dataMayBypassTheDecoder() {
        var decoder = ChunkedDecoder()
        withExact(latin1("64\r\nab")) { bytes, count in
            var cursor = 0
            #expect(decoder.remainingInChunk == 0)
            #expect(decoder.next(bytes, count: count, at: &cursor) == .data(offset: 4, count: 2))
            #expect(decoder.next(bytes, count: count, at: &cursor) == .needMore)
            #expect(decoder.remainingInChunk == 98)
        }
        decoder.consumedDirectly(90)
        #expect(decoder.remainingInChunk == 8)
        decoder.consumedDirectly(8)
        #expect(decoder.remainingInChunk == 0)
        withExact(latin1("\r\n0\r\n\r\n")) { bytes, count in
            var cursor = 0
            #expect(decoder.next(bytes, count: count, at: &cursor) == .end && cursor == count)
        }
    }

    @Test func boundsHold() {
        #expect(
            decodeChunked(latin1("5;" + String(repeating: "a", count: 255) + "\r\nhello\r\n0\r\n\r\n"))
                .isComplete)
        #expect(decodeChunked(latin1("00000000000000F\r\n0123456789abcde\r\n0\r\n\r\n")).isComplete)
        #expect(
            decodeChunked(latin1(String(repeating: "1\r\nx\r\n", count: 50_000) + "0\r\n\r\n")).isComplete)
        // "X:" value CRLF CRLF: exactly the bound, and one more.
        let value = String(repeating: "a", count: ChunkedDecoder.trailerBytesMax - 6)
        #expect(decodeChunked(latin1("0\r\nX:\(value)\r\n\r\n")).isComplete)
        #expect(decodeChunked(latin1("0\r\nX:\(value)a\r\n\r\n")).violation == .trailersTooLarge)
        #expect(
            decodeChunked(latin1("0\r\n" + String(repeating: "X:\r\n", count: 50) + "\r\n")).trailers.count
                == 50)
    }

    @Test func writtenChunksAreReadBack() {
        var random = SeededRandom(seed: 7)
        for _ in 0..<200 {
            var wire: [UInt8] = []
            var payload: [UInt8] = []
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let chunk = (0..<Int.random(in: 1...40, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
                wire += header(chunk.count) + chunk + [13, 10]
                payload += chunk
            }
            wire += header(0) + [13, 10]
            let cuts = (0..<Int.random(in: 0...8, using: &random)).map { _ in
                Int.random(in: 0...wire.count, using: &random)
            }.sorted()
            let body = decodeChunked(wire, cuts: cuts)
            #expect(body.isComplete && body.data == payload && body.consumed == wire.count)
        }
        #expect(header(0xABC0) == latin1("abc0\r\n"))
    }

    private func header(_ size: Int) -> [UInt8] {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { memory in
            guard let base = memory.baseAddress else { return [] }
            var writer = ByteWriter(base, capacity: 32)
            writeChunkHeader(size, &writer)
            return Array(memory[..<writer.count])
        }
    }

    @Test func reasonPhrases() {
        #expect("\(reasonPhrase(200))" == "OK" && "\(reasonPhrase(505))" == "HTTP Version Not Supported")
        #expect("\(reasonPhrase(799))" == "")
    }
}
