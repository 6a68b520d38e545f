// Parsing into values: they say what the parsers with pointers say.

import Testing
import WeirHTTP1
import WeirHTTPModel

@Suite struct ParsedHeadsTests {
    private func request(_ text: String, fieldsMax: Int = 200) -> ParsedHead<OwnedRequestHead> {
        var limits = HeadLimits()
        limits.fieldsMax = fieldsMax
        return RequestParser(limits: limits).parse(Array(text.utf8))
    }

    @Test func aHeadOwnsWhatItSays() throws {
        let text = "GET /a/../b%61?x=1 HTTP/1.1\r\nHost: example.com:81\r\nX-A: one\r\nx-a: two\r\n\r\nbody"
        guard case .complete(let head) = request(text) else { return #expect(Bool(false)) }
        #expect(head.method == "GET" && head.path == "/ba" && head.receivedPath == "/a/../b%61")
        #expect(head.target == "/a/../b%61?x=1" && head.query == "x=1")
        #expect(head.authority == "example.com:81" && head.host == "example.com")
        #expect(head["X-a"] == "one, two" && head["missing"] == nil)
        #expect(head.fields.map(\.name) == ["Host", "X-A", "x-a"])
        #expect(head.byteCount == text.utf8.count - 4)
        head.withView { view in
            #expect(view.head.pointee.path.text(in: view.bytes) == "/ba")
            #expect(view.field(named: "x-a").map { Array($0) } == Array("one".utf8))
        }
    }

    @Test func everyBeginningOfAHeadIsIncomplete() {
        let text = "GET /?q HTTP/1.1\r\nHost: a\r\n\r\n"
        for count in 0..<text.utf8.count {
            guard case .incomplete = RequestParser().parse(Array(text.utf8.prefix(count))) else {
                return #expect(Bool(false), "after \(count) bytes")
            }
        }
        guard case .complete(let head) = request(text) else { return #expect(Bool(false)) }
        #expect(head.query == "q" && head.path == "/")
    }

    @Test func boundsAndViolationsAreTold() {
        guard case .tooLarge(.fields) = request("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n", fieldsMax: 1)
        else {
            return #expect(Bool(false))
        }
        guard case .malformed(_, let at) = request("GET / HTTP/1.1\r\nHost : a\r\n\r\n") else {
            return #expect(Bool(false))
        }
        #expect(at == 20)
    }

    @Test func aResponseDependsOnWhatWasAsked() {
        let bytes = Array("HTTP/1.1 200 Fine\r\nContent-Length: 5\r\n\r\n".utf8)
        guard case .complete(let got) = ResponseParser().parse(bytes, to: .get),
            case .complete(let headed) = ResponseParser().parse(bytes, to: .head)
        else { return #expect(Bool(false)) }
        #expect(got.status == 200 && got.reason == "Fine" && got["content-length"] == "5")
        #expect(got.framing == .length && headed.framing == .none)
    }

    @Test func chunksArriveInAnyPieces() {
        let coded = Array("4\r\nweir\r\n3;a=b\r\n is\r\n0\r\nX-T: last\r\n\r\nnext".utf8)
        for size in 1...coded.count {
            var decoder = ChunkedDecoder()
            var body: [UInt8] = []
            var at = 0
            var progress = ChunkedDecoder.Progress.needMore
            while progress == .needMore, at < coded.count {
                let piece = Array(coded[at..<min(at + size, coded.count)])
                progress = decoder.decode(piece, into: &body)
                if case .end(let consumed) = progress { at += consumed } else { at += piece.count }
            }
            #expect(String(decoding: body, as: UTF8.self) == "weir is" && at == coded.count - 4)
            #expect(decoder.trailers == [HeadField(name: "X-T", value: Array("last".utf8))])
        }
        var decoder = ChunkedDecoder()
        var body: [UInt8] = []
        guard case .malformed = decoder.decode(Array("x".utf8), into: &body) else {
            return #expect(Bool(false))
        }
    }
}
