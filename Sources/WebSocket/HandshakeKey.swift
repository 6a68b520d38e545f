// The key a WebSocket client sends and the acceptance a server answers with (RFC 6455 §4.1, §4.2.2).
//
// HTTP/2 has neither (RFC 8441 §5), so whoever stands between the two versions makes them. Once per
// WebSocket, so it may allocate. The SHA-1 in between is the caller's: no cryptography here.

/// Both ends of the opening handshake's proof.
public enum HandshakeKey {
    private static let guid = Array("258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)

    /// A key from 16 random bytes: the value of `Sec-WebSocket-Key`.
    public static func text(_ high: UInt64, _ low: UInt64) -> [UInt8] {
        base64(
            (0..<8).map { UInt8(truncatingIfNeeded: high >> ($0 * 8)) }
                + (0..<8).map { UInt8(truncatingIfNeeded: low >> ($0 * 8)) })
    }

    /// What is to be hashed with SHA-1 to prove that a server has seen this key.
    public static func proof(of key: UnsafeBufferPointer<UInt8>) -> [UInt8] { Array(key) + guid }

    /// The value of `Sec-WebSocket-Accept`.
    ///
    /// - Parameter digest: the SHA-1 of `proof(of:)`.
    public static func acceptance(digest: [UInt8]) -> [UInt8] { base64(digest) }

    private static func base64(_ bytes: [UInt8]) -> [UInt8] {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        var i = 0
        while i < bytes.count {
            let left = bytes.count - i
            let group =
                UInt32(bytes[i]) << 16 | (left > 1 ? UInt32(bytes[i + 1]) << 8 : 0)
                | (left > 2 ? UInt32(bytes[i + 2]) : 0)
            for k in 0..<4 {
                text.append(k <= left ? alphabet[Int(group >> UInt32(18 - 6 * k)) & 63] : 0x3d)
            }
            i += 3
        }
        return text
    }
}
