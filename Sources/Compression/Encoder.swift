// One response body through one of the three libraries, block by block.
//
// The libraries' differences end here: what a call takes, gives and still owes is said in one form. A
// call allocates nothing; the memory of an encoder is made when EncoderPool makes it (brotli's within
// the first calls, out of the pool's BlockCache) and stays bounded by the windows chosen there.

import CBrotli
import CZlib
import CZstd

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
        var next: UnsafeMutablePointer<State>?
    }

    let state: UnsafeMutablePointer<State>

    /// The coding it was taken for.
    public var coding: ContentCoding { state.pointee.coding }

    /// Whether input was taken that may not be in the output yet: what a flush would bring out.
    public var hasUnflushed: Bool { state.pointee.hasUnflushed }

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
        var step: EncodeStep
        switch state.pointee.coding {
        case .gzip: step = deflateBlock(input, count, output, min(capacity, 1 << 30), mode)
        case .br: step = brotliBlock(input, count, output, capacity, mode)
        case .zstd: step = zstdBlock(input, count, output, capacity, mode)
        }
        if mode == .none {
            if step.consumed > 0 { state.pointee.hasUnflushed = true }
        } else {
            state.pointee.hasUnflushed = step.hasMore
        }
        return step
    }

    private func deflateBlock(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int,
        _ mode: FlushMode
    ) -> EncodeStep {
        var step = EncodeStep()
        let flag =
            switch mode {
            case .none: Z_NO_FLUSH
            case .flush: Z_SYNC_FLUSH
            case .finish: Z_FINISH
            }
        // zlib reads only; its header of 1.2 does not say so.
        state.pointee.zlib.next_in = UnsafeMutablePointer(mutating: input)
        state.pointee.zlib.avail_in = UInt32(count)
        state.pointee.zlib.next_out = output
        state.pointee.zlib.avail_out = UInt32(capacity)
        let result = deflate(&state.pointee.zlib, flag)
        step.consumed = count - Int(state.pointee.zlib.avail_in)
        step.produced = capacity - Int(state.pointee.zlib.avail_out)
        state.pointee.zlib.next_in = nil
        state.pointee.zlib.next_out = nil
        switch result {
        case Z_STREAM_END:
            break
        case Z_OK, Z_BUF_ERROR:
            // Z_BUF_ERROR: there was nothing to do, as after a flush that filled the output exactly.
            step.hasMore =
                mode == .finish || step.consumed < count
                || (state.pointee.zlib.avail_out == 0 && result == Z_OK)
        default:
            step.hasFailed = true
        }
        return step
    }

    private func brotliBlock(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int,
        _ mode: FlushMode
    ) -> EncodeStep {
        var step = EncodeStep()
        let operation =
            switch mode {
            case .none: BROTLI_OPERATION_PROCESS
            case .flush: BROTLI_OPERATION_FLUSH
            case .finish: BROTLI_OPERATION_FINISH
            }
        var inLeft = count
        var outLeft = capacity
        var nextIn = input
        var nextOut: UnsafeMutablePointer<UInt8>? = output
        let library = state.pointee.library
        let isFine = BrotliEncoderCompressStream(
            library, operation, &inLeft, &nextIn, &outLeft, &nextOut, nil)
        step.consumed = count - inLeft
        step.produced = capacity - outLeft
        step.hasFailed = isFine == 0
        step.hasMore =
            inLeft > 0 || BrotliEncoderHasMoreOutput(library) != 0
            || (mode == .finish && BrotliEncoderIsFinished(library) == 0)
        return step
    }

    private func zstdBlock(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int,
        _ mode: FlushMode
    ) -> EncodeStep {
        var step = EncodeStep()
        let directive =
            switch mode {
            case .none: ZSTD_e_continue
            case .flush: ZSTD_e_flush
            case .finish: ZSTD_e_end
            }
        var from = ZSTD_inBuffer(src: input, size: count, pos: 0)
        var to = ZSTD_outBuffer(dst: output, size: capacity, pos: 0)
        let left = ZSTD_compressStream2(state.pointee.library, &to, &from, directive)
        step.consumed = from.pos
        step.produced = to.pos
        step.hasFailed = ZSTD_isError(left) != 0
        // When streaming on, what is left is the library's own buffer: no reason to call again.
        step.hasMore = from.pos < count || (mode != .none && left > 0)
        return step
    }
}
