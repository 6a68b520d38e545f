import HTTPModel

/// What a `ChunkedDecoder` found next.
public enum ChunkStep: Equatable, Sendable, BitwiseCopyable {
    /// Body data: `count` bytes at `offset` of the bytes given; the cursor is behind them.
    case data(offset: Int, count: Int)
    /// All bytes given are consumed and the body is not at its end.
    case needMore
    /// The body is at its end; the cursor is at the first byte behind it.
    case end
    /// The coding is malformed; the connection cannot be used any more.
    case malformed(Violation, at: Int)
}

/// Takes the chunked coding off a body, at whatever boundaries its bytes arrive.
public struct ChunkedDecoder: Sendable {
    public private(set) var remainingInChunk: UInt64 = 0
    public private(set) var trailerBytes: [UInt8] = []
    public private(set) var trailerFields: [Field] = []

    public init() {}

    public mutating func next(
        _ bytes: UnsafePointer<UInt8>, count: Int, at cursor: inout Int
    ) -> ChunkStep {
        .needMore
    }

    public mutating func consumedDirectly(_ count: Int) {}
}
