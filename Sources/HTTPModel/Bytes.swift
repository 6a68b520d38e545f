// Byte ranges and byte comparison for message heads.
//
// A head stays bytes until somebody needs text: every part of it is a ByteRange relative to the
// start of the head, so the bytes can move (scratch → retained buffer) without touching the parts.

/// A run of bytes inside a message head, relative to the head's first byte.
public struct ByteRange: Equatable, Sendable, BitwiseCopyable {
    /// First byte, counted from the start of the head.
    public var offset: UInt32
    /// Length in bytes.
    public var count: UInt32

    @inlinable @inline(__always)
    public init(offset: UInt32, count: UInt32) {
        self.offset = offset
        self.count = count
    }

    @inlinable @inline(__always)
    public init(_ offset: Int, _ count: Int) {
        self.offset = UInt32(truncatingIfNeeded: offset)
        self.count = UInt32(truncatingIfNeeded: count)
    }

    @inlinable public static var empty: ByteRange { ByteRange(offset: 0, count: 0) }

    @inlinable public var isEmpty: Bool { count == 0 }
    /// One past the last byte.
    @inlinable public var end: UInt32 { offset &+ count }

    /// The bytes themselves, given where the head starts.
    @inlinable @inline(__always)
    public func bytes(in base: UnsafePointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: base + Int(offset), count: Int(count))
    }

    /// The bytes as text; invalid UTF-8 becomes U+FFFD (for logs and messages only).
    public func text(in base: UnsafePointer<UInt8>) -> String {
        String(decoding: bytes(in: base), as: UTF8.self)
    }
}

/// ASCII lower case of one byte; other bytes unchanged.
@inlinable @inline(__always)
public func asciiLowercased(_ byte: UInt8) -> UInt8 {
    byte &- 65 < 26 ? byte | 0x20 : byte
}

/// Whether two runs are equal when ASCII case is ignored.
@inlinable
public func equalIgnoringASCIICase(
    _ a: UnsafePointer<UInt8>, _ aCount: Int, _ b: UnsafePointer<UInt8>, _ bCount: Int
) -> Bool {
    guard aCount == bCount else { return false }
    var i = 0
    while i < aCount {
        if asciiLowercased(a[i]) != asciiLowercased(b[i]) { return false }
        i &+= 1
    }
    return true
}

/// Whether a run equals a literal that is already lower case, ASCII case ignored.
@inlinable @inline(__always)
public func equals(_ a: UnsafePointer<UInt8>, _ count: Int, lowercase literal: StaticString) -> Bool {
    guard count == literal.utf8CodeUnitCount else { return false }
    let b = literal.utf8Start
    var i = 0
    while i < count {
        if asciiLowercased(a[i]) != b[i] { return false }
        i &+= 1
    }
    return true
}
