// Connections and exchanges live in slabs: memory that never moves, addressed by index and generation.
//
// A pointer into a slab is one instruction away (performance.md: 32 against 508 for class objects),
// and an index with a generation is what may be kept across waits: a stale one is noticed.

/// The name of a slab slot's current occupant.
public struct Handle: Sendable, BitwiseCopyable, Equatable {
    public let index: UInt32
    /// 26 bits, so that it fits into a Token.
    public let generation: UInt32
    @inlinable public static var generationMask: UInt32 { 0x03ff_ffff }

    @inlinable @inline(__always)
    public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    @inlinable public static var none: Handle { Handle(index: .max, generation: 0) }
}

/// Slots for elements of one plain-data type. Grows by chunks up to a bound; memory is kept for reuse.
/// Owned by one thread.
public struct Slab<Element>: ~Copyable {
    @usableFromInline static var chunkShift: Int { 7 }
    @usableFromInline static var chunkCount: Int { 1 << chunkShift }

    @usableFromInline var chunks: [UnsafeMutablePointer<Element>] = []
    @usableFromInline var generations: [UInt32] = []
    @usableFromInline var free: [UInt32] = []
    /// How many slots are in use.
    public private(set) var count = 0
    /// The bound.
    public let countMax: Int

    public init(countMax: Int) { self.countMax = countMax }

    deinit {
        for chunk in chunks { chunk.deallocate() }
    }

    /// A slot for a new element, uninitialised; nil when the bound is reached.
    @inlinable
    public mutating func allocate() -> (pointer: UnsafeMutablePointer<Element>, handle: Handle)? {
        // Chunks are whole, so the last one may have more slots than the bound allows.
        if count >= countMax { return nil }
        if free.isEmpty { grow() }
        let index = free.removeLast()
        took()
        let handle = Handle(index: index, generation: generations[Int(index)])
        return (address(index), handle)
    }

    /// Gives a slot back. The element must already be deinitialised (plain data needs nothing).
    @inlinable
    public mutating func release(_ handle: Handle) {
        let index = Int(handle.index)
        precondition(generations[index] == handle.generation, "slab slot released twice")
        generations[index] = (handle.generation &+ 1) & Handle.generationMask
        free.append(handle.index)
        gave()
    }

    /// The element a handle names, nil when it is gone.
    @inlinable @inline(__always)
    public func pointer(_ handle: Handle) -> UnsafeMutablePointer<Element>? {
        let index = Int(handle.index)
        guard index < generations.count, generations[index] == handle.generation else { return nil }
        return address(handle.index)
    }

    @inlinable @inline(__always)
    func address(_ index: UInt32) -> UnsafeMutablePointer<Element> {
        chunks[Int(index) >> Self.chunkShift] + (Int(index) & (Self.chunkCount &- 1))
    }

    @usableFromInline mutating func took() { count += 1 }
    @usableFromInline mutating func gave() { count -= 1 }

    @usableFromInline
    mutating func grow() {
        let first = generations.count
        chunks.append(.allocate(capacity: Self.chunkCount))
        for index in (first..<first + Self.chunkCount).reversed() { free.append(UInt32(index)) }
        generations.append(contentsOf: repeatElement(1, count: Self.chunkCount))
    }

    /// Calls body for every slot in use: for drains and status, not for the data path.
    public func each(_ body: (UnsafeMutablePointer<Element>) -> Void) {
        var unused = [Bool](repeating: false, count: generations.count)
        for index in free { unused[Int(index)] = true }
        for index in unused.indices where !unused[index] { body(address(UInt32(index))) }
    }
}
