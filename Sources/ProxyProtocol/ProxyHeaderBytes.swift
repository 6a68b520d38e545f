// Reading and writing headers without pointers.

extension ProxyHeader {
    /// Parses the header these bytes begin with, version 1 or 2.
    public static func parse(_ bytes: borrowing Span<UInt8>) -> ProxyHeaderResult {
        bytes.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { parse($0, count: bytes.count) } ?? .needMore
        }
    }

    public static func parse(_ bytes: [UInt8]) -> ProxyHeaderResult { parse(bytes.span) }

    /// The header in its `version`.
    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.writtenBytesMax) { room, count in
            count = room.baseAddress.flatMap { write(to: $0, capacity: room.count) } ?? 0
        }
    }
}
