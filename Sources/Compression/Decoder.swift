// Request bodies out of their coding, with a bound on what may come of them.
//
// A few KiB can decode to GiB (zlib 1:1032, zstd and brotli far beyond), so what comes out is bounded by
// an absolute size and, once there is enough of it to judge, by its ratio to what went in. Codings are
// strict: what follows the end of a stream is refused, `deflate` is zlib's wrapper as RFC 9110 §8.4.1.2
// says and nothing else. zstd windows above 8 MiB are refused (RFC 9659); brotli's format bounds them at
// 16 MiB. Decoding is linear in input and output, and what all decoders of a worker hold is bounded by
// the DecoderMemory they are made with.

import CBrotli
import CZlib
import CZstd
import WeirHTTPModel

/// Why a body cannot be decoded.
public enum DecodeError: UInt8, Error, Sendable, CaseIterable, BitwiseCopyable {
    /// The bytes are not of the coding.
    case malformed = 1
    /// The body ended within the coding.
    case truncated
    /// Bytes behind the end of the coding.
    case trailingBytes
    /// More came out than `DecoderLimits.bytesMax`.
    case tooLarge
    /// More came out for what went in than `DecoderLimits.ratioMax`.
    case ratioExceeded
    /// A zstd frame wants a window above 8 MiB.
    case windowTooLarge
    /// No memory for the library's tables, or DecoderMemory is used up.
    case noMemory

    public var text: StaticString {
        switch self {
        case .malformed: "the body is not in the coding it names"
        case .truncated: "the body ends within its coding"
        case .trailingBytes: "there are bytes behind the end of the coding"
        case .tooLarge: "the decoded body is larger than allowed"
        case .ratioExceeded: "the body expands more than allowed"
        case .windowTooLarge: "the coding wants a window above 8 MiB"
        case .noMemory: "no memory to decode the body"
        }
    }
}

/// Bounds of one decoded body.
public struct DecoderLimits: Equatable, Sendable, BitwiseCopyable {
    /// Most bytes that may come out.
    public var bytesMax: UInt64
    /// Most bytes out per byte in, judged once `ratioFreeBytes` have come out.
    public var ratioMax: UInt64 = 100
    public var ratioFreeBytes: UInt64 = 1 << 20

    public init(bytesMax: UInt64) { self.bytesMax = bytesMax }
}

/// What a call of `Decoder.read` did.
public struct DecodeStep: Equatable, Sendable, BitwiseCopyable {
    /// Bytes taken of the input.
    public var consumed = 0
    /// Decoded bytes written to the output; valid also beside an error.
    public var produced = 0
    /// The output was too small: call again with the rest of the input and more room.
    public var hasMore = false
    /// Nothing more can be decoded. The same is answered from now on.
    public var error: DecodeError?

    public init() {}
}

/// One body being decoded: a plain handle, used by one thread, destroyed exactly once.
public struct Decoder: BitwiseCopyable {
    private struct State {
        var coding: DecodedCoding
        var limits: DecoderLimits
        var zlib = z_stream()
        /// BrotliDecoderState or ZSTD_DCtx.
        var library: OpaquePointer?
        var bytesIn: UInt64 = 0
        var bytesOut: UInt64 = 0
        /// What came last is the end of a stream: the body may end here.
        var isAtEnd = false
        var error: DecodeError?
        /// What the decoders of this thread share; nil: memory is the system's, without a bound.
        var memory: UnsafeMutablePointer<BlockCache>?
        /// zstd's memory is its own; so much of it was counted.
        var countedBytes = 0
        var frame = ZstdFrame()
    }

    /// The frame of zstd that is being read. What its header says of its length is compared here: the library
    /// does so only where it has the whole frame before it, or a block of it with something in it.
    private struct ZstdFrame {
        /// Magic number, descriptor, window, dictionary and content size: no header is longer (RFC 8878 §3.1.1).
        private var header = InlineArray<18, UInt8>(repeating: 0)
        private var headerCount = 0
        private var produced: UInt64 = 0

        /// Whether a frame may go on with these bytes: it is one of RFC 8878, or a skippable one. The library knows formats
        /// of its past as well, by their first bytes if it is given them at once, and does not bound what those take.
        func isKnown(goingOn input: UnsafePointer<UInt8>?, _ count: Int) -> Bool {
            if headerCount >= 4 || headerCount + count < 4 { return true }
            var magic: UInt32 = 0
            for index in 0..<4 {
                let byte = index < headerCount ? header[index] : input![index - headerCount]
                magic |= UInt32(byte) << (8 * UInt32(index))
            }
            return magic == 0xfd2f_b528 || magic & 0xffff_fff0 == 0x184d_2a50
        }

        mutating func add(_ input: UnsafePointer<UInt8>?, _ count: Int, produced more: Int) {
            for index in 0..<min(count, header.count - headerCount) {
                header[headerCount] = input![index]
                headerCount += 1
            }
            produced += UInt64(more)
        }

        /// At its end: it holds as many bytes as it says, or does not say how many.
        var isAsLongAsItSays: Bool {
            let said = header.span.withUnsafeBufferPointer {
                ZSTD_getFrameContentSize($0.baseAddress, headerCount)
            }
            // The library's ZSTD_CONTENTSIZE_UNKNOWN and ZSTD_CONTENTSIZE_ERROR, the two largest values.
            return said >= UInt64.max - 1 || said == produced
        }
    }

    private let state: UnsafeMutablePointer<State>

    /// RFC 9659: the window every recipient of zstd has to support, and no more.
    static let zstdWindowLogMax: Int32 = 23

    /// Nil when there is no memory, or none left of `memory`, which has to live longer than the decoder.
    public static func make(
        _ coding: DecodedCoding, limits: DecoderLimits, memory: DecoderMemory? = nil
    ) -> Decoder? {
        let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
        state.initialize(to: State(coding: coding, limits: limits))
        let blocks = memory?.blocks
        state.pointee.memory = blocks
        let decoder = Decoder(state: state)
        let isMade: Bool
        switch coding {
        case .gzip, .deflate:
            if let blocks {
                state.pointee.zlib.opaque = UnsafeMutableRawPointer(blocks)
                state.pointee.zlib.zalloc = { BlockCache.allocate($0, Int($1) * Int($2)) }
                state.pointee.zlib.zfree = { BlockCache.free($0, $1) }
            }
            // 15 is the largest window; 16 asks for gzip's wrapper instead of zlib's.
            isMade =
                inflateInit2_(
                    &state.pointee.zlib, coding == .gzip ? 31 : 15, ZLIB_VERSION,
                    Int32(MemoryLayout<z_stream>.size)) == Z_OK
        case .br:
            state.pointee.library =
                blocks.map {
                    BrotliDecoderCreateInstance(
                        { BlockCache.allocate($0, $1) }, { BlockCache.free($0, $1) }, $0)
                } ?? BrotliDecoderCreateInstance(nil, nil, nil)
            isMade = state.pointee.library != nil
        case .zstd:
            let library = ZSTD_createDCtx()
            state.pointee.library = library
            isMade =
                library != nil
                && ZSTD_isError(
                    ZSTD_DCtx_setParameter(library, ZSTD_d_windowLogMax, zstdWindowLogMax)) == 0
                && decoder.countMemory()
        }
        if isMade { return decoder }
        decoder.destroy()
        return nil
    }

    /// Gives the memory back. The handle is not used afterwards.
    public func destroy() {
        switch state.pointee.coding {
        case .gzip, .deflate: _ = inflateEnd(&state.pointee.zlib)
        case .br: if let library = state.pointee.library { BrotliDecoderDestroyInstance(library) }
        case .zstd:
            if let library = state.pointee.library { _ = ZSTD_freeDCtx(library) }
            state.pointee.memory?.pointee.count(-state.pointee.countedBytes)
        }
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Counts what zstd holds now. False: that is more than there is.
    private func countMemory() -> Bool {
        guard let memory = state.pointee.memory else { return true }
        let bytes = ZSTD_sizeof_DCtx(state.pointee.library)
        memory.pointee.count(bytes - state.pointee.countedBytes)
        state.pointee.countedBytes = bytes
        return memory.pointee.lentBytes <= memory.pointee.bound(for: bytes)
    }

    /// The coding it was made for.
    public var coding: DecodedCoding { state.pointee.coding }
    /// Coded bytes taken so far.
    public var bytesIn: UInt64 { state.pointee.bytesIn }
    /// Decoded bytes so far.
    public var bytesOut: UInt64 { state.pointee.bytesOut }

    /// The body has ended: nil when its coding has as well.
    public func finish() -> DecodeError? {
        if let error = state.pointee.error { return error }
        return state.pointee.isAtEnd ? nil : .truncated
    }

    /// Takes coded input and writes decoded output; call until `hasMore` is false.
    ///
    /// - Parameters:
    ///   - count: bytes at `input`, at most 1 GiB.
    ///   - capacity: bytes of room at `output`, at least 1.
    public func read(
        _ input: UnsafePointer<UInt8>?, _ count: Int, into output: UnsafeMutablePointer<UInt8>,
        capacity: Int
    ) -> DecodeStep {
        precondition(count >= 0 && count <= 1 << 30 && capacity >= 1)
        var step = DecodeStep()
        step.error = state.pointee.error
        if step.error != nil { return step }
        let left = state.pointee.limits.bytesMax &- state.pointee.bytesOut
        if left == 0 {
            // One byte more is one too many, but a stream may still have its end to say.
            var probe: UInt8 = 0
            step = decode(input, count, &probe, 1)
            if step.produced > 0, step.error == nil { step.error = .tooLarge }
            step.produced = 0
        } else {
            step = decode(input, count, output, min(capacity, Int(clamping: left), 1 << 30))
        }
        state.pointee.bytesIn += UInt64(step.consumed)
        state.pointee.bytesOut += UInt64(step.produced)
        if step.error == nil, state.pointee.bytesOut > state.pointee.limits.ratioFreeBytes,
            state.pointee.bytesOut / max(1, state.pointee.limits.ratioMax) > state.pointee.bytesIn
        {
            step.error = .ratioExceeded
        }
        if step.error != nil {
            step.hasMore = false
            state.pointee.error = step.error
        }
        return step
    }

    private func decode(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> DecodeStep {
        switch state.pointee.coding {
        case .gzip, .deflate: inflateBlock(input, count, output, capacity)
        case .br: brotliBlock(input, count, output, capacity)
        case .zstd: zstdBlock(input, count, output, capacity)
        }
    }

    private func inflateBlock(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> DecodeStep {
        var step = DecodeStep()
        state.pointee.zlib.next_in = UnsafeMutablePointer(mutating: input)
        state.pointee.zlib.avail_in = UInt32(count)
        state.pointee.zlib.next_out = output
        state.pointee.zlib.avail_out = UInt32(capacity)
        loop: while true {
            if state.pointee.isAtEnd {
                if state.pointee.zlib.avail_in == 0 { break }
                // A gzip body is a row of members (RFC 1952 §2.2); zlib's format is one stream.
                guard state.pointee.coding == .gzip, inflateReset(&state.pointee.zlib) == Z_OK else {
                    step.error = .trailingBytes
                    break
                }
                state.pointee.isAtEnd = false
            }
            switch inflate(&state.pointee.zlib, Z_NO_FLUSH) {
            case Z_STREAM_END:
                state.pointee.isAtEnd = true
            case Z_OK, Z_BUF_ERROR:
                if state.pointee.zlib.avail_in == 0 || state.pointee.zlib.avail_out == 0 { break loop }
            case Z_MEM_ERROR:
                step.error = .noMemory
                break loop
            default:
                step.error = .malformed
                break loop
            }
        }
        step.consumed = count - Int(state.pointee.zlib.avail_in)
        step.produced = capacity - Int(state.pointee.zlib.avail_out)
        step.hasMore =
            step.error == nil && !state.pointee.isAtEnd && state.pointee.zlib.avail_out == 0
        state.pointee.zlib.next_in = nil
        state.pointee.zlib.next_out = nil
        return step
    }

    private func brotliBlock(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> DecodeStep {
        var step = DecodeStep()
        if state.pointee.isAtEnd {
            if count > 0 { step.error = .trailingBytes }
            return step
        }
        var inLeft = count
        var outLeft = capacity
        var nextIn = input
        var nextOut: UnsafeMutablePointer<UInt8>? = output
        let result = BrotliDecoderDecompressStream(
            state.pointee.library, &inLeft, &nextIn, &outLeft, &nextOut, nil)
        step.consumed = count - inLeft
        step.produced = capacity - outLeft
        switch result {
        case BROTLI_DECODER_RESULT_SUCCESS:
            state.pointee.isAtEnd = true
            if inLeft > 0 { step.error = .trailingBytes }
        case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
            break
        case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
            step.hasMore = true
        default:
            // Of the library's codes, −21 to −31 are for memory it did not get.
            let code = BrotliDecoderGetErrorCode(state.pointee.library).rawValue
            step.error = (-31 ... -21).contains(code) ? .noMemory : .malformed
        }
        return step
    }

    private func zstdBlock(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> DecodeStep {
        var step = DecodeStep()
        var from = ZSTD_inBuffer(src: input, size: count, pos: 0)
        var to = ZSTD_outBuffer(dst: output, size: capacity, pos: 0)
        // A body is a row of frames (RFC 8878 §3); asked without input behind one, the library would
        // begin another.
        while from.pos < count || !state.pointee.isAtEnd {
            let before = (from.pos, to.pos)
            guard state.pointee.frame.isKnown(goingOn: input.map { $0 + from.pos }, count - from.pos) else {
                step.error = .malformed
                break
            }
            let left = ZSTD_decompressStream(state.pointee.library, &to, &from)
            if ZSTD_isError(left) != 0 {
                switch ZSTD_getErrorCode(left) {
                case ZSTD_error_frameParameter_windowTooLarge: step.error = .windowTooLarge
                case ZSTD_error_memory_allocation: step.error = .noMemory
                default: step.error = .malformed
                }
                break
            }
            state.pointee.frame.add(
                input.map { $0 + before.0 }, from.pos - before.0, produced: to.pos - before.1)
            state.pointee.isAtEnd = left == 0
            if left == 0 {
                guard state.pointee.frame.isAsLongAsItSays else {
                    step.error = .malformed
                    break
                }
                state.pointee.frame = ZstdFrame()
            }
            if to.pos == capacity || (from.pos, to.pos) == before { break }
            if from.pos == count && !state.pointee.isAtEnd { break }
        }
        if step.error == nil, !countMemory() { step.error = .noMemory }
        step.consumed = from.pos
        step.produced = to.pos
        step.hasMore =
            step.error == nil && to.pos == capacity && (from.pos < count || !state.pointee.isAtEnd)
        return step
    }
}
