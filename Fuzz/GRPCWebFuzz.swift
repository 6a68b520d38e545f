// gRPC-Web requests and responses, content types, deadlines, health answers: the same verdict however the
// input is split, and what was encoded decodes to itself.

import WeirGRPC
import WeirHTTPModel

private func bridge(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ kind: GRPCKind, piece: Int
) -> (bytes: [UInt8], error: GRPCWebError?) {
    var decoder = GRPCWebRequestDecoder(kind)
    var output: [UInt8] = []
    var start = 0
    while start < count {
        let length = min(piece, count - start)
        var room = [UInt8](repeating: 0, count: GRPCWebRequestDecoder.room(for: length))
        let isFine = room.withUnsafeMutableBufferPointer { to in
            withExact(bytes + start, length) { from in
                guard let target = to.baseAddress, let made = decoder.decode(from, length, into: target)
                else {
                    return false
                }
                output += made
                return true
            }
        }
        if !isFine { return (output, decoder.error) }
        start += length
    }
    return (output, decoder.finish())
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    for kind in [GRPCKind.web, .webText] {
        let whole = bridge(input, count, kind, piece: max(1, count))
        for piece in [1, 3, 5] {
            // Which of two faults is met first depends on the blocks; that there is one does not.
            let split = bridge(input, count, kind, piece: piece)
            require(
                (split.error == nil) == (whole.error == nil),
                "\(kind): \(split.error as Any), \(whole.error as Any)")
            if whole.error == nil { require(split.bytes == whole.bytes, "\(kind): other bytes when split") }
        }
    }
    var encoder = Base64Encoder()
    var text = [UInt8](repeating: 0, count: Base64Encoder.room(for: count))
    var textCount = encoder.encode(input, count, into: &text)
    text.withUnsafeMutableBufferPointer { to in
        if let base = to.baseAddress { textCount += encoder.flush(into: base + textCount) }
    }
    var decoder = Base64Decoder()
    var back = [UInt8](repeating: 0, count: Base64Decoder.room(for: textCount))
    let backCount = decoder.decode(text, textCount, into: &back)
    require(backCount == count && decoder.isAtBoundary, "base64 came back in another length")
    for i in 0..<count { require(back[i] == input[i], "base64 came back changed") }

    withExact(input, count) { bytes in
        let value = UnsafeBufferPointer(start: bytes, count: count)
        _ = GRPCHealth.readResponse(value)
        if let service = GRPCHealth.readRequest(value) {
            require(Int(service.end) <= count, "service outside")
        }
        if let type = GRPCContentType(value) { require(Int(type.format.end) <= count, "format outside") }
        _ = GRPCContentType.responseKind(request: .web, accept: value)
        if let timeout = GRPCTimeout(value) {
            let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 32)
            defer { room.deallocate() }
            var writer = ByteWriter(room, capacity: 32)
            timeout.write(&writer)
            let again = GRPCTimeout(UnsafeBufferPointer(start: room, count: writer.count))
            require((again?.nanoseconds ?? .max) <= timeout.nanoseconds, "a longer deadline was passed on")
        }
    }
    return 0
}
