// Chunked bodies: data lies inside the bytes, and however the bytes are split, the same data, the same
// trailers and the same verdict come out. The first byte of the input seeds the splits. What is read
// strictly is read the same where padding is allowed.

import WeirHTTP1
import WeirHTTPModel

private struct Body: Equatable {
    var data: [UInt8] = []
    var violation = Violation.none
    var isComplete = false
    /// Where the body ended; not meaningful otherwise.
    var end = 0
    var trailers: [UInt8] = []
    var dropped: [Bool] = []
    var quirks: Quirks = []
}

/// Decodes in pieces whose lengths `pieceLength` gives.
private func decode(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, allowing quirks: Quirks = [], pieceLength: () -> Int
) -> Body {
    var decoder = ChunkedDecoder(allowing: quirks)
    var body = Body()
    var start = 0
    while start < count {
        let length = min(max(1, pieceLength()), count - start)
        let isStopped = withExact(bytes + start, length) { piece in
            var cursor = 0
            while true {
                let before = cursor
                let step = decoder.next(piece, count: length, at: &cursor)
                require(cursor >= before && cursor <= length, "cursor \(cursor) of \(length)")
                switch step {
                case .data(let offset, let size):
                    require(offset >= before && size > 0 && offset + size == cursor, "data outside")
                    body.data += UnsafeBufferPointer(start: piece + offset, count: size)
                case .needMore:
                    require(cursor == length, "bytes left behind")
                    return false
                case .end:
                    body.isComplete = true
                    body.end = start + cursor
                    return true
                case .malformed(let violation, let at):
                    require(at >= 0 && at <= length && violation != .none, "position \(at)")
                    body.violation = violation
                    return true
                }
            }
        }
        if isStopped { break }
        start += length
    }
    body.quirks = decoder.quirks
    if body.isComplete {
        decoder.withTrailers { bytes, fields in
            body.trailers = Array(bytes)
            body.dropped = fields.map(\.isHopByHop)
            for field in fields {
                require(
                    Int(field.name.end) <= bytes.count && Int(field.value.end) <= bytes.count,
                    "trailer outside")
            }
        }
        if body.dropped.isEmpty { body.trailers = [] }
    }
    return body
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ inputCount: Int) -> CInt {
    guard inputCount > 0 else { return 0 }
    let bytes = input + 1
    let count = inputCount - 1
    let strict = check(bytes, count, seed: input[0], allowing: [])
    require(strict.quirks.isEmpty, "overlooked what is not allowed")
    let lenient = check(bytes, count, seed: input[0], allowing: .paddedChunkSize)
    if strict.violation != .chunkSizeInvalid { require(lenient == strict, "leniently it is something else") }
    return 0
}

private func check(_ bytes: UnsafePointer<UInt8>, _ count: Int, seed: UInt8, allowing quirks: Quirks) -> Body
{
    let whole = decode(bytes, count, allowing: quirks) { count }
    require(whole.data.count <= count, "more data than bytes")
    let single = decode(bytes, count, allowing: quirks) { 1 }
    require(single == whole, "byte by byte: \(single), whole: \(whole)")
    var state = UInt32(seed) &+ 1
    let split = decode(bytes, count, allowing: quirks) {
        state = state &* 1_664_525 &+ 1_013_904_223
        return Int(state >> 24) % 7
    }
    require(split == whole, "split: \(split), whole: \(whole)")
    if whole.isComplete {
        // What lies behind the body has no part in it.
        let alone = decode(bytes, whole.end, allowing: quirks) { whole.end }
        require(alone == whole, "the bytes behind the body changed it")
    }
    return whole
}
