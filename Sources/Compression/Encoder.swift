// One response body through one of the three libraries, block by block.
//
// The libraries' differences end here: what a call takes, gives and still owes is said in one form. A
// call allocates nothing; the memory of an encoder is made when EncoderPool makes it (brotli's within
// the first calls, out of the pool's BlockCache) and stays bounded by the windows chosen there.

import CBrotli
import CZlib
import CZstd
import WeirHTTPModel

/// What a call of `Encoder.write` is to leave behind.
public enum FlushMode: UInt8, Sendable, BitwiseCopyable {
    /// Whatever gives the best ratio: output may come later.
    case none
    /// Everything given so far can be decoded from what was written.
    case flush
    /// As `flush`, and the stream ends.
    case finish
}

/// What a call of `Encoder.write` did.
public struct EncodeStep: Equatable, Sendable, BitwiseCopyable {
    /// Bytes taken of the input.
    public var consumed = 0
    /// Bytes written to the output.
    public var produced = 0
    /// The output was too small: call again with the same mode, the rest of the input and more room.
    public var hasMore = false
    /// The library gave up (no memory). The body cannot be completed: the message must not look as if it
    /// were.
    public var hasFailed = false

    public init() {}
}

/// An encoder taken from an `EncoderPool`: a plain handle, copied freely, given back exactly once, used by
/// one thread.
public struct Encoder: BitwiseCopyable {
    struct State {
        var coding: ContentCoding
        var level = 0
        var zlib = z_stream()
        /// BrotliEncoderState or ZSTD_CCtx.
        var library: OpaquePointer?
        /// Something was taken since the last flush.
        var hasUnflushed = false
        var bytesIn: UInt64 = 0
        var bytesOut: UInt64 = 0
        var next: UnsafeMutablePointer<State>?
    }

    let state: UnsafeMutablePointer<State>

    /// The coding it was taken for.
    public var coding: ContentCoding { state.pointee.coding }

    /// Whether input was taken that may not be in the output yet: what a flush would bring out.
    public var hasUnflushed: Bool { state.pointee.hasUnflushed }

    /// Bytes taken and bytes written since it was taken from its pool.
    public var bytesIn: UInt64 { state.pointee.bytesIn }
    public var bytesOut: UInt64 { state.pointee.bytesOut }

    /// Takes input and writes coded output; call until `hasMore` is false.
    ///
    /// - Parameters:
    ///   - count: bytes at `input`, at most 1 GiB; 0 with `flush` or `finish` is usual.
    ///   - capacity: bytes of room at `output`, at least 16.
    public func write(
        _ input: UnsafePointer<UInt8>?, _ count: Int, into output: UnsafeMutablePointer<UInt8>,
        capacity: Int, mode: FlushMode
    ) -> EncodeStep {
        precondition(count >= 0 && count <= 1 << 30 && capacity >= 16)
        let capacity = min(capacity, 1 << 30)
        var window = Window(input: input, inLeft: count, output: output, outLeft: capacity)
        let answer =
            switch state.pointee.coding {
            case .gzip: deflateCall(&window, mode)
            case .br: brotliCall(&window, mode)
            case .zstd: zstdCall(&window, mode)
            }
        var step = EncodeStep()
        step.consumed = count - window.inLeft
        step.produced = capacity - window.outLeft
        step.hasFailed = answer == .failed
        step.hasMore = !step.hasFailed && (answer == .owesOutput || window.inLeft > 0)
        state.pointee.bytesIn += UInt64(step.consumed)
        state.pointee.bytesOut += UInt64(step.produced)
        if mode == .none {
            if step.consumed > 0 { state.pointee.hasUnflushed = true }
        } else {
            state.pointee.hasUnflushed = step.hasMore
        }
        return step
    }

    // MARK: - One call of each library

    /// What is left to read and where to write; a call moves it on.
    private struct Window {
        var input: UnsafePointer<UInt8>?
        var inLeft: Int
        var output: UnsafeMutablePointer<UInt8>
        var outLeft: Int
    }

    private enum Answer {
        case fine
        /// The mode asks for more output than there was room for.
        case owesOutput
        case failed
    }

    private func deflateCall(_ window: inout Window, _ mode: FlushMode) -> Answer {
        let flag =
            switch mode {
            case .none: Z_NO_FLUSH
            case .flush: Z_SYNC_FLUSH
            case .finish: Z_FINISH
            }
        // zlib reads only; its header of 1.2 does not say so.
        state.pointee.zlib.next_in = UnsafeMutablePointer(mutating: window.input)
        state.pointee.zlib.avail_in = UInt32(window.inLeft)
        state.pointee.zlib.next_out = window.output
        state.pointee.zlib.avail_out = UInt32(window.outLeft)
        let result = deflate(&state.pointee.zlib, flag)
        window.inLeft = Int(state.pointee.zlib.avail_in)
        window.outLeft = Int(state.pointee.zlib.avail_out)
        state.pointee.zlib.next_in = nil
        state.pointee.zlib.next_out = nil
        switch result {
        case Z_STREAM_END:
            return .fine
        case Z_OK, Z_BUF_ERROR:
            // Z_BUF_ERROR: there was nothing to do, as after a flush that filled the output exactly.
            return mode == .finish || (window.outLeft == 0 && result == Z_OK) ? .owesOutput : .fine
        default:
            return .failed
        }
    }

    private func brotliCall(_ window: inout Window, _ mode: FlushMode) -> Answer {
        let operation =
            switch mode {
            case .none: BROTLI_OPERATION_PROCESS
            case .flush: BROTLI_OPERATION_FLUSH
            case .finish: BROTLI_OPERATION_FINISH
            }
        let library = state.pointee.library
        var output: UnsafeMutablePointer<UInt8>? = window.output
        let isFine = BrotliEncoderCompressStream(
            library, operation, &window.inLeft, &window.input, &window.outLeft, &output, nil)
        if isFine == 0 { return .failed }
        let isUnfinished = mode == .finish && BrotliEncoderIsFinished(library) == 0
        return isUnfinished || BrotliEncoderHasMoreOutput(library) != 0 ? .owesOutput : .fine
    }

    private func zstdCall(_ window: inout Window, _ mode: FlushMode) -> Answer {
        let directive =
            switch mode {
            case .none: ZSTD_e_continue
            case .flush: ZSTD_e_flush
            case .finish: ZSTD_e_end
            }
        var from = ZSTD_inBuffer(src: window.input, size: window.inLeft, pos: 0)
        var to = ZSTD_outBuffer(dst: window.output, size: window.outLeft, pos: 0)
        let left = ZSTD_compressStream2(state.pointee.library, &to, &from, directive)
        window.inLeft -= from.pos
        window.outLeft -= to.pos
        if ZSTD_isError(left) != 0 { return .failed }
        // When streaming on, what is left is the library's own buffer: no reason to call again.
        return mode != .none && left > 0 ? .owesOutput : .fine
    }
}
