// How large the next TLS record may be.
//
// A receiver can use nothing of a record before its last byte has come. At the start of a connection,
// and after a pause, the congestion window is small, and a 16 KiB record may need several round trips:
// small records then let a browser begin earlier. Once data flows, full records cost less CPU and fewer
// bytes. No RFC asks for this; RFC 8449 is about limits of the receiver, which OpenSSL does not offer.

/// The bytes of plaintext to put into one record, from how a connection has been used. Plain data.
public struct RecordSizing: Sendable, BitwiseCopyable {
    /// Plaintext of a small record: three segments of 1,460 bytes hold it with its overhead.
    public static let small = 4_096
    public static let full = 16_384
    /// Small records are used for so many bytes.
    public static let smallUntil: UInt32 = 65_536
    /// A pause after which a connection counts as new, in milliseconds.
    public static let idleMs: UInt64 = 1_000

    private var written: UInt32 = 0
    private var lastMs: UInt64 = 0

    public init() {}

    /// The limit now; counts a pause.
    @inline(__always)
    public mutating func limit(nowMs: UInt64) -> Int {
        if nowMs &- lastMs >= Self.idleMs, nowMs > lastMs { written = 0 }
        lastMs = nowMs
        return written < Self.smallUntil ? Self.small : Self.full
    }

    /// The limit within a write that goes on.
    @inline(__always)
    public var limit: Int { written < Self.smallUntil ? Self.small : Self.full }

    @inline(__always)
    public mutating func wrote(_ byteCount: Int) {
        written = UInt32(clamping: Int(written) + byteCount)
    }
}
