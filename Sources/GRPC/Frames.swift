// Where messages begin and end in a gRPC body ("gRPC over HTTP2", Length-Prefixed-Message).
//
//     message = flag (1 byte: 0 plain, 1 compressed) length (4 bytes, big-endian) bytes
//
// gRPC-Web adds one kind of frame: flag 0x80 (or 0x81), which holds the trailers and ends a response. It
// has no place in a request, and a request that ends within a message is not a request.

/// What a `FrameScanner` found wrong.
public enum FrameError: UInt8, Error, Sendable, CaseIterable, BitwiseCopyable {
    /// A flag byte other than 0 and 1.
    case flagInvalid = 1
    /// The body ended within a message.
    case truncated
}

/// Follows the messages of a body through blocks of any size, without touching the bytes. Plain data.
public struct FrameScanner: Equatable, Sendable, BitwiseCopyable {
    private var remaining: UInt32 = 0
    private var headerCount: UInt8 = 0
    private var error: FrameError?
    /// Messages that have ended.
    public private(set) var messages: UInt64 = 0

    public init() {}

    /// Whether the last byte seen was the end of a message (or none was seen).
    public var isAtBoundary: Bool { headerCount == 0 && error == nil }

    /// Goes through a block. The error found first is answered from then on.
    public mutating func scan(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> FrameError? {
        var cursor = 0
        while cursor < count, error == nil {
            if headerCount == 5 {
                let taken = min(Int(remaining), count - cursor)
                remaining -= UInt32(taken)
                cursor += taken
            } else {
                let byte = bytes[cursor]
                cursor += 1
                if headerCount == 0 {
                    if byte > 1 { error = .flagInvalid }
                } else {
                    remaining = remaining << 8 | UInt32(byte)
                }
                headerCount += 1
            }
            if headerCount == 5, remaining == 0 {
                headerCount = 0
                messages += 1
            }
        }
        return error
    }

    /// The body has ended.
    public func finish() -> FrameError? { error ?? (headerCount == 0 ? nil : .truncated) }
}
