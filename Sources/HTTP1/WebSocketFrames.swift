// Where WebSocket frames begin and end (RFC 6455 §5.2), for whoever wants to say something in between.
//
// Only lengths are read: payloads pass unseen, nothing is checked, and extensions make no difference.
// A stream that is not WebSocket gives boundaries that mean nothing; ask only on upgraded connections.

/// Follows one direction of a WebSocket connection.
public struct WebSocketFrames: Sendable, BitwiseCopyable, Equatable {
    /// Payload bytes of the current frame still to come.
    private var payloadLeft: UInt64 = 0
    /// Bytes of a header seen so far, when it came in pieces.
    private var header: (UInt64, UInt64) = (0, 0)
    private var headerCount: UInt8 = 0

    public init() {}

    public static func == (a: WebSocketFrames, b: WebSocketFrames) -> Bool {
        a.payloadLeft == b.payloadLeft && a.headerCount == b.headerCount && a.header == b.header
    }

    /// Whether a frame of somebody else's would stand between two frames here.
    public var isAtBoundary: Bool { payloadLeft == 0 && headerCount == 0 }

    /// Bytes have passed.
    public mutating func passed(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        var at = 0
        while at < count {
            if payloadLeft > 0 {
                let step = Int(min(payloadLeft, UInt64(count - at)))
                payloadLeft -= UInt64(step)
                at += step
                continue
            }
            take(bytes[at])
            at += 1
            if headerCount >= 2, Int(headerCount) == headerLength {
                payloadLeft = payloadLength
                header = (0, 0)
                headerCount = 0
            }
        }
    }

    private mutating func take(_ byte: UInt8) {
        withUnsafeMutableBytes(of: &header) { $0[Int(headerCount)] = byte }
        headerCount += 1
    }

    private func byte(_ i: Int) -> UInt8 { withUnsafeBytes(of: header) { $0[i] } }

    private var shortLength: UInt8 { byte(1) & 0x7f }

    /// 2, with 2 or 8 bytes of a longer length, with 4 of a mask.
    private var headerLength: Int {
        2 + (shortLength == 126 ? 2 : shortLength == 127 ? 8 : 0) + (byte(1) & 0x80 != 0 ? 4 : 0)
    }

    private var payloadLength: UInt64 {
        let extra = shortLength == 126 ? 2 : shortLength == 127 ? 8 : 0
        if extra == 0 { return UInt64(shortLength) }
        return (0..<extra).reduce(0) { $0 << 8 | UInt64(byte(2 + $1)) }
    }
}
