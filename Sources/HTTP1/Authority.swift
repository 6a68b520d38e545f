// Host and port as they stand in Host fields and request targets (RFC 3986 §3.2, RFC 9110 §7.2).
//
// Accepted are names and IPv4 addresses of unreserved characters, and IPv6 addresses in brackets,
// each with an optional port 0…65535. Refused although the grammar of reg-name allows them:
// percent-encoding and sub-delims (commas among them), because no name that resolves has them and
// software disagrees about what they mean; and IPvFuture and zone identifiers.

import WeirHTTPModel

/// Parts of an authority without user information.
struct Authority {
    /// Brackets of an IPv6 literal included.
    var host: ByteRange
    /// -1 when there is no port or an empty one.
    var port: Int32

    /// Longest host in bytes: the longest DNS name with its final dot.
    static let hostBytesMax = 254

    /// Reads the authority in `start..<end`, which may have an empty host.
    ///
    /// - Parameter violation: what to report when it is invalid.
    @inline(__always)
    init(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, violation: Violation
    ) throws(HeadStop) {
        var at = start
        if at < end, bytes[at] == UInt8(ascii: "[") {
            at = try endOfIPv6Literal(bytes, at, end, violation: violation)
        } else {
            while at < end, ByteClass.contains(bytes[at], ByteClass.host) { at &+= 1 }
            if at &- start > Authority.hostBytesMax { throw .malformed(violation, start) }
        }
        host = ByteRange(start, at &- start)
        port = -1
        if at < end {
            // A port without a host is none.
            if bytes[at] != UInt8(ascii: ":") || at == start { throw .malformed(violation, at) }
            port = try readPort(bytes, at &+ 1, end, violation: violation)
        }
    }
}

/// Reads a port that fills `start..<end`; -1 when empty.
private func readPort(
    _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, violation: Violation
) throws(HeadStop) -> Int32 {
    if start == end { return -1 }
    var port: Int32 = 0
    for at in start..<end {
        let digit = bytes[at] &- UInt8(ascii: "0")
        if digit > 9 || at &- start > 4 { throw .malformed(violation, at) }
        port = port &* 10 &+ Int32(digit)
    }
    if port > 65_535 { throw .malformed(violation, start) }
    return port
}

/// The offset behind the bracketed IPv6 address at `start` (RFC 3986 §3.2.2 IP-literal).
@inline(never)
private func endOfIPv6Literal(
    _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, violation: Violation
) throws(HeadStop) -> Int {
    var close = start &+ 1
    while close < end, bytes[close] != UInt8(ascii: "]") { close &+= 1 }
    if close == end { throw .malformed(violation, start) }

    var at = start &+ 1
    var groups = 0
    var hasGap = false
    if at &+ 1 < close, bytes[at] == UInt8(ascii: ":"), bytes[at &+ 1] == UInt8(ascii: ":") {
        hasGap = true
        at &+= 2
    }
    while at < close {
        let groupStart = at
        while at < close, ByteClass.contains(bytes[at], ByteClass.hexadecimal) { at &+= 1 }
        if at < close, bytes[at] == UInt8(ascii: ".") {
            // The last 32 bits as an IPv4 address.
            if !isIPv4(bytes, groupStart, close) { throw .malformed(violation, groupStart) }
            groups &+= 2
            at = close
            break
        }
        if at == groupStart || at &- groupStart > 4 { throw .malformed(violation, at) }
        groups &+= 1
        if at == close { break }
        if bytes[at] != UInt8(ascii: ":") { throw .malformed(violation, at) }
        at &+= 1
        if at == close { throw .malformed(violation, at) }
        if bytes[at] == UInt8(ascii: ":") {
            if hasGap { throw .malformed(violation, at) }
            hasGap = true
            at &+= 1
        }
    }
    // A gap stands for at least one group of zeros.
    if hasGap ? groups > 7 : groups != 8 { throw .malformed(violation, start) }
    return close &+ 1
}

private func isIPv4(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
    var at = start
    for part in 0..<4 {
        if part > 0 {
            if at == end || bytes[at] != UInt8(ascii: ".") { return false }
            at &+= 1
        }
        let partStart = at
        var value = 0
        while at < end, bytes[at] &- UInt8(ascii: "0") <= 9, at &- partStart < 3 {
            value = value &* 10 &+ Int(bytes[at] &- UInt8(ascii: "0"))
            at &+= 1
        }
        let digits = at &- partStart
        if digits == 0 || value > 255 || digits > 1 && bytes[partStart] == UInt8(ascii: "0") { return false }
    }
    return at == end
}
