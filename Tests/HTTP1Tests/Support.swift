// Calls the parsers with bytes in memory of exactly their length, so that AddressSanitizer sees every
// read beyond them.

import WeirHTTPModel

@testable import WeirHTTP1

struct ParsedRequest {
    var result: HeadResult
    var head: RequestHead
    var fields: [Field]
    var bytes: [UInt8]

    func text(_ range: ByteRange) -> String {
        String(decoding: bytes[Int(range.offset)..<Int(range.end)], as: UTF8.self)
    }
    func field(_ index: Int) -> String {
        "\(text(fields[index].name))=\(text(fields[index].value))"
    }
    /// Names of the fields that end at this hop.
    var hopByHop: [String] { fields.filter(\.isHopByHop).map { text($0.name) } }
}

struct ParsedResponse {
    var result: HeadResult
    var head: ResponseHead
    var fields: [Field]
    var bytes: [UInt8]

    func text(_ range: ByteRange) -> String {
        String(decoding: bytes[Int(range.offset)..<Int(range.end)], as: UTF8.self)
    }
    var hopByHop: [String] { fields.filter(\.isHopByHop).map { text($0.name) } }
}

/// Runs `body` with exactly the bytes, in memory of their own.
func withExact<Result>(
    _ bytes: some Collection<UInt8>, _ body: (UnsafePointer<UInt8>, Int) -> Result
) -> Result {
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(bytes.count, 1))
    defer { memory.deallocate() }
    _ = memory.initialize(from: bytes)
    return body(memory.baseAddress.map { UnsafePointer($0) } ?? UnsafePointer(bitPattern: 1)!, bytes.count)
}

func parseRequest(
    _ bytes: some Collection<UInt8>, limits: HeadLimits = HeadLimits()
) -> ParsedRequest {
    let fields = UnsafeMutablePointer<Field>.allocate(capacity: limits.fieldsMax)
    defer { fields.deallocate() }
    var head = RequestHead()
    let result = withExact(bytes) {
        RequestParser(limits: limits).parse($0, count: $1, fields: fields, into: &head)
    }
    let count = result == .complete ? Int(head.fieldCount) : 0
    return ParsedRequest(
        result: result, head: head, fields: Array(UnsafeBufferPointer(start: fields, count: count)),
        bytes: Array(bytes))
}

func parseRequest(_ text: String, limits: HeadLimits = HeadLimits()) -> ParsedRequest {
    parseRequest(latin1(text), limits: limits)
}

/// - Parameter quirks: when given, read leniently.
func parseResponse(
    _ bytes: some Collection<UInt8>, to method: WeirHTTPModel.Method = .get,
    limits: HeadLimits = HeadLimits(), allowing quirks: Quirks? = nil
) -> ParsedResponse {
    let fields = UnsafeMutablePointer<Field>.allocate(capacity: limits.fieldsMax)
    defer { fields.deallocate() }
    var head = ResponseHead()
    let result = withExact(bytes) {
        let parser = ResponseParser(limits: limits)
        guard let quirks else {
            return parser.parse($0, count: $1, requestMethod: method, fields: fields, into: &head)
        }
        return parser.parseLeniently(
            $0, count: $1, requestMethod: method, fields: fields, into: &head, allowing: quirks)
    }
    let count = result == .complete ? Int(head.fieldCount) : 0
    return ParsedResponse(
        result: result, head: head, fields: Array(UnsafeBufferPointer(start: fields, count: count)),
        bytes: Array(bytes))
}

func parseResponse(
    _ text: String, to method: WeirHTTPModel.Method = .get, limits: HeadLimits = HeadLimits(),
    allowing quirks: Quirks? = nil
) -> ParsedResponse {
    parseResponse(latin1(text), to: method, limits: limits, allowing: quirks)
}

/// Every character up to U+00FF as one byte.
func latin1(_ text: String) -> [UInt8] {
    text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
}

struct DecodedBody: Equatable {
    var data: [UInt8] = []
    var violation = Violation.none
    var isComplete = false
    /// Bytes consumed up to the end of the body or to where it stopped.
    var consumed = 0
    var trailers: [String] = []
    var droppedTrailers: [String] = []
    var quirks: Quirks = []
}

/// Decodes a body that arrives in pieces that end at `cuts` (ascending offsets).
func decodeChunked(_ bytes: [UInt8], cuts: [Int] = [], allowing quirks: Quirks = []) -> DecodedBody {
    var decoder = ChunkedDecoder(allowing: quirks)
    var body = DecodedBody()
    var start = 0
    for cut in cuts + [bytes.count] {
        let piece = bytes[start..<cut]
        var isStopped = false
        withExact(piece) { pointer, count in
            var cursor = 0
            while !isStopped {
                switch decoder.next(pointer, count: count, at: &cursor) {
                case .data(let offset, let length):
                    precondition(length > 0 && offset + length <= count && cursor == offset + length)
                    body.data += UnsafeBufferPointer(start: pointer + offset, count: length)
                case .needMore:
                    precondition(cursor == count)
                    body.consumed += count
                    return
                case .end:
                    body.isComplete = true
                    body.consumed += cursor
                    isStopped = true
                case .malformed(let violation, let at):
                    precondition(at >= 0 && at <= count)
                    body.violation = violation
                    isStopped = true
                }
            }
        }
        if isStopped { break }
        start = cut
    }
    body.quirks = decoder.quirks
    if body.isComplete {
        decoder.withTrailers { bytes, fields in
            for field in fields {
                let name = String(
                    decoding: bytes[Int(field.name.offset)..<Int(field.name.end)], as: UTF8.self)
                let value = String(
                    decoding: bytes[Int(field.value.offset)..<Int(field.value.end)], as: UTF8.self)
                body.trailers.append("\(name)=\(value)")
                if field.isHopByHop { body.droppedTrailers.append(name) }
            }
        }
    }
    return body
}
