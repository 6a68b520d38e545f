// Who the client is: computed once per request, used by everything (law 9).
//
// X-Forwarded-For and Forwarded (RFC 7239) can be written by anybody. What is believed is what a
// trusted proxy appended: the list is walked from the right, and the walk goes one step further left
// only while the address at hand is trusted. Whatever an attacker put further left is never parsed,
// so it can neither be believed nor break the parsing. No allocation, at most 32 hops.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirRouting

/// The client's address and how it was found. Plain data.
public struct ClientAddress: Equatable, Sendable, BitwiseCopyable {
    /// Which field tells the way; the other one is not looked at.
    public enum Source: UInt8, Sendable, BitwiseCopyable {
        /// X-Forwarded-For if the request has it, else Forwarded. Right when the proxies in front set
        /// or remove both; when they maintain only one, name that one: the other is the client's word.
        case either
        case xForwardedFor
        case forwarded
    }

    /// Why the walk ended where it did.
    public enum End: UInt8, Sendable, BitwiseCopyable {
        /// The peer is not a trusted proxy; fields were not looked at.
        case peerNotTrusted
        /// The first address that is not trusted: the normal end.
        case untrusted
        /// All addresses are trusted; the leftmost is the answer (or the peer, without a field).
        case allTrusted
        /// A trusted proxy hid the address ("unknown", "_name", no "for="; RFC 7239 §6).
        case hidden
        /// An element could not be parsed; the answer is the address before it.
        case malformed
        /// More than `hopsMax` trusted hops.
        case tooManyHops
    }

    /// The scheme a trusted peer says the client used.
    public enum Scheme: UInt8, Sendable, BitwiseCopyable {
        case http, https
    }

    public var address: IPAddress
    public var end: End
    /// The address is the one the connection came from.
    public var isFromPeer: Bool
    /// The scheme a trusted peer tells: X-Forwarded-Proto when the field is there once with one known value;
    /// where Forwarded tells the address, the proto nearest to the client among the elements looked at.
    public var protoFromTrusted: Scheme?
    /// The authority it tells, likewise, in X-Forwarded-Host or the host of Forwarded; bytes of the head.
    public var authorityFromTrusted: ByteRange?

    /// The field was wrong or too long where a trusted proxy should have written it.
    public var malformed: Bool { end == .malformed || end == .tooManyHops }

    /// The most list elements looked at.
    public static let hopsMax = 32

    /// Computes the address of the client.
    ///
    /// - Parameters:
    ///   - peer: where the connection came from (or what its PROXY header says).
    ///   - request: the request with its fields identified by the codec.
    ///   - trusted: the proxies whose word is taken.
    ///   - source: the field the proxies in front maintain.
    public init(
        peer: IPAddress, request: RequestView, trusted: [AddressBlock], source: Source = .either
    ) {
        self.address = peer
        self.end = .peerNotTrusted
        self.isFromPeer = true
        self.protoFromTrusted = nil
        self.authorityFromTrusted = nil
        guard Self.isTrusted(peer, trusted) else { return }

        end = .allTrusted
        protoFromTrusted = Self.only(.xForwardedProto, request).flatMap(Self.scheme)
        authorityFromTrusted = Self.only(.xForwardedHost, request).flatMap { Self.authority($0, request) }
        let field: FieldID
        switch source {
        case .xForwardedFor: field = .xForwardedFor
        case .forwarded: field = .forwarded
        case .either: field = Self.has(.xForwardedFor, request) ? .xForwardedFor : .forwarded
        }

        // Several lines with one name are one list, in order (RFC 9110 §5.3).
        var hops = 0
        var line = Int(request.head.pointee.fieldCount)
        while line > 0 {
            line -= 1
            guard request.fields[line].id == field else { continue }
            var rest = request.fields[line].value.bytes(in: request.bytes)
            while let element = Self.takeLast(&rest) {
                guard !element.isEmpty else { continue }
                guard hops < Self.hopsMax else {
                    end = .tooManyHops
                    return
                }
                hops += 1
                switch field == .forwarded ? forwardedFor(element, request) : Self.node(element) {
                case .address(let next):
                    address = next
                    isFromPeer = false
                    guard Self.isTrusted(next, trusted) else {
                        end = .untrusted
                        return
                    }
                case .hidden:
                    end = .hidden
                    return
                case .malformed:
                    end = .malformed
                    return
                }
            }
        }
    }

    // MARK: Lists

    private typealias Bytes = UnsafeBufferPointer<UInt8>

    private enum Node {
        case address(IPAddress)
        case hidden, malformed
    }

    private static func isTrusted(_ address: IPAddress, _ trusted: [AddressBlock]) -> Bool {
        var i = 0
        while i < trusted.count {
            if trusted[i].contains(address) { return true }
            i += 1
        }
        return false
    }

    private static func has(_ id: FieldID, _ request: RequestView) -> Bool {
        var i = 0
        while i < Int(request.head.pointee.fieldCount) {
            if request.fields[i].id == id { return true }
            i += 1
        }
        return false
    }

    /// The value of a field that is there once.
    private static func only(_ id: FieldID, _ request: RequestView) -> Bytes? {
        var found: Bytes?
        var i = 0
        while i < Int(request.head.pointee.fieldCount) {
            defer { i += 1 }
            guard request.fields[i].id == id else { continue }
            if found != nil { return nil }
            found = request.fields[i].value.bytes(in: request.bytes)
        }
        return found
    }

    private static func scheme(_ value: Bytes) -> Scheme? {
        guard let start = value.baseAddress else { return nil }
        if equals(start, value.count, lowercase: "https") { return .https }
        return equals(start, value.count, lowercase: "http") ? .http : nil
    }

    /// Where a valid authority stands in the head; nil when it is none.
    private static func authority(_ value: Bytes, _ request: RequestView) -> ByteRange? {
        guard let start = value.baseAddress else { return nil }
        let range = ByteRange(start - request.bytes, value.count)
        return hostPart(of: range, request).isEmpty ? nil : range
    }

    /// The host of an authority; empty when it is none.
    private static func hostPart(of authority: ByteRange, _ request: RequestView) -> ByteRange {
        var host = ByteRange.empty
        var port: Int32 = -1
        let violation = HeadParts.readAuthority(request.bytes, authority, host: &host, port: &port)
        return violation == .none ? host : .empty
    }

    // MARK: How the client asked

    /// Scheme and authority: those a trusted peer tells, else those of connection and head.
    public func origin(of request: RequestView, isSecure: Bool) -> RequestOrigin {
        var origin = RequestOrigin(
            request.head.pointee, isSecure: protoFromTrusted.map { $0 == .https } ?? isSecure)
        guard end != .peerNotTrusted else { return origin }
        if let told = authorityFromTrusted {
            origin.authority = told
            origin.host = Self.hostPart(of: told, request)
        }
        if let port = Self.only(.xForwardedPort, request), (1...5).contains(port.count),
            port.allSatisfy({ $0 &- 48 < 10 })
        {
            origin.toldPort = UInt16(exactly: port.reduce(0) { $0 * 10 + Int($1 &- 48) }) ?? 0
        }
        return origin
    }

    /// Takes the last element of a comma-separated list, trimmed; nil when nothing is left.
    ///
    /// Quoted strings are read from the right too: a quote that a client left open on the far left
    /// must not swallow what trusted proxies appended.
    private static func takeLast(_ rest: inout Bytes) -> Bytes? {
        guard rest.baseAddress != nil else { return nil }
        var at = rest.count
        var isQuoted = false
        while at > 0 {
            let byte = rest[at - 1]
            if byte == UInt8(ascii: "\"") {
                if !isQuoted || !isEscaped(rest, at - 1) { isQuoted.toggle() }
            } else if byte == UInt8(ascii: ","), !isQuoted {
                break
            }
            at -= 1
        }
        let element = trim(Bytes(rebasing: rest[at...]))
        rest = at > 0 ? Bytes(rebasing: rest[..<(at - 1)]) : Bytes(start: nil, count: 0)
        return element
    }

    /// Whether an odd number of backslashes stands before the byte.
    private static func isEscaped(_ bytes: Bytes, _ index: Int) -> Bool {
        var at = index
        while at > 0, bytes[at - 1] == UInt8(ascii: "\\") { at -= 1 }
        return (index - at) & 1 == 1
    }

    private static func trim(_ bytes: Bytes) -> Bytes {
        var from = 0
        var to = bytes.count
        while from < to, bytes[from] == 0x20 || bytes[from] == 9 { from += 1 }
        while to > from, bytes[to - 1] == 0x20 || bytes[to - 1] == 9 { to -= 1 }
        return Bytes(rebasing: bytes[from..<to])
    }

    // MARK: Elements

    /// An element of X-Forwarded-For: an address, with port ("1.2.3.4:5") or brackets ("[::1]:5"), or "unix:".
    private static func node(_ element: Bytes) -> Node {
        guard let start = element.baseAddress else { return .malformed }
        if equals(start, element.count, lowercase: IPAddress.unixText) { return .address(.unix) }
        if equals(start, element.count, lowercase: "unknown") { return .hidden }
        return parse(element, isBareV6Allowed: true)
    }

    /// The "for" parameter of a Forwarded element (RFC 7239 §4): `for=1.2.3.4;proto=http`. Keeps what it says
    /// of scheme and host.
    private mutating func forwardedFor(_ element: Bytes, _ request: RequestView) -> Node {
        var result = Node.hidden
        var isFound = false
        var from = 0
        while from <= element.count {
            // One name=value pair, up to ";" outside quotes.
            var to = from
            var isQuoted = false
            while to < element.count, isQuoted || element[to] != UInt8(ascii: ";") {
                if element[to] == UInt8(ascii: "\"") { isQuoted.toggle() }
                if element[to] == UInt8(ascii: "\\") {
                    // An escape is never needed in what is read here and can be skipped elsewhere.
                    guard isQuoted, to + 1 < element.count else { return .malformed }
                    to += 1
                }
                to += 1
            }
            guard !isQuoted else { return .malformed }
            let pair = Self.trim(Bytes(rebasing: element[from..<to]))
            from = to + 1
            // "for=x;" has an empty pair at its end: the grammar allows empty pairs.
            guard let start = pair.baseAddress, !pair.isEmpty else { continue }
            // No whitespace round the sign (§4).
            guard let sign = pair.firstIndex(of: UInt8(ascii: "=")), sign > 0, pair[sign - 1] > 0x20 else {
                return .malformed
            }
            let value = Bytes(rebasing: pair[(sign + 1)...])
            if equals(start, sign, lowercase: "proto") {
                protoFromTrusted = Self.scheme(Self.unquoted(value)) ?? protoFromTrusted
            } else if equals(start, sign, lowercase: "host") {
                authorityFromTrusted = Self.authority(Self.unquoted(value), request) ?? authorityFromTrusted
            }
            guard equals(start, sign, lowercase: "for") else { continue }
            guard !isFound else { return .malformed }
            isFound = true
            result = Self.forwardedNode(value)
            if case .malformed = result { return result }
        }
        return result
    }

    /// Without the quotes round it. Escapes in it are left: no scheme and no host has any.
    private static func unquoted(_ value: Bytes) -> Bytes {
        guard value.count >= 2, value[0] == UInt8(ascii: "\""), value[value.count - 1] == UInt8(ascii: "\"")
        else { return value }
        return Bytes(rebasing: value[1..<(value.count - 1)])
    }

    private static func forwardedNode(_ value: Bytes) -> Node {
        let isQuoted = value.first == UInt8(ascii: "\"")
        let value = unquoted(value)
        guard let start = value.baseAddress, !value.isEmpty else { return .malformed }
        var name = value.count
        if let colon = value.firstIndex(of: UInt8(ascii: ":")) { name = colon }
        if equals(start, value.count, lowercase: "_unix") { return .address(.unix) }
        if equals(start, name, lowercase: "unknown") || value[0] == UInt8(ascii: "_") {
            return value.allSatisfy(isNodeByte) ? .hidden : .malformed
        }
        // A port or an IPv6 address holds characters that need quotes (§6): a list without them was
        // not written by a conforming proxy.
        guard isQuoted || (name == value.count && value[0] != UInt8(ascii: "[")) else { return .malformed }
        return parse(value, isBareV6Allowed: false)
    }

    private static func isNodeByte(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 0x20) &- 97 < 26 || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: ".") || byte == UInt8(ascii: ":")
    }

    /// An IP address with an optional port. IPv6 stands in brackets, or bare where that is allowed
    /// and then without a port.
    private static func parse(_ text: Bytes, isBareV6Allowed: Bool) -> Node {
        guard !text.isEmpty else { return .malformed }
        if text[0] == UInt8(ascii: "[") {
            guard let close = text.firstIndex(of: UInt8(ascii: "]")) else { return .malformed }
            let inside = Bytes(rebasing: text[1..<close])
            guard inside.contains(UInt8(ascii: ":")), let address = IPAddress(bytes: inside),
                isPort(Bytes(rebasing: text[(close + 1)...]))
            else { return .malformed }
            return .address(address)
        }
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else {
            return IPAddress(bytes: text).map(Node.address) ?? .malformed
        }
        if text[(colon + 1)...].contains(UInt8(ascii: ":")) {
            guard isBareV6Allowed, let address = IPAddress(bytes: text) else { return .malformed }
            return .address(address)
        }
        guard isPort(Bytes(rebasing: text[colon...])),
            let address = IPAddress(bytes: Bytes(rebasing: text[..<colon]))
        else { return .malformed }
        return .address(address)
    }

    /// Nothing, ":" with one to five digits up to 65535, or ":_name" (RFC 7239 §6.3).
    private static func isPort(_ text: Bytes) -> Bool {
        guard !text.isEmpty else { return true }
        guard text[0] == UInt8(ascii: ":"), text.count >= 2 else { return false }
        let port = Bytes(rebasing: text[1...])
        if port[0] == UInt8(ascii: "_") {
            return port.count > 1 && port.allSatisfy { isNodeByte($0) && $0 != UInt8(ascii: ":") }
        }
        guard port.count <= 5 else { return false }
        var value = 0
        for byte in port {
            guard byte &- 48 < 10 else { return false }
            value = value * 10 + Int(byte &- 48)
        }
        return value <= 65535
    }
}
