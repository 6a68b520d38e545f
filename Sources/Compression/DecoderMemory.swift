// The memory of one worker's decoders, bounded.
//
// How much a decoder takes is the sender's choice: a window of 16 MiB (br) or 8 MiB (zstd) with a head of
// a few bytes. So it is counted as it is asked for, and a decoder that wants more than is left fails
// with `DecodeError.noMemory`, which is Weir's shortage and not the client's fault.

/// Lends memory to decoders. For one thread.
public final class DecoderMemory {
    /// Memory all decoders at once may take, in bytes.
    public static let lentBytesMaxStandard = 128 << 20

    let blocks: UnsafeMutablePointer<BlockCache>

    public init(lentBytesMax: Int = DecoderMemory.lentBytesMaxStandard) {
        blocks = .allocate(capacity: 1)
        blocks.initialize(to: BlockCache(lentBytesMax: lentBytesMax))
    }

    deinit {
        blocks.pointee.empty()
        blocks.deinitialize(count: 1)
        blocks.deallocate()
    }

    /// What decoders hold now, in bytes. zstd's part is counted after the call that took it, so this may
    /// pass the bound by one window.
    public var lentBytes: Int { blocks.pointee.lentBytes }
}
