// Takes the answers to our Pings out of what a client sends, and nothing else.
//
// A client answers a Ping with a Pong of the same payload (RFC 6455 §5.5.3). The endpoint never sent ours
// and must not see the answer. Ours is told by its payload, eight bytes that nobody else knows. A Pong
// that is not masked, in pieces, with reserved bits or a length in a longer form is not the answer of a
// client that keeps the standard: it passes like everything else, unjudged. A frame is held back only as
// long as it could still be ours: at most 13 bytes, in here.

/// Looks through a client's direction of a WebSocket connection.
public struct PongSieve: Sendable, BitwiseCopyable {
    /// Payload of our Pings.
    public let payload: UInt64
    private var frames = FrameFollower()
    /// The beginning of a frame that may be an answer.
    private var held: (UInt64, UInt64) = (0, 0)
    private var count: UInt8 = 0

    /// Header, mask and payload of an answer.
    static var pongBytes: Int { 2 + 4 + 8 }

    public init(payload: UInt64) { self.payload = payload }

    /// Bytes held back. They have to stand before the next ones that are given to `next`: see `putBack`.
    public var heldBytes: Int { Int(count) }

    /// Writes what is held back to where the next bytes of the client follow, and holds nothing any more.
    public mutating func putBack(_ into: UnsafeMutablePointer<UInt8>) {
        withUnsafeBytes(of: held) { bytes in
            for i in 0..<Int(count) { into[i] = bytes[i] }
        }
        count = 0
    }

    /// Judges the start of a block: `pass` bytes go on to the endpoint, and `drop` bytes behind them do not,
    /// because they are an answer, or are held back. To be called again for what is left of the block.
    public mutating func next(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) -> (pass: Int, drop: Int) {
        var at = 0
        while at < byteCount {
            if frames.isAtBoundary {
                switch judge(bytes + at, byteCount - at) {
                case .answer:
                    return (at, Self.pongBytes)
                case .unknown:
                    hold(bytes + at, byteCount - at)
                    return (at, byteCount - at)
                case .other:
                    break
                }
            }
            at += frames.passFrame(bytes + at, byteCount - at)
        }
        return (at, 0)
    }

    private enum Verdict { case answer, other, unknown }

    private func judge(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) -> Verdict {
        if bytes[0] != whole(Opcode.pong) { return .other }
        if byteCount < 2 { return .unknown }
        if bytes[1] != 0x80 | 8 { return .other }
        if byteCount < Self.pongBytes { return .unknown }
        for i in 0..<8 {
            let expected = UInt8(truncatingIfNeeded: payload >> UInt64(56 - 8 * i))
            if bytes[6 + i] ^ bytes[2 + i & 3] != expected { return .other }
        }
        return .answer
    }

    private mutating func hold(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) {
        withUnsafeMutableBytes(of: &held) { to in
            for i in 0..<byteCount { to[i] = bytes[i] }
        }
        count = UInt8(truncatingIfNeeded: byteCount)
    }
}
