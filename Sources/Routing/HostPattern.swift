// Hosts of a route: exact, wildcard or any.

/// `api.example.com`, `*.example.com` (one or more labels in place of the star), or `*` (any host,
/// also none). Case, a trailing dot and a port of the request do not matter.
public struct HostPattern: Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable { case exact, wildcard, any }

    public let kind: Kind
    /// Lower-case name without star and trailing dot; empty for `.any`.
    public let name: String

    public static let any = HostPattern(kind: .any, name: "")

    public var description: String {
        switch kind {
        case .exact: name
        case .wildcard: "*." + name
        case .any: "*"
        }
    }

    public static func parse(_ text: String) throws(PatternError) -> HostPattern {
        var bytes = Array(text.utf8)
        if bytes.isEmpty { throw PatternError(at: 0, "expected a host name, for example api.example.com") }
        if bytes == [0x2a] { return .any }
        if bytes[0] == 0x5b { return try address(bytes) }
        var kind = Kind.exact
        var start = 0
        if bytes[0] == 0x2a {
            guard bytes.count > 2, bytes[1] == 0x2e else {
                throw PatternError(at: 1, "expected '.' and a name after '*', for example *.example.com")
            }
            kind = .wildcard
            start = 2
        }
        if bytes.count > start + 1, bytes.last == 0x2e { bytes.removeLast() }
        var label = start
        for at in start...bytes.count {
            if at == bytes.count || bytes[at] == 0x2e {
                if at == label { throw PatternError(at: at, "expected a label of 1 to 63 characters") }
                if at - label > 63 {
                    throw PatternError(at: label + 63, "expected at most 63 characters per label")
                }
                label = at + 1
                continue
            }
            switch bytes[at] {
            case 0x2a:
                throw PatternError(at: at, "expected '*' only as the whole first label (*.example.com)")
            case 0x3a: throw PatternError(at: at, "expected a host name without port")
            case 0x2f: throw PatternError(at: at, "expected a host name without scheme or path")
            case 0x80...: throw PatternError(at: at, "expected the ASCII form of the name (xn--…)")
            case let byte where isNameByte(byte): break
            default: throw PatternError(at: at, "expected a letter, digit, '-' or '.'")
            }
        }
        guard bytes.count - start <= 253 else {
            throw PatternError(at: 253, "expected at most 253 characters")
        }
        return HostPattern(kind: kind, name: String(decoding: bytes[start...], as: UTF8.self).lowercased())
    }

    private static func address(_ bytes: [UInt8]) throws(PatternError) -> HostPattern {
        for at in 1..<bytes.count {
            switch bytes[at] {
            case 0x5d where at == bytes.count - 1 && at > 2:
                return HostPattern(kind: .exact, name: String(decoding: bytes, as: UTF8.self).lowercased())
            case 0x5d where at != bytes.count - 1:
                throw PatternError(at: at + 1, "expected an address without port")
            case 0x30...0x39, 0x41...0x46, 0x61...0x66, 0x3a, 0x2e: break
            default: throw PatternError(at: at, "expected an IPv6 address")
            }
        }
        throw PatternError(at: bytes.count, "expected an IPv6 address and ']'")
    }
}
