// Names and fixed bodies of a snapshot.

/// Bytes that live as long as the object that holds them: names and fixed bodies, readable without
/// reference counting or copying.
public final class StaticBytes: @unchecked Sendable, CustomStringConvertible {
    public let base: UnsafeMutablePointer<UInt8>
    public let count: Int

    public convenience init(_ text: String) { self.init(Array(text.utf8)) }

    public init(_ bytes: [UInt8]) {
        base = .allocate(capacity: max(1, bytes.count))
        count = bytes.count
        for (i, byte) in bytes.enumerated() { base[i] = byte }
    }

    deinit { base.deallocate() }

    public var bytes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}
