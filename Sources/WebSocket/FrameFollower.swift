// Where WebSocket frames begin and end (RFC 6455 §5.2), for whoever wants to say something in between.
//
// Only lengths are read, and whether a Close frame has gone by: payloads pass unseen, nothing is checked,
// and extensions make no difference (compressed messages have the same frames). A control frame may stand
// inside a fragmented message, never inside a frame (§5.4), so the boundary of any frame will do. A stream
// that is not WebSocket gives boundaries that mean nothing; ask only on upgraded connections.

/// Follows one direction of a WebSocket connection.
public struct FrameFollower: Sendable, BitwiseCopyable, Equatable {
    /// Payload bytes of the current frame still to come.
    private var payloadLeft: UInt64 = 0
    /// Bytes of a header seen so far, when it came in pieces.
    private var header: (UInt64, UInt64) = (0, 0)
    private var headerCount: UInt8 = 0
    /// A Close frame has gone by: nothing may follow it (RFC 6455 §5.5.1).
    public private(set) var isClosing = false

    public init() {}

    public static func == (a: FrameFollower, b: FrameFollower) -> Bool {
        a.payloadLeft == b.payloadLeft && a.headerCount == b.headerCount && a.header == b.header
            && a.isClosing == b.isClosing
    }

    /// Whether a frame of somebody else's would stand between two frames here.
    public var isAtBoundary: Bool { payloadLeft == 0 && headerCount == 0 }

    /// Whether one more frame may be sent here and now.
    public var takesFrame: Bool { isAtBoundary && !isClosing }

    /// Bytes have passed.
    public mutating func passed(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        var at = 0
        while at < count { at += passFrame(bytes + at, count - at) }
    }

    /// Passes bytes up to the end of the frame they begin with or belong to; at most `count`, and at
    /// least one where there are any.
    ///
    /// - Returns: how many have passed.
    public mutating func passFrame(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var at = 0
        while at < count {
            if payloadLeft > 0 {
                let step = Int(min(payloadLeft, UInt64(count - at)))
                payloadLeft -= UInt64(step)
                at += step
                if payloadLeft == 0 { return at }
                continue
            }
            take(bytes[at])
            at += 1
            if headerCount >= 2, Int(headerCount) == headerLength {
                payloadLeft = payloadLength
                isClosing = isClosing || byte(0) & 0x0f == Opcode.close
                header = (0, 0)
                headerCount = 0
                if payloadLeft == 0 { return at }
            }
        }
        return at
    }

    /// How many of these bytes, which have not passed yet, may pass before another frame is sent: 0 when
    /// one may be sent at once, nil when nowhere among them.
    public func bytesBeforeFrame(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        if isClosing { return nil }
        if isAtBoundary { return 0 }
        var ahead = self
        let passed = ahead.passFrame(bytes, count)
        return ahead.takesFrame ? passed : nil
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
