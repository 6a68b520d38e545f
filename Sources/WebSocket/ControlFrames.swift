// The few frames Weir says itself: Close and Ping (RFC 6455 §5.5).
//
// Fixed sizes, no allocation. What goes to a server has to be masked (§5.3); a mask of zeros hides nothing
// and changes nothing, and needs no randomness, for none of these bytes come from anybody else.

/// Numbers of frame types (RFC 6455 §11.8).
enum Opcode {
    static var close: UInt8 { 0x8 }
    static var ping: UInt8 { 0x9 }
    static var pong: UInt8 { 0xa }
}

/// First byte of a control frame: whole, without reserved bits.
@inline(__always)
func whole(_ opcode: UInt8) -> UInt8 { 0x80 | opcode }

/// Writes control frames.
public enum ControlFrame {
    /// Most bytes a frame of these takes.
    public static var bytesMax: Int { 16 }

    /// Writes a Close frame with a code and no words.
    ///
    /// - Parameters:
    ///   - into: room for `bytesMax` bytes.
    ///   - code: why, RFC 6455 §7.4.1; 1001 is "going away".
    ///   - isMasked: it goes to a server.
    /// - Returns: bytes written.
    public static func writeClose(
        _ into: UnsafeMutablePointer<UInt8>, code: UInt16, isMasked: Bool
    ) -> Int {
        var at = writeHeader(into, Opcode.close, payloadBytes: 2, isMasked: isMasked)
        into[at] = UInt8(truncatingIfNeeded: code >> 8)
        into[at + 1] = UInt8(truncatingIfNeeded: code)
        at += 2
        return at
    }

    /// Writes a Ping frame to a client, with the eight bytes of `payload`, highest first.
    ///
    /// - Parameter into: room for `bytesMax` bytes.
    /// - Returns: bytes written.
    public static func writePing(_ into: UnsafeMutablePointer<UInt8>, payload: UInt64) -> Int {
        var at = writeHeader(into, Opcode.ping, payloadBytes: 8, isMasked: false)
        for shift in stride(from: 56, through: 0, by: -8) {
            into[at] = UInt8(truncatingIfNeeded: payload >> UInt64(shift))
            at += 1
        }
        return at
    }

    private static func writeHeader(
        _ into: UnsafeMutablePointer<UInt8>, _ opcode: UInt8, payloadBytes: UInt8, isMasked: Bool
    ) -> Int {
        into[0] = whole(opcode)
        into[1] = payloadBytes | (isMasked ? 0x80 : 0)
        if !isMasked { return 2 }
        for i in 2..<6 { into[i] = 0 }
        return 6
    }
}
