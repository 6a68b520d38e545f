// What is known of field names as such: which of them stand once, and which mean the same to somebody.

public enum FieldNames {
    /// Fields of which a message has one line at most: their value is no list (RFC 9110 §5.3, §5.5), or
    /// recipients take the first line, or none, where there are several. Lower case.
    private static let once: Set<String> = [
        "access-control-allow-credentials", "access-control-allow-origin", "access-control-max-age", "age",
        "authorization", "content-disposition", "content-location", "content-range", "content-type", "date",
        "etag", "expires", "from", "host", "if-modified-since", "if-range", "if-unmodified-since",
        "last-modified", "location", "max-forwards", "origin", "proxy-authorization", "range", "referer",
        "refresh", "retry-after", "server", "strict-transport-security", "user-agent",
        "x-content-type-options", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix",
        "x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-server", "x-forwarded-ssl", "x-frame-options",
        "x-real-ip", "x-request-id",
    ]

    /// Whether a message may have one line at most with this name, in any case. For configuration.
    public static func standsOnce(_ name: String) -> Bool { once.contains(name.lowercased()) }

    /// Whether two names are the same once ASCII case is ignored and `_` is read as `-`, as applications do
    /// that get fields as variables (RFC 9110 §17.10).
    @inlinable
    public static func areAliases(
        _ a: UnsafePointer<UInt8>, _ aCount: Int, _ b: UnsafePointer<UInt8>, _ bCount: Int
    ) -> Bool {
        guard aCount == bCount else { return false }
        var i = 0
        while i < aCount {
            if folded(a[i]) != folded(b[i]) { return false }
            i &+= 1
        }
        return true
    }

    @inlinable @inline(__always)
    static func folded(_ byte: UInt8) -> UInt8 {
        byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : asciiLowercased(byte)
    }
}
