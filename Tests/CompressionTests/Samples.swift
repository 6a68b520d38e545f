// Bodies to code, the libraries' own one-shot decoders to check them with, and a generator with a seed.

import WeirBalancing
import CBrotli
import CZlib
import CZstd
import WeirCompression
import WeirHTTPModel

extension SeededRandom {
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

enum Sample: CaseIterable, Sendable {
    case empty, oneByte, text, zeros, noise, mixed

    func bytes(_ count: Int = 200_000) -> [UInt8] {
        var random = SeededRandom(seed: 42)
        switch self {
        case .empty: return []
        case .oneByte: return [65]
        case .text: return Self.text(count, &random)
        case .zeros: return [UInt8](repeating: 0, count: count)
        case .noise: return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        case .mixed:
            var bytes: [UInt8] = []
            while bytes.count < count {
                if random.below(3) == 0 {
                    for _ in 0..<random.below(2000) { bytes.append(UInt8(truncatingIfNeeded: random.next())) }
                } else {
                    bytes += Self.text(random.below(5000), &random)
                }
            }
            return bytes
        }
    }

    private static func text(_ count: Int, _ random: inout SeededRandom) -> [UInt8] {
        let words = [
            "listener", "route", "service", "endpoint", "policy", "\"id\":", "true", "\n", ", ", "<p>",
        ]
        var bytes: [UInt8] = []
        while bytes.count < count {
            bytes += words[random.below(words.count)].utf8
            bytes += "\(random.below(100_000)) ".utf8
        }
        return Array(bytes.prefix(count))
    }
}

/// One-shot decoding by the library itself; nil when it refuses.
func decodedByLibrary(_ coded: [UInt8], _ coding: ContentCoding, room: Int) -> [UInt8]? {
    var output = [UInt8](repeating: 0, count: room + 1)
    switch coding {
    case .gzip:
        var stream = z_stream()
        guard inflateInit2_(&stream, 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            return nil
        }
        defer { inflateEnd(&stream) }
        var input = coded
        let count = output.count
        let result = input.withUnsafeMutableBufferPointer { from in
            output.withUnsafeMutableBufferPointer { to in
                stream.next_in = from.baseAddress
                stream.avail_in = UInt32(from.count)
                stream.next_out = to.baseAddress
                stream.avail_out = UInt32(count)
                return inflate(&stream, Z_FINISH)
            }
        }
        guard result == Z_STREAM_END, stream.avail_in == 0 else { return nil }
        return Array(output.prefix(count - Int(stream.avail_out)))
    case .br:
        var count = output.count
        guard
            BrotliDecoderDecompress(coded.count, coded, &count, &output) == BROTLI_DECODER_RESULT_SUCCESS
        else { return nil }
        return Array(output.prefix(count))
    case .zstd:
        let count = ZSTD_decompress(&output, output.count, coded, coded.count)
        return ZSTD_isError(count) == 0 ? Array(output.prefix(count)) : nil
    }
}

/// Codes a body in blocks of random size into output of random size.
func coded(
    _ body: [UInt8], _ encoder: Encoder, seed: UInt64, blockMax: Int = 70_000, roomMax: Int = 20_000,
    flushEvery: Int = 0
) -> [UInt8]? {
    var random = SeededRandom(seed: seed)
    var output: [UInt8] = []
    var start = 0
    var blocks = 0
    while true {
        let size = min(body.count - start, 1 + random.below(blockMax))
        blocks += 1
        let isLast = start + size == body.count
        let mode: FlushMode = isLast ? .finish : flushEvery > 0 && blocks % flushEvery == 0 ? .flush : .none
        var taken = 0
        while true {
            let room = 16 + random.below(roomMax)
            var step = EncodeStep()
            let made = [UInt8](unsafeUninitializedCapacity: room) { to, count in
                body.withUnsafeBufferPointer { from in
                    guard let target = to.baseAddress else { return }
                    step = encoder.write(
                        from.baseAddress.map { $0 + start + taken }, size - taken, into: target,
                        capacity: room, mode: mode)
                }
                count = step.produced
            }
            if step.hasFailed { return nil }
            output += made
            taken += step.consumed
            if !step.hasMore { break }
        }
        guard taken == size else { return nil }
        start += size
        if isLast { return output }
    }
}

/// Decodes with `Decoder` in blocks of random size; what came out and how it ended.
func decoded(
    _ body: [UInt8], _ coding: DecodedCoding, limits: DecoderLimits, seed: UInt64, blockMax: Int = 9_000,
    roomMax: Int = 30_000
) -> (bytes: [UInt8], error: DecodeError?) {
    guard let decoder = Decoder.make(coding, limits: limits) else { return ([], .noMemory) }
    defer { decoder.destroy() }
    var random = SeededRandom(seed: seed)
    var output: [UInt8] = []
    var start = 0
    while start < body.count {
        let size = min(body.count - start, 1 + random.below(blockMax))
        var taken = 0
        while true {
            let room = 1 + random.below(roomMax)
            var step = DecodeStep()
            let made = [UInt8](unsafeUninitializedCapacity: room) { to, count in
                body.withUnsafeBufferPointer { from in
                    guard let target = to.baseAddress, let source = from.baseAddress else { return }
                    step = decoder.read(source + start + taken, size - taken, into: target, capacity: room)
                }
                count = step.produced
            }
            output += made
            taken += step.consumed
            if step.error != nil { return (output, step.error) }
            if !step.hasMore { break }
        }
        if taken < size { return (output, .malformed) }
        start += size
    }
    return (output, decoder.finish())
}
