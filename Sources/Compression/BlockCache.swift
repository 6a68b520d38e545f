// Memory a coding library gave back, kept for the next encoder or decoder, and counted while it is lent.
//
// An encoder asks for the same few sizes each time, most of them so large that malloc would fetch them
// from the kernel and give them back, page faults included. A block carries its size in front of it,
// because the libraries do not say it when they give the block back.

import Glibc

/// A few idle blocks. For one thread.
struct BlockCache {
    /// Most memory kept idle, in bytes.
    static let idleBytesMax = 4 << 20
    private static let slotCount = 24
    private static let headerBytes = 16
    /// What asks for more than this leaves a quarter of the memory to others: a few bytes of input can ask
    /// for the largest window there is, and a handful of such clients must not leave nothing to the rest.
    private static let largeBytes = 256 << 10

    private var slots: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private(set) var idleBytes = 0
    /// Bytes handed out and not given back, and the most of that there ever were.
    private(set) var lentBytes = 0
    private(set) var lentBytesPeak = 0
    /// Most bytes handed out at a time.
    let lentBytesMax: Int

    init(lentBytesMax: Int = .max) {
        self.lentBytesMax = lentBytesMax
        slots = .allocate(capacity: Self.slotCount)
        slots.initialize(repeating: nil, count: Self.slotCount)
    }

    /// brotli_alloc_func: `opaque` is the cache.
    static func allocate(_ opaque: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer? {
        guard let cache = opaque?.assumingMemoryBound(to: BlockCache.self) else { return nil }
        return cache.pointee.take(size)
    }

    /// brotli_free_func.
    static func free(_ opaque: UnsafeMutableRawPointer?, _ address: UnsafeMutableRawPointer?) {
        guard let cache = opaque?.assumingMemoryBound(to: BlockCache.self), let address else { return }
        cache.pointee.give(address - headerBytes)
    }

    /// Frees what is idle.
    mutating func empty() {
        for i in 0..<Self.slotCount {
            if let block = slots[i] { Glibc.free(block) }
            slots[i] = nil
        }
        idleBytes = 0
        slots.deallocate()
    }

    private static func size(_ block: UnsafeMutableRawPointer) -> Int { block.load(as: Int.self) }

    /// Counts memory that is lent elsewhere, or given back there.
    mutating func count(_ bytes: Int) {
        lentBytes += bytes
        lentBytesPeak = max(lentBytesPeak, lentBytes)
    }

    /// Most bytes that may be handed out with one of this size among them.
    func bound(for size: Int) -> Int {
        size > Self.largeBytes ? lentBytesMax - lentBytesMax / 4 : lentBytesMax
    }

    private mutating func take(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size <= bound(for: size) - lentBytes else { return nil }
        for i in 0..<Self.slotCount {
            // A block twice as large as needed would be missed elsewhere.
            guard let block = slots[i], Self.size(block) >= size, Self.size(block) <= size &* 2 else {
                continue
            }
            slots[i] = nil
            idleBytes -= Self.size(block)
            return lend(block)
        }
        guard let block = malloc(size + Self.headerBytes) else { return nil }
        block.storeBytes(of: size, as: Int.self)
        return lend(block)
    }

    private mutating func lend(_ block: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        count(Self.size(block))
        return block + Self.headerBytes
    }

    private mutating func give(_ block: UnsafeMutableRawPointer) {
        let size = Self.size(block)
        lentBytes -= size
        if idleBytes + size <= Self.idleBytesMax {
            for i in 0..<Self.slotCount where slots[i] == nil {
                slots[i] = block
                idleBytes += size
                return
            }
        }
        Glibc.free(block)
    }
}
