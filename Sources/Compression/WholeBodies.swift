// Whole bodies, coded and decoded without pointers. What streams uses `Encoder` and `Decoder`.

import WeirHTTPModel

extension EncoderPool {
    /// A whole body in a coding; nil when the bound is reached or there is no memory.
    public func encode(_ body: borrowing Span<UInt8>, _ coding: ContentCoding, level: Int) -> [UInt8]? {
        body.withUnsafeBufferPointer { encode($0, coding, level: level) }
    }

    public func encode(_ body: [UInt8], _ coding: ContentCoding, level: Int) -> [UInt8]? {
        encode(body.span, coding, level: level)
    }
}

extension Decoder {
    /// A whole body without its coding; nil: there is no memory.
    public static func decode(
        _ body: borrowing Span<UInt8>, _ coding: DecodedCoding, limits: DecoderLimits
    ) throws(DecodeError) -> [UInt8]? {
        guard let decoder = make(coding, limits: limits) else { return nil }
        defer { decoder.destroy() }
        let result = body.withUnsafeBufferPointer { body -> Result<[UInt8], DecodeError> in
            var decoded: [UInt8] = []
            var taken = 0
            while true {
                var step = DecodeStep()
                decoded += [UInt8](unsafeUninitializedCapacity: 65_536) { room, count in
                    guard let base = room.baseAddress else { return }
                    step = decoder.read(
                        body.baseAddress.map { $0 + taken }, min(body.count - taken, 1 << 30), into: base,
                        capacity: room.count)
                    count = step.produced
                }
                if let error = step.error { return .failure(error) }
                taken += step.consumed
                if !step.hasMore, taken == body.count || step.consumed == 0 { break }
            }
            return decoder.finish().map { .failure($0) } ?? .success(decoded)
        }
        return try result.get()
    }

    public static func decode(
        _ body: [UInt8], _ coding: DecodedCoding, limits: DecoderLimits
    ) throws(DecodeError) -> [UInt8]? {
        try decode(body.span, coding, limits: limits)
    }
}
