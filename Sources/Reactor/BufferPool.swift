// Buffers for what cannot be handled at once: a partial head, a held body, a short write.
//
// Idle connections hold none. A buffer is one allocation, header first:
//
//     [ next | start | end | capacity | class ][ bytes ……………………………… ]
//                      ^ header (32 bytes)      start ≤ end ≤ capacity
//
// Buffers go back to a free list per size class, so that steady traffic allocates nothing.

/// One pooled buffer: bytes start..<end are in use.
public struct Buffer {
    public var next: UnsafeMutablePointer<Buffer>?
    public var start: UInt32
    public var end: UInt32
    public let capacity: UInt32
    let sizeClass: Int32
    private let padding: UInt64 = 0

    init(capacity: UInt32, sizeClass: Int32) {
        next = nil
        start = 0
        end = 0
        self.capacity = capacity
        self.sizeClass = sizeClass
    }
}

public typealias BufferPointer = UnsafeMutablePointer<Buffer>

extension UnsafeMutablePointer where Pointee == Buffer {
    /// First byte of the storage.
    @inlinable @inline(__always)
    public var base: UnsafeMutablePointer<UInt8> {
        UnsafeMutableRawPointer(self + 1).assumingMemoryBound(to: UInt8.self)
    }
    /// First byte in use.
    @inlinable @inline(__always) public var readable: UnsafeMutablePointer<UInt8> {
        base + Int(pointee.start)
    }
    /// Bytes in use.
    @inlinable @inline(__always) public var count: Int { Int(pointee.end &- pointee.start) }
    /// First free byte.
    @inlinable @inline(__always) public var writable: UnsafeMutablePointer<UInt8> { base + Int(pointee.end) }
    /// Free bytes behind those in use.
    @inlinable @inline(__always) public var room: Int { Int(pointee.capacity &- pointee.end) }

    /// Appends bytes; the caller has checked the room.
    @inlinable
    public func append(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) {
        precondition(byteCount <= room, "buffer overrun")
        UnsafeMutableRawPointer(writable).copyMemory(from: bytes, byteCount: byteCount)
        pointee.end &+= UInt32(byteCount)
    }
}

/// Free lists of buffers in a few sizes. Owned by one thread.
public struct BufferPool: ~Copyable {
    private static var smallCapacity: UInt32 { 2048 - 32 }
    private static var mediumCapacity: UInt32 { 16_384 - 32 }
    private static var largeCapacity: UInt32 { 65_536 }
    // How many free buffers of each class are kept: beyond that they go back to the system.
    private static var keptMaxSmall: Int { 4096 }
    private static var keptMaxMedium: Int { 512 }
    private static var keptMaxLarge: Int { 128 }

    private var free: (BufferPointer?, BufferPointer?, BufferPointer?) = (nil, nil, nil)
    private var kept = (0, 0, 0)
    /// Bytes of buffers handed out at this moment.
    public private(set) var bytesInUse = 0

    public init() {}

    deinit {
        for list in [free.0, free.1, free.2] {
            var buffer = list
            while let this = buffer {
                buffer = this.pointee.next
                UnsafeMutableRawPointer(this).deallocate()
            }
        }
    }

    /// An empty buffer with room for at least byteCount bytes.
    public mutating func take(_ byteCount: Int) -> BufferPointer {
        let buffer: BufferPointer
        if byteCount <= Int(Self.smallCapacity) {
            if let kept = free.0 {
                free.0 = kept.pointee.next
                self.kept.0 &-= 1
                buffer = kept
            } else {
                buffer = Self.allocate(Self.smallCapacity, 0)
            }
        } else if byteCount <= Int(Self.mediumCapacity) {
            if let kept = free.1 {
                free.1 = kept.pointee.next
                self.kept.1 &-= 1
                buffer = kept
            } else {
                buffer = Self.allocate(Self.mediumCapacity, 1)
            }
        } else if byteCount <= Int(Self.largeCapacity) {
            if let kept = free.2 {
                free.2 = kept.pointee.next
                self.kept.2 &-= 1
                buffer = kept
            } else {
                buffer = Self.allocate(Self.largeCapacity, 2)
            }
        } else {
            buffer = Self.allocate(UInt32(byteCount), -1)
        }
        buffer.pointee.next = nil
        buffer.pointee.start = 0
        buffer.pointee.end = 0
        bytesInUse &+= Int(buffer.pointee.capacity)
        return buffer
    }

    /// Gives a buffer back.
    public mutating func give(_ buffer: BufferPointer) {
        bytesInUse &-= Int(buffer.pointee.capacity)
        switch buffer.pointee.sizeClass {
        case 0 where kept.0 < Self.keptMaxSmall:
            buffer.pointee.next = free.0
            free.0 = buffer
            kept.0 &+= 1
        case 1 where kept.1 < Self.keptMaxMedium:
            buffer.pointee.next = free.1
            free.1 = buffer
            kept.1 &+= 1
        case 2 where kept.2 < Self.keptMaxLarge:
            buffer.pointee.next = free.2
            free.2 = buffer
            kept.2 &+= 1
        default:
            UnsafeMutableRawPointer(buffer).deallocate()
        }
    }

    private static func allocate(_ capacity: UInt32, _ sizeClass: Int32) -> BufferPointer {
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<Buffer>.stride + Int(capacity), alignment: 16)
        let buffer = raw.bindMemory(to: Buffer.self, capacity: 1)
        buffer.initialize(to: Buffer(capacity: capacity, sizeClass: sizeClass))
        return buffer
    }
}
