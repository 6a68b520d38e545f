// Encoders against the libraries' own decoders, and the pool that lends them.

import CZstd
import WeirHTTPModel
import Testing

@testable import WeirCompression

@Suite("Encoder")
struct EncoderTests {
    @Test("whatever the blocks, the library decodes what was given", arguments: ContentCoding.allCases)
    func roundTrip(coding: ContentCoding) throws {
        let pool = EncoderPool()
        var seed: UInt64 = 1
        for sample in Sample.allCases {
            let body = sample.bytes()
            for level in coding.levels {
                seed += 1
                // The same encoders again and again, at other levels: none remembers the last body.
                let encoder = try #require(
                    pool.take(coding, level: level, size: seed % 2 == 0 ? UInt64(body.count) : nil))
                let output = try #require(coded(body, encoder, seed: seed, flushEvery: Int(seed % 3)))
                pool.give(encoder)
                #expect(
                    decodedByLibrary(output, coding, room: body.count) == body, "\(sample) level \(level)")
            }
        }
        #expect(pool.lentBytes == 0)
    }

    @Test("tiny blocks and tiny room", arguments: ContentCoding.allCases)
    func tiny(coding: ContentCoding) throws {
        let pool = EncoderPool()
        let body = Sample.mixed.bytes(3_000)
        let encoder = try #require(pool.take(coding, level: coding.defaultLevel))
        let output = try #require(coded(body, encoder, seed: 7, blockMax: 3, roomMax: 1, flushEvery: 5))
        #expect(decodedByLibrary(output, coding, room: body.count) == body)
        pool.give(encoder)
    }

    @Test("after a flush everything given can be decoded", arguments: ContentCoding.allCases)
    func flush(coding: ContentCoding) throws {
        let pool = EncoderPool()
        let encoder = try #require(pool.take(coding, level: coding.defaultLevel))
        let format = try #require(DecodedCoding(rawValue: coding.rawValue))
        let decoder = try #require(Decoder.make(format, limits: DecoderLimits(bytesMax: 1 << 20)))
        defer {
            decoder.destroy()
            pool.give(encoder)
        }
        #expect(!encoder.hasUnflushed)
        for i in 0..<20 {
            let event = Array("data: event \(i)\n\n".utf8)
            var made = [UInt8](repeating: 0, count: 4096)
            let held = encoder.write(event, event.count, into: &made, capacity: made.count, mode: .none)
            #expect(held.consumed == event.count && encoder.hasUnflushed)
            var produced = held.produced
            let capacity = made.count - produced
            let step = made.withUnsafeMutableBufferPointer { to in
                guard let base = to.baseAddress else { return EncodeStep() }
                return encoder.write(nil, 0, into: base + produced, capacity: capacity, mode: .flush)
            }
            produced += step.produced
            #expect(!step.hasMore && !encoder.hasUnflushed)
            var read = [UInt8](repeating: 0, count: 4096)
            let got = decoder.read(made, produced, into: &read, capacity: read.count)
            #expect(got.error == nil && Array(read.prefix(got.produced)) == event, "event \(i)")
            // A second flush has nothing to say, or at least nothing to decode.
            let again = encoder.write(nil, 0, into: &made, capacity: made.count, mode: .flush)
            #expect(!again.hasMore && !again.hasFailed)
            let nothing = decoder.read(made, again.produced, into: &read, capacity: read.count)
            #expect(nothing.error == nil && nothing.produced == 0)
        }
    }

    @Test("a flush that fills the output exactly ends", arguments: ContentCoding.allCases)
    func exactFlush(coding: ContentCoding) throws {
        let pool = EncoderPool()
        let body = Sample.text.bytes(5_000)
        let first = try #require(pool.take(coding, level: coding.defaultLevel))
        var room = [UInt8](repeating: 0, count: 8_192)
        let whole = first.write(body, body.count, into: &room, capacity: room.count, mode: .flush)
        #expect(!whole.hasMore)
        pool.give(first)
        let second = try #require(pool.take(coding, level: coding.defaultLevel))
        var step = second.write(body, body.count, into: &room, capacity: whole.produced, mode: .flush)
        #expect(step.produced == whole.produced && step.consumed == body.count)
        var calls = 0
        while step.hasMore, calls < 3 {
            calls += 1
            step = second.write(nil, 0, into: &room, capacity: room.count, mode: .flush)
        }
        #expect(!step.hasMore && !step.hasFailed)
        pool.give(second)
    }

    @Test("what was not said in advance is not promised", arguments: [UInt64(99), 101])
    func wrongSize(size: UInt64) throws {
        // zstd states the size: a body of another length fails at its end instead of being wrong.
        let pool = EncoderPool()
        let encoder = try #require(pool.take(.zstd, level: 3, size: size))
        let body = [UInt8](repeating: 1, count: 100)
        var room = [UInt8](repeating: 0, count: 1024)
        // In one call the library would see for itself how much it is.
        let first = encoder.write(body, 60, into: &room, capacity: room.count, mode: .none)
        #expect(first.consumed == 60 && !first.hasFailed)
        let last = encoder.write(body, 40, into: &room, capacity: room.count, mode: .finish)
        #expect(last.hasFailed)
        pool.give(encoder)
    }
}

@Suite("EncoderPool")
struct EncoderPoolTests {
    @Test("an encoder takes no more memory than it is counted with", arguments: ContentCoding.allCases)
    func memory(coding: ContentCoding) throws {
        let body = Sample.mixed.bytes(3 << 20)
        for level in coding.levels {
            let pool = EncoderPool()
            let counted = EncoderPool.bytes(of: coding, level: level)
            let encoder = try #require(pool.take(coding, level: level, size: level % 2 == 0 ? 3 << 21 : nil))
            var output = [UInt8](repeating: 0, count: 1 << 20)
            var start = 0
            while start < body.count {
                let step = body.withUnsafeBufferPointer { from in
                    encoder.write(
                        from.baseAddress.map { $0 + start }, min(65_536, body.count - start), into: &output,
                        capacity: output.count, mode: .none)
                }
                #expect(!step.hasFailed)
                start += step.consumed
            }
            switch coding {
            case .gzip:
                // zlib.h: (1 << (windowBits + 2)) + (1 << (memLevel + 9)) and a few KiB.
                #expect(counted >= 1 << 17 + 1 << 17 + 6 << 10)
            case .br:
                #expect(pool.brotliBytesPeak <= counted, "level \(level): \(pool.brotliBytesPeak)")
                #expect(pool.brotliBytesPeak > counted / 5)
            case .zstd:
                let size = ZSTD_sizeof_CCtx(encoder.state.pointee.library)
                #expect(size <= counted, "level \(level): \(size)")
                #expect(size > counted / 4)
            }
            pool.give(encoder)
            #expect(pool.lentBytes == 0)
            if coding == .br { #expect(pool.brotliBytes == 0) }
        }
    }

    @Test("at the bound, and one more", arguments: ContentCoding.allCases)
    func bound(coding: ContentCoding) throws {
        let bytes = EncoderPool.bytes(of: coding, level: coding.defaultLevel)
        let pool = EncoderPool(lentBytesMax: 3 * bytes)
        var lent: [Encoder] = []
        for _ in 0..<3 { lent.append(try #require(pool.take(coding, level: coding.defaultLevel))) }
        #expect(pool.lentBytes == 3 * bytes)
        #expect(pool.take(coding, level: coding.defaultLevel) == nil)
        #expect(pool.refused == 1)
        for encoder in lent { pool.give(encoder) }
        #expect(pool.lentBytes == 0)
        let again = try #require(pool.take(coding, level: coding.defaultLevel))
        pool.give(again)
    }

    @Test("a whole body at once", arguments: ContentCoding.allCases)
    func whole(coding: ContentCoding) throws {
        let pool = EncoderPool(lentBytesMax: EncoderPool.bytes(of: coding, level: coding.defaultLevel))
        let format = try #require(DecodedCoding(rawValue: coding.rawValue))
        for sample in Sample.allCases {
            let body = sample.bytes()
            let made = body.withUnsafeBufferPointer { pool.encode($0, coding, level: coding.defaultLevel) }
            var limits = DecoderLimits(bytesMax: 1 << 20)
            limits.ratioMax = 1 << 40
            let back = decoded(try #require(made), format, limits: limits, seed: 1)
            #expect(back.error == nil && back.bytes == body, "\(sample)")
        }
        #expect(pool.lentBytes == 0)
        #expect(
            EncoderPool(lentBytesMax: 0).encode(UnsafeBufferPointer(start: nil, count: 0), coding, level: 1)
                == nil)
    }

    @Test("bytes are counted from one end of a stream to the other", arguments: ContentCoding.allCases)
    func counts(coding: ContentCoding) throws {
        let pool = EncoderPool()
        for _ in 0..<2 {
            let encoder = try #require(pool.take(coding, level: coding.defaultLevel))
            #expect(encoder.bytesIn == 0 && encoder.bytesOut == 0)
            let made = try #require(coded(Sample.text.bytes(), encoder, seed: 3))
            #expect(encoder.bytesIn == 200_000 && encoder.bytesOut == UInt64(made.count))
            pool.give(encoder)
        }
    }

    @Test("what came back is lent again, up to the idle bound")
    func reuse() throws {
        let pool = EncoderPool(idleMax: 1)
        let first = try #require(pool.take(.gzip, level: 5))
        let second = try #require(pool.take(.gzip, level: 5))
        let state = first.state
        pool.give(first)
        pool.give(second)
        let third = try #require(pool.take(.gzip, level: 9))
        #expect(third.state == state)
        pool.give(third)
    }
}
