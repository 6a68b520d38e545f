// Encoders of one worker: made when needed, kept for the next response, bounded in memory.
//
// A gzip encoder is 264 KiB, and making one means to clear most of it: resetting it is cheaper by far, and
// steady traffic does not call malloc. Brotli cannot be reset; its blocks come from a cache instead.
// Windows are bounded, and with them the memory of both ends: what a client needs to decode grows with
// the window as well. When the bound is reached, `take` answers nil and the response goes out as it is:
// an overloaded worker stops compressing before it stops answering.

import CBrotli
import CZlib
import CZstd
import WeirHTTPModel

/// Makes, lends and takes back encoders. For one thread.
public final class EncoderPool {
    /// Memory all encoders lent at once may take, in bytes.
    public static let lentBytesMaxStandard = 128 << 20
    /// Encoders of each coding kept idle.
    public static let idleMaxStandard = 8

    /// Room for what an encoder writes, before it is sent; valid within one call.
    public let scratch: UnsafeMutablePointer<UInt8>
    public static let scratchBytes = 64 << 10

    public let lentBytesMax: Int
    public let idleMax: Int
    /// Memory of the encoders lent, by the figures of `bytes(of:level:)`.
    public private(set) var lentBytes = 0
    /// Times `take` answered nil.
    public private(set) var refused: UInt64 = 0

    private typealias StatePointer = UnsafeMutablePointer<Encoder.State>
    private var idleGzip: StatePointer?
    private var idleZstd: StatePointer?
    private var idleGzipCount = 0
    private var idleZstdCount = 0
    private let blocks: UnsafeMutablePointer<BlockCache>

    static let gzipWindowLog: Int32 = 15
    static let gzipMemoryLevel: Int32 = 8
    static let brWindowLog: UInt32 = 18
    static let zstdWindowLog: Int32 = 18

    public init(
        lentBytesMax: Int = EncoderPool.lentBytesMaxStandard, idleMax: Int = EncoderPool.idleMaxStandard
    ) {
        self.lentBytesMax = lentBytesMax
        self.idleMax = idleMax
        scratch = .allocate(capacity: Self.scratchBytes)
        blocks = .allocate(capacity: 1)
        blocks.initialize(to: BlockCache())
    }

    /// Memory brotli's encoders hold now.
    var brotliBytes: Int { blocks.pointee.lentBytes }
    /// The most they ever held.
    var brotliBytesPeak: Int { blocks.pointee.lentBytesPeak }

    deinit {
        scratch.deallocate()
        while let state = Self.pop(&idleGzip) { Self.destroy(state) }
        while let state = Self.pop(&idleZstd) { Self.destroy(state) }
        blocks.pointee.empty()
        blocks.deinitialize(count: 1)
        blocks.deallocate()
    }

    /// The most memory an encoder takes, in bytes: windows, tables and buffers, whatever the body.
    public static func bytes(of coding: ContentCoding, level: Int) -> Int {
        let kibibytes =
            switch coding {
            case .gzip: 272
            case .br:
                switch level {
                case ...1: 640
                case ...3: 1_472
                case 4: 3_584
                case 5: 4_352
                default: 5_376
                }
            case .zstd:
                switch level {
                case ...3: 1_824
                case ...6: 4_160
                case ...8: 7_232
                default: 13_376
                }
            }
        return kibibytes << 10
    }

    /// An encoder at the start of a stream; nil when the bound is reached or there is no memory.
    ///
    /// - Parameters:
    ///   - level: within `coding.levels`.
    ///   - size: bytes that will be written in all, when that is known. It must be exact: zstd states it in
    ///     the frame and fails at the end when it was not.
    public func take(_ coding: ContentCoding, level: Int, size: UInt64? = nil) -> Encoder? {
        precondition(coding.levels.contains(level))
        let bytes = Self.bytes(of: coding, level: level)
        guard lentBytes + bytes <= lentBytesMax else {
            refused += 1
            return nil
        }
        let state: StatePointer?
        switch coding {
        case .gzip: state = takeGzip(level)
        case .br: state = makeBrotli(level, size)
        case .zstd: state = takeZstd(level, size)
        }
        guard let state else {
            refused += 1
            return nil
        }
        state.pointee.hasUnflushed = false
        state.pointee.bytesIn = 0
        state.pointee.bytesOut = 0
        lentBytes += bytes
        return Encoder(state: state)
    }

    /// Takes an encoder back, at whatever point its stream is. It is not used afterwards.
    public func give(_ encoder: Encoder) {
        let state = encoder.state
        lentBytes -= Self.bytes(of: state.pointee.coding, level: state.pointee.level)
        switch state.pointee.coding {
        case .gzip where idleGzipCount < idleMax:
            state.pointee.next = idleGzip
            idleGzip = state
            idleGzipCount += 1
        case .zstd where idleZstdCount < idleMax:
            state.pointee.next = idleZstd
            idleZstd = state
            idleZstdCount += 1
        default:
            Self.destroy(state)
        }
    }

    /// A whole body in a coding; nil when the bound is reached or there is no memory. For what is coded once
    /// and sent often.
    public func encode(_ body: UnsafeBufferPointer<UInt8>, _ coding: ContentCoding, level: Int) -> [UInt8]? {
        guard let encoder = take(coding, level: level, size: UInt64(body.count)) else { return nil }
        defer { give(encoder) }
        var coded: [UInt8] = []
        var taken = 0
        while true {
            let step = encoder.write(
                body.baseAddress.map { $0 + taken }, min(body.count - taken, 1 << 30), into: scratch,
                capacity: Self.scratchBytes, mode: .finish)
            if step.hasFailed { return nil }
            taken += step.consumed
            coded.append(contentsOf: UnsafeBufferPointer(start: scratch, count: step.produced))
            if !step.hasMore { return coded }
        }
    }

    // MARK: - Making

    private func takeGzip(_ level: Int) -> StatePointer? {
        if let state = Self.pop(&idleGzip) {
            idleGzipCount -= 1
            if deflateReset(&state.pointee.zlib) == Z_OK,
                state.pointee.level == level
                    || deflateParams(&state.pointee.zlib, Int32(level), Z_DEFAULT_STRATEGY) == Z_OK
            {
                state.pointee.level = level
                return state
            }
            Self.destroy(state)
        }
        let state = Self.make(.gzip, level)
        // 16 asks for gzip's wrapper instead of zlib's.
        guard
            deflateInit2_(
                &state.pointee.zlib, Int32(level), Z_DEFLATED, Self.gzipWindowLog + 16, Self.gzipMemoryLevel,
                Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
        else {
            Self.release(state)
            return nil
        }
        return state
    }

    private func takeZstd(_ level: Int, _ size: UInt64?) -> StatePointer? {
        var taken = Self.pop(&idleZstd)
        if taken != nil {
            idleZstdCount -= 1
        } else if let library = ZSTD_createCCtx() {
            let made = Self.make(.zstd, level)
            made.pointee.library = library
            taken = made
        }
        guard let state = taken else { return nil }
        let library = state.pointee.library
        state.pointee.level = level
        var isFine = ZSTD_isError(ZSTD_CCtx_reset(library, ZSTD_reset_session_and_parameters)) == 0
        func set(_ parameter: ZSTD_cParameter, _ value: Int32) {
            if ZSTD_isError(ZSTD_CCtx_setParameter(library, parameter, value)) != 0 { isFine = false }
        }
        set(ZSTD_c_compressionLevel, Int32(level))
        set(ZSTD_c_windowLog, Self.zstdWindowLog)
        if let size, ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(library, size)) != 0 { isFine = false }
        if isFine { return state }
        Self.destroy(state)
        return nil
    }

    private func makeBrotli(_ level: Int, _ size: UInt64?) -> StatePointer? {
        let library = BrotliEncoderCreateInstance(
            { BlockCache.allocate($0, $1) }, { BlockCache.free($0, $1) }, blocks)
        guard let library else { return nil }
        let state = Self.make(.br, level)
        state.pointee.library = library
        BrotliEncoderSetParameter(library, BROTLI_PARAM_QUALITY, UInt32(level))
        BrotliEncoderSetParameter(library, BROTLI_PARAM_LGWIN, Self.brWindowLog)
        // From 1 MiB on, level 4 would take a table four times as large.
        if let size {
            BrotliEncoderSetParameter(library, BROTLI_PARAM_SIZE_HINT, UInt32(min(size, 1 << 20 - 1)))
        }
        return state
    }

    private static func make(_ coding: ContentCoding, _ level: Int) -> StatePointer {
        let state = StatePointer.allocate(capacity: 1)
        state.initialize(to: Encoder.State(coding: coding, level: level))
        return state
    }

    private static func pop(_ list: inout StatePointer?) -> StatePointer? {
        guard let state = list else { return nil }
        list = state.pointee.next
        state.pointee.next = nil
        return state
    }

    private static func destroy(_ state: StatePointer) {
        switch state.pointee.coding {
        case .gzip: _ = deflateEnd(&state.pointee.zlib)
        case .br: BrotliEncoderDestroyInstance(state.pointee.library)
        case .zstd: _ = ZSTD_freeCCtx(state.pointee.library)
        }
        release(state)
    }

    private static func release(_ state: StatePointer) {
        state.deinitialize(count: 1)
        state.deallocate()
    }
}
