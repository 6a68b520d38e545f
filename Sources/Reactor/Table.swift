// A growable table of values by dense index, for what the hot path looks up by id.
//
// An Array would do the same with a uniqueness check and reference counting at every access.

/// Values at 0..<count. Owned by one thread.
public struct Table<Element>: ~Copyable {
    @usableFromInline var base: UnsafeMutablePointer<Element>
    @usableFromInline var capacity: Int
    public private(set) var count = 0

    public init() {
        capacity = 16
        base = .allocate(capacity: 16)
    }

    deinit {
        base.deinitialize(count: count)
        base.deallocate()
    }

    public mutating func append(_ element: consuming Element) {
        if count == capacity {
            let grown = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
            grown.moveInitialize(from: base, count: count)
            base.deallocate()
            base = grown
            capacity *= 2
        }
        (base + count).initialize(to: element)
        count += 1
    }

    @inlinable
    public subscript(_ i: Int) -> Element {
        @inline(__always) unsafeAddress {
            precondition(i >= 0 && i < count, "table index out of range")
            return UnsafePointer(base + i)
        }
        @inline(__always) unsafeMutableAddress {
            precondition(i >= 0 && i < count, "table index out of range")
            return base + i
        }
    }
}
