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

    /// Whether there is a `_` in the name. Eight bytes at a time: every field nobody knows by number is asked.
    @inlinable @inline(__always)
    public static func hasUnderscore(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var at = 0
        while at &+ 8 <= count {
            if wordHasUnderscore(name + at) { return true }
            at &+= 8
        }
        if at == count { return false }
        // The last word overlaps the one before it.
        if count >= 8 { return wordHasUnderscore(name + (count &- 8)) }
        while at < count {
            if name[at] == UInt8(ascii: "_") { return true }
            at &+= 1
        }
        return false
    }

    @inlinable @inline(__always)
    static func wordHasUnderscore(_ bytes: UnsafePointer<UInt8>) -> Bool {
        let word = UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self) ^ 0x5F5F_5F5F_5F5F_5F5F
        return (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080 != 0
    }

    /// `x-forwarded-` and something more: what a client, or a proxy before us, says about the client.
    @inlinable
    public static func isForwarded(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        count > 12 && areAliases(name, 12, xForwarded.utf8Start, 12)
    }

    @usableFromInline static let xForwarded: StaticString = "x-forwarded-"

    /// Names besides `x-forwarded-…` that Weir writes, or takes away, because others would believe them.
    private static let guarded: [StaticString] = [
        "x-real-ip", "content-length", "transfer-encoding", "keep-alive", "proxy-connection",
        "http2-settings",
    ]

    /// Whether a name with `_` in it stands for a field that Weir writes or strips for trust.
    public static func isAliasOfGuarded(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        isForwarded(name, count)
            || guarded.contains { areAliases(name, count, $0.utf8Start, $0.utf8CodeUnitCount) }
    }

    @inlinable @inline(__always)
    static func folded(_ byte: UInt8) -> UInt8 {
        byte == UInt8(ascii: "_") ? UInt8(ascii: "-") : asciiLowercased(byte)
    }
}
