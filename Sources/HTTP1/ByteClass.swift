// The classes of bytes that the grammar of HTTP/1.1 is made of, one table look-up per byte.
//
// The table is a string literal: its bytes lie in read-only data at an address the compiler knows,
// so reaching it costs neither a lazy global's once-check nor a pointer carried through every call.
// Each of its 256 characters is the set of classes of one byte (seven bits, hence ASCII).
// Tests/HTTP1Tests/ByteClassTests.swift recomputes it from the grammar.

/// A set of byte classes.
struct ByteClass {
    /// tchar (RFC 9110 §5.6.2).
    static var token: UInt8 { 1 }
    /// What a path may hold besides "/" and "%": pchar (RFC 3986 §3.3) and the four that URL
    /// parsers of browsers leave as they are in a path: [ ] | ^
    static var path: UInt8 { 2 }
    /// What a query may hold, "%" included: the path's set, "/", "?" and the four more that browsers
    /// leave as they are in a query: ` { } and the backslash. Never " < > or #.
    static var query: UInt8 { 4 }
    /// What a host name or IPv4 address is made of: unreserved (RFC 3986 §2.3). Percent-encoding and
    /// sub-delims, which the grammar of reg-name would allow, are left out: no name that resolves
    /// has them, and they are read differently by different software.
    static var host: UInt8 { 8 }
    static var hexadecimal: UInt8 { 16 }
    /// qdtext (RFC 9110 §5.6.4): what a quoted string holds besides escapes.
    static var quoted: UInt8 { 32 }

    @inline(__always)
    static var table: UnsafePointer<UInt8> { classes.utf8Start }

    @inline(__always)
    static func contains(_ byte: UInt8, _ classes: UInt8) -> Bool {
        table[Int(byte)] & classes != 0
    }
}

/// Value of a hexadecimal digit that is known to be one.
@inline(__always)
func hexadecimalValue(_ digit: UInt8) -> UInt8 {
    digit < 0x40 ? digit &- 0x30 : (digit | 0x20) &- 0x57
}

/// 16 bytes per line; line n holds the bytes 0xn0 to 0xnF.
@inline(__always)
private var classes: StaticString {
    """
    \u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{20}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\
    \u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\
    \u{20}\u{27}\u{0}\u{21}\u{27}\u{25}\u{27}\u{27}\u{26}\u{26}\u{27}\u{27}\u{26}\u{2f}\u{2f}\u{24}\
    \u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{26}\u{26}\u{20}\u{26}\u{20}\u{24}\
    \u{26}\u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\
    \u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{26}\u{4}\u{26}\u{27}\u{2f}\
    \u{25}\u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{3f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\
    \u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{2f}\u{24}\u{27}\u{24}\u{2f}\u{0}\
    \u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\
    \u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\
    \u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\
    \u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\
    \u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\
    \u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\
    \u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\
    \u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}
    """
}
