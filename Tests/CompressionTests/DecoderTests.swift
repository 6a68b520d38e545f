// Decoders: round trips, bombs, truncation, garbage.

import CZlib
import CZstd
import WeirHTTPModel
import Testing

@testable import WeirCompression

@Suite("Decoder")
struct DecoderTests {
    static let limits = DecoderLimits(bytesMax: 64 << 20)

    /// A body in a coding, made by the libraries at once.
    static func code(_ body: [UInt8], _ coding: DecodedCoding) throws -> [UInt8] {
        if coding == .deflate {
            var count = compressBound(UInt(body.count))
            var output = [UInt8](repeating: 0, count: Int(count))
            try #require(compress2(&output, &count, body, UInt(body.count), 6) == Z_OK)
            return Array(output.prefix(Int(count)))
        }
        let content = try #require(ContentCoding(rawValue: coding.rawValue))
        let pool = EncoderPool()
        let encoder = try #require(pool.take(content, level: content.defaultLevel))
        defer { pool.give(encoder) }
        return try #require(coded(body, encoder, seed: 3))
    }

    @Test("round trips", arguments: DecodedCoding.allCases)
    func roundTrip(coding: DecodedCoding) throws {
        for (i, sample) in Sample.allCases.enumerated() {
            let body = sample.bytes()
            var limits = Self.limits
            // Zeros expand beyond any ratio; that has a test of its own.
            limits.ratioMax = 1 << 40
            let result = decoded(try Self.code(body, coding), coding, limits: limits, seed: UInt64(i))
            #expect(result.error == nil, "\(sample)")
            #expect(result.bytes == body, "\(sample)")
        }
    }

    @Test("byte by byte", arguments: DecodedCoding.allCases)
    func byteByByte(coding: DecodedCoding) throws {
        let body = Sample.mixed.bytes(5_000)
        let result = decoded(
            try Self.code(body, coding), coding, limits: Self.limits, seed: 1, blockMax: 1, roomMax: 1)
        #expect(result.error == nil && result.bytes == body)
    }

    @Test("the bound is the last size allowed", arguments: DecodedCoding.allCases)
    func sizeBound(coding: DecodedCoding) throws {
        let body = Sample.text.bytes(100_000)
        let coded = try Self.code(body, coding)
        for seed in 0..<4 {
            let fits = decoded(coded, coding, limits: DecoderLimits(bytesMax: 100_000), seed: UInt64(seed))
            #expect(fits.error == nil && fits.bytes == body)
            let over = decoded(coded, coding, limits: DecoderLimits(bytesMax: 99_999), seed: UInt64(seed))
            #expect(over.error == .tooLarge && over.bytes == Array(body.prefix(99_999)))
        }
        let nothing = decoded(coded, coding, limits: DecoderLimits(bytesMax: 0), seed: 1)
        #expect(nothing.error == .tooLarge && nothing.bytes.isEmpty)
        let empty = decoded(try Self.code([], coding), coding, limits: DecoderLimits(bytesMax: 0), seed: 1)
        #expect(empty.error == nil)
    }

    @Test("a bomb is stopped by its ratio long before its size", arguments: DecodedCoding.allCases)
    func bomb(coding: DecodedCoding) throws {
        let bomb = try Self.code([UInt8](repeating: 0, count: 32 << 20), coding)
        #expect(bomb.count < 64 << 10)
        let result = decoded(bomb, coding, limits: DecoderLimits(bytesMax: 1 << 40), seed: 5, roomMax: 65_536)
        #expect(result.error == .ratioExceeded)
        // The free share, what the bytes in allow, and one buffer.
        #expect(result.bytes.count <= 1 << 20 + 9_000 * 100 + 65_536)
        // A ratio that allows it lets it pass.
        var limits = DecoderLimits(bytesMax: 32 << 20)
        limits.ratioMax = 1 << 30
        #expect(decoded(bomb, coding, limits: limits, seed: 5).error == nil)
    }

    @Test("small bodies may expand as they like")
    func smallRatio() throws {
        let bomb = try Self.code([UInt8](repeating: 32, count: 1 << 20), .zstd)
        #expect(bomb.count < 1 << 10)
        #expect(decoded(bomb, .zstd, limits: Self.limits, seed: 1).error == nil)
    }

    @Test("every prefix is truncated", arguments: DecodedCoding.allCases)
    func truncation(coding: DecodedCoding) throws {
        let body = Sample.text.bytes(2_000)
        let whole = try Self.code(body, coding)
        for count in 0..<whole.count {
            let result = decoded(Array(whole.prefix(count)), coding, limits: Self.limits, seed: UInt64(count))
            #expect(result.error == .truncated, "\(count) of \(whole.count)")
            #expect(body.starts(with: result.bytes))
        }
    }

    @Test("memory is counted while it is held, and given back", arguments: DecodedCoding.allCases)
    func memory(coding: DecodedCoding) throws {
        let body = Sample.mixed.bytes(3 << 20)
        let whole = try Self.code(body, coding)
        let memory = DecoderMemory()
        var room = [UInt8](repeating: 0, count: 64 << 10)
        for _ in 0..<3 {
            let decoder = try #require(Decoder.make(coding, limits: Self.limits, memory: memory))
            var taken = 0
            while true {
                let step = whole.withUnsafeBufferPointer {
                    decoder.read(
                        $0.baseAddress.map { $0 + taken }, whole.count - taken, into: &room,
                        capacity: room.count)
                }
                #expect(step.error == nil)
                taken += step.consumed
                if !step.hasMore { break }
            }
            #expect(decoder.finish() == nil && decoder.bytesOut == UInt64(body.count))
            #expect(decoder.bytesIn == UInt64(whole.count) && decoder.coding == coding)
            // At least a window of what was decoded.
            #expect(memory.lentBytes > 32 << 10)
            decoder.destroy()
            #expect(memory.lentBytes == 0)
        }
    }

    @Test("more memory than there is", arguments: DecodedCoding.allCases)
    func memoryBound(coding: DecodedCoding) throws {
        // Enough to begin with, where that takes any, and not enough for a window.
        let memory = DecoderMemory(lentBytesMax: coding == .zstd ? 300 << 10 : 20 << 10)
        let whole = try Self.code(Sample.mixed.bytes(1 << 20), coding)
        var room = [UInt8](repeating: 0, count: 64 << 10)
        if let decoder = Decoder.make(coding, limits: Self.limits, memory: memory) {
            // zlib takes its window when a call ends within the stream.
            var step = decoder.read(whole, 1000, into: &room, capacity: room.count)
            if step.error == nil { step = decoder.read(whole, 1000, into: &room, capacity: room.count) }
            #expect(step.error == .noMemory && decoder.finish() == .noMemory)
            decoder.destroy()
        }
        #expect(memory.lentBytes == 0)
        #expect(Decoder.make(coding, limits: Self.limits, memory: DecoderMemory(lentBytesMax: 64)) == nil)
    }

    @Test("large windows leave a quarter of the memory to small ones")
    func largeWindowsLeaveSome() throws {
        let memory = DecoderMemory(lentBytesMax: 4 << 20)
        func block(_ size: Int) -> UnsafeMutableRawPointer? { BlockCache.allocate(memory.blocks, size) }
        let large = (0..<4).map { _ in block(1 << 20) }
        #expect(large.compactMap { $0 }.count == 3)
        let small = (0..<16).map { _ in block(64 << 10) }
        #expect(small.allSatisfy { $0 != nil } && block(64 << 10) == nil)
        for each in large + small { BlockCache.free(memory.blocks, each) }
        #expect(memory.lentBytes == 0)
    }

    @Test("garbage is malformed, and stays so", arguments: DecodedCoding.allCases)
    func garbage(coding: DecodedCoding) throws {
        let decoder = try #require(Decoder.make(coding, limits: Self.limits))
        defer { decoder.destroy() }
        let noise = [UInt8](repeating: 0xFF, count: 64)
        var room = [UInt8](repeating: 0, count: 64)
        let first = decoder.read(noise, noise.count, into: &room, capacity: room.count)
        #expect(first.error == .malformed)
        let second = decoder.read(noise, noise.count, into: &room, capacity: room.count)
        #expect(second.error == .malformed && second.consumed == 0)
        #expect(decoder.finish() == .malformed)
    }

    @Test("a flipped bit never passes for the body", arguments: [DecodedCoding.gzip, .deflate])
    func flippedBit(coding: DecodedCoding) throws {
        // Both carry a checksum; brotli has none, and zstd only when asked for.
        let body = Sample.text.bytes(2_000)
        let whole = try Self.code(body, coding)
        for at in 10..<whole.count {
            var broken = whole
            broken[at] ^= 0x10
            let result = decoded(broken, coding, limits: Self.limits, seed: 1)
            #expect(result.error != nil, "byte \(at)")
        }
    }

    @Test("bytes behind the end", arguments: DecodedCoding.allCases)
    func trailing(coding: DecodedCoding) throws {
        let whole = try Self.code(Sample.text.bytes(500), coding) + [0x00]
        let result = decoded(whole, coding, limits: Self.limits, seed: 9)
        switch coding {
        case .br, .deflate: #expect(result.error == .trailingBytes)
        // These may go on with another member or frame, and what follows is not one, or not all of one.
        case .gzip, .zstd: #expect(result.error == .malformed || result.error == .truncated)
        }
    }

    @Test("a row of gzip members or zstd frames is one body", arguments: [DecodedCoding.gzip, .zstd])
    func members(coding: DecodedCoding) throws {
        let part = Sample.text.bytes(700)
        let row = try Self.code(part, coding) + Self.code([], coding) + Self.code(part, coding)
        for seed in 0..<10 {
            let result = decoded(row, coding, limits: Self.limits, seed: UInt64(seed), blockMax: 50)
            #expect(result.error == nil && result.bytes == part + part)
        }
    }

    @Test("a raw deflate stream is not deflate (RFC 9110 §8.4.1.2)")
    func rawDeflate() throws {
        let wrapped = try Self.code(Sample.text.bytes(500), .deflate)
        let raw = Array(wrapped.dropFirst(2).dropLast(4))
        #expect(decoded(raw, .deflate, limits: Self.limits, seed: 1).error == .malformed)
    }

    @Test("a zstd window above 8 MiB is refused (RFC 9659)")
    func window() throws {
        let body = [UInt8](repeating: 7, count: 20 << 20)
        for (log, error) in [(23, nil), (24, DecodeError.windowTooLarge)] as [(Int32, DecodeError?)] {
            let context = try #require(ZSTD_createCCtx())
            defer { ZSTD_freeCCtx(context) }
            ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, log)
            var coded = [UInt8](repeating: 0, count: 1 << 20)
            let count = ZSTD_compress2(context, &coded, coded.count, body, body.count)
            try #require(ZSTD_isError(count) == 0)
            var limits = Self.limits
            limits.ratioMax = 1 << 40
            #expect(decoded(Array(coded.prefix(count)), .zstd, limits: limits, seed: 1).error == error)
        }
    }

    @Test("a zstd frame that is not as long as it says is refused, however it comes (RFC 8878 §3.1.1.1.4)")
    func zstdContentSize() {
        /// A frame that says it holds so many bytes, and one raw block, the last, with these in it.
        func frame(saying size: UInt8, _ content: [UInt8]) -> [UInt8] {
            [0x28, 0xb5, 0x2f, 0xfd, 0x20, size, UInt8(content.count << 3 | 1), 0, 0] + content
        }
        for whole in [frame(saying: 0, []), frame(saying: 3, [1, 2, 3]) + frame(saying: 0, [])] {
            for seed in 1...20 as ClosedRange<UInt64> {
                #expect(decoded(whole, .zstd, limits: Self.limits, seed: seed, blockMax: 4).error == nil)
            }
        }
        let wrong = [
            frame(saying: 4, []), frame(saying: 3, [1]), frame(saying: 1, [1, 2, 3]),
            frame(saying: 3, [1, 2, 3]) + frame(saying: 4, []),
        ]
        for body in wrong {
            for seed in 1...20 as ClosedRange<UInt64> {
                #expect(
                    decoded(body, .zstd, limits: Self.limits, seed: seed, blockMax: 4).error == .malformed)
            }
        }
    }

    @Test("frames of zstd before its standard are none")
    func zstdOfThePast() {
        // Version 0.7: a frame of three bytes, a raw block with them, the end.
        let past: [UInt8] = [0x27, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x40, 0, 3, 97, 98, 99, 0xc0, 0, 0]
        // The second is behind a frame that is one, the third behind one that is skipped.
        let present: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 9, 0, 0, 97]
        let skipped: [UInt8] = [0x5f, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]
        for seed in 1...20 as ClosedRange<UInt64> {
            func error(_ body: [UInt8]) -> DecodeError? {
                decoded(body, .zstd, limits: Self.limits, seed: seed, blockMax: seed == 1 ? 100 : 5).error
            }
            #expect(error(skipped + present) == nil)
            #expect(error(past) == .malformed)
            #expect(error(present + past) == .malformed)
            #expect(error(skipped + past) == .malformed)
        }
    }

    @Test("the coding of a Content-Encoding value")
    func names() {
        func coding(_ text: String) -> DecodedCoding? {
            Array(text.utf8).withUnsafeBufferPointer { DecodedCoding($0) }
        }
        for coding in DecodedCoding.allCases {
            #expect(Array("\(coding.name)".utf8).withUnsafeBufferPointer { DecodedCoding($0) } == coding)
        }
        #expect(coding("X-GZIP") == .gzip)
        for other in ["", "identity", "gzip, br", "gzip,", "compress", "zst"] {
            #expect(coding(other) == nil)
        }
    }
}

@Suite("Whole bodies")
struct WholeBodyTests {
    @Test("what was coded is decoded, within the bound and not beyond", arguments: ContentCoding.allCases)
    func roundTrip(coding: ContentCoding) throws {
        let body = Sample.mixed.bytes(200_000)
        let size = UInt64(body.count)
        let format = try #require(DecodedCoding(rawValue: coding.rawValue))
        let coded = try #require(EncoderPool().encode(body, coding, level: coding.defaultLevel))
        let whole = try Decoder.decode(coded, format, limits: DecoderLimits(bytesMax: size))
        #expect(whole == body)
        #expect(throws: DecodeError.tooLarge) {
            try Decoder.decode(coded, format, limits: DecoderLimits(bytesMax: size - 1))
        }
        #expect(throws: DecodeError.truncated) {
            try Decoder.decode(Array(coded.dropLast()), format, limits: DecoderLimits(bytesMax: size))
        }
        #expect(throws: DecodeError.truncated) {
            try Decoder.decode([], format, limits: DecoderLimits(bytesMax: 10))
        }
    }
}
