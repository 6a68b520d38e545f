// `location: rewrite`: where an endpoint sends a client, turned back to what the client sees.
//
//   a request for https://shop.example/app/cart went as http://10.0.0.5:8080/cart, with rewrite /app → /
//
//   http://10.0.0.5:8080/login    https://shop.example/app/login    the address the request went to
//   http://shop.example/login     https://shop.example/app/login    the Host it carried
//   /login                        /app/login                        a path below the rewrite's
//   //shop.example/login          //shop.example/app/login
//   https://login.example/        stays                             another host
//
// For Location (RFC 9110 §10.2.2), Content-Location (§8.7) and the URL in Refresh. References are taken apart
// as RFC 3986 §3 has it; one that is not well-formed, holds a name of a user, or is of another scheme stays byte
// for byte, and so do query and fragment of every one. A reference is turned whole or not at all: half of one
// would lead nowhere.

import Glibc
import WeirHTTPModel

/// Where a request came from and where it went, as far as references tell. Valid for one call.
public struct Passage {
    public typealias Bytes = UnsafeBufferPointer<UInt8>

    /// The client used https.
    public var isSecure: Bool
    /// Host and port as the client wrote them; empty: it did not.
    public var authority: Bytes
    /// The path the client asked, in the form of the path itself.
    public var path: Bytes
    /// The endpoint is spoken to over TLS.
    public var endpointIsSecure: Bool
    /// The Host sent to the endpoint.
    public var sentHost: Bytes
    /// The endpoint's name in the configuration, without port and brackets.
    public var endpointName: Bytes
    /// Its IP address, without brackets.
    public var endpointAddress: Bytes
    public var endpointPort: UInt16

    public init(
        isSecure: Bool, authority: Bytes, path: Bytes, endpointIsSecure: Bool, sentHost: Bytes,
        endpointName: Bytes, endpointAddress: Bytes, endpointPort: UInt16
    ) {
        self.isSecure = isSecure
        self.authority = authority
        self.path = path
        self.endpointIsSecure = endpointIsSecure
        self.sentHost = sentHost
        self.endpointName = endpointName
        self.endpointAddress = endpointAddress
        self.endpointPort = endpointPort
    }

    /// Whether a URL has the client's own authority.
    fileprivate func isClients(_ url: Authority, isSecure: Bool) -> Bool {
        Self.agree(url, isSecure: isSecure, authority, isSecure: self.isSecure)
    }

    /// Whether a URL has the authority that the endpoint was asked with, or its own address.
    fileprivate func isEndpoints(_ url: Authority, isSecure: Bool) -> Bool {
        // The Host may be the client's, or one for how the endpoint is spoken to.
        if Self.agree(url, isSecure: isSecure, sentHost, isSecure: self.isSecure)
            || Self.agree(url, isSecure: isSecure, sentHost, isSecure: endpointIsSecure)
        {
            return true
        }
        return (url.port ?? Self.defaultPort(isSecure)) == endpointPort
            && (equalHosts(url.name, endpointName) || equalHosts(url.name, endpointAddress))
    }

    /// Whether the authority of a URL is the one in a text, which stood with another scheme perhaps: an endpoint
    /// puts its own idea of the scheme before it, so the default ports of both are one.
    private static func agree(
        _ url: Authority, isSecure: Bool, _ text: Bytes, isSecure textIsSecure: Bool
    ) -> Bool {
        guard let other = Authority(text), equalHosts(url.name, other.name) else { return false }
        let (port, otherPort) = (defaultPort(isSecure), defaultPort(textIsSecure))
        return (url.port ?? port) == (other.port ?? otherPort)
            || (url.port ?? port) == port && (other.port ?? otherPort) == otherPort
    }

    private static func defaultPort(_ isSecure: Bool) -> UInt16 { isSecure ? 443 : 80 }
}

/// How references of a route's endpoints are turned back. Immutable.
public struct LocationRule: Sendable {
    /// A field of responses that holds a reference.
    public enum Field: Sendable {
        case reference
        /// Seconds, and a URL.
        case refresh
    }

    /// What the route's rewrite exchanges; nil: endpoints see the paths clients see.
    private let prefix: PathPrefix?

    public init(prefix: PathPrefix?) { self.prefix = prefix }

    /// The kind of field by its name; nil: it holds no reference that is looked at.
    public static func field(_ name: UnsafePointer<UInt8>, _ count: Int) -> Field? {
        switch count {
        case 8 where equals(name, count, lowercase: "location"): .reference
        case 16 where equals(name, count, lowercase: "content-location"): .reference
        case 7 where equals(name, count, lowercase: "refresh"): .refresh
        default: nil
        }
    }

    /// Writes the value of a field as the client is to see it.
    public func write(
        _ field: Field, _ value: UnsafeBufferPointer<UInt8>, _ passage: Passage, into writer: inout ByteWriter
    ) {
        switch field {
        case .reference: write(value, passage, &writer)
        case .refresh:
            let url = Self.refreshed(value)
            writer.append(UnsafeBufferPointer(rebasing: value[..<url.lowerBound]))
            write(UnsafeBufferPointer(rebasing: value[url]), passage, &writer)
            writer.append(UnsafeBufferPointer(rebasing: value[url.upperBound...]))
        }
    }

    private func write(
        _ reference: UnsafeBufferPointer<UInt8>, _ passage: Passage, _ writer: inout ByteWriter
    ) {
        let mark = writer.count
        if turn(reference, passage, &writer) { return }
        writer.drop(writer.count - mark)
        writer.append(reference)
    }

    /// Writes a reference turned back. False: it stays, whatever has been written of it.
    private func turn(
        _ reference: UnsafeBufferPointer<UInt8>, _ passage: Passage, _ writer: inout ByteWriter
    ) -> Bool {
        guard let parts = Reference(reference) else { return false }
        if let authority = parts.authority {
            let isSecure = parts.isSecure ?? passage.endpointIsSecure
            let isClients = passage.isClients(authority, isSecure: isSecure)
            guard !passage.authority.isEmpty,
                isClients || passage.isEndpoints(authority, isSecure: isSecure)
            else { return false }
            switch parts.isSecure {
            case nil:
                writer.append("//")
                writer.append(passage.authority)
            case passage.endpointIsSecure?, passage.isSecure?:
                writer.append(passage.isSecure ? "https://" : "http://")
                writer.append(passage.authority)
            default:
                // Neither how the client came nor how Weir did: a change of scheme that is meant, if it is the
                // client's own name, and else an address that is not known to lead here.
                guard isClients else { return false }
                writer.append(UnsafeBufferPointer(rebasing: reference[..<parts.path.lowerBound]))
            }
        }
        let path = UnsafeBufferPointer(rebasing: reference[parts.path])
        let mark = writer.count
        if path.first == 0x2f || parts.authority != nil {
            guard writePath(path, &writer) else { return false }
        } else if path.isEmpty {
            // The document itself, whatever its path is (RFC 3986 §4.4).
        } else {
            guard writeRelative(path, passage, &writer) else { return false }
        }
        if parts.authority == nil { Template.keepFromNamingAHost(from: mark, &writer) }
        writer.append(UnsafeBufferPointer(rebasing: reference[parts.path.upperBound...]))
        return true
    }

    /// Writes the client's path for an endpoint's; an empty one is the root. False: not everybody would read it
    /// alike.
    private func writePath(_ path: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter) -> Bool {
        guard let prefix, let start = path.baseAddress else {
            writer.append(path)
            return true
        }
        if path.isEmpty || PathForm.hasDotSegment(start, path.count) {
            let mark = writer.count
            if path.isEmpty { writer.append("/") } else { writer.append(path) }
            return turnWritten(from: mark, prefix, &writer)
        }
        if !prefix.writeOutward(path, &writer) { writer.append(path) }
        return true
    }

    /// Writes the client's path for one that is relative to the endpoint's (RFC 3986 §5.2.3). Clients would
    /// resolve it against theirs, which has other segments. False: not everybody would read it alike.
    private func writeRelative(
        _ path: UnsafeBufferPointer<UInt8>, _ passage: Passage, _ writer: inout ByteWriter
    ) -> Bool {
        guard let prefix else {
            writer.append(path)
            return true
        }
        let mark = writer.count
        prefix.writeInward(passage.path, &writer)
        var last = writer.count
        while last > mark, writer.base[last - 1] != 0x2f { last -= 1 }
        writer.drop(writer.count - last)
        writer.append(path)
        return turnWritten(from: mark, prefix, &writer)
    }

    /// Resolves the dot segments of a path that stands in `writer` from `mark` on (RFC 3986 §5.2.4), and turns it
    /// outward. False: not everybody would read it alike.
    private func turnWritten(from mark: Int, _ prefix: PathPrefix, _ writer: inout ByteWriter) -> Bool {
        if writer.overflowed { return true }
        let start = writer.base + mark
        let count = PathForm.write(start, writer.count - mark, into: start)
        writer.drop(writer.count - mark - count)
        if PathForm.hasDotSegment(start, count) { return false }
        guard prefix.writeOutward(UnsafeBufferPointer(start: start, count: count), &writer),
            !writer.overflowed
        else { return true }
        start.update(from: start + count, count: writer.count - mark - count)
        writer.drop(count)
        return true
    }

    /// Where the URL stands in a Refresh, as browsers read it (HTML §4.2.5.3, the shared declarative refresh
    /// steps): behind the seconds and a separator, perhaps with "url=" before it, perhaps in quotes. Empty, at the
    /// end: there is none.
    private static func refreshed(_ value: UnsafeBufferPointer<UInt8>) -> Range<Int> {
        let none = value.count..<value.count
        func skip(_ at: Int, _ isSkipped: (UInt8) -> Bool) -> Int {
            var at = at
            while at < value.count, isSkipped(value[at]) { at += 1 }
            return at
        }
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        let seconds = skip(0, isBlank)
        let separator = skip(seconds) { $0 &- 48 < 10 || $0 == UInt8(ascii: ".") }
        var at = skip(separator, isBlank)
        guard separator > seconds, at < value.count else { return none }
        if value[at] == UInt8(ascii: ";") || value[at] == UInt8(ascii: ",") {
            at = skip(at + 1, isBlank)
        } else if at == separator {
            return none
        }
        if let base = value.baseAddress, value.count - at > 3, equals(base + at, 3, lowercase: "url") {
            // Without the sign these letters are the URL's own.
            let sign = skip(at + 3, isBlank)
            if sign < value.count, value[sign] == UInt8(ascii: "=") { at = skip(sign + 1, isBlank) }
        }
        var end = value.count
        if at < end, value[at] == UInt8(ascii: "\"") || value[at] == UInt8(ascii: "'") {
            let quote = value[at]
            at += 1
            end = skip(at) { $0 != quote }
        }
        // Blanks around a URL are no part of it.
        at = min(skip(at, isBlank), end)
        while end > at, isBlank(value[end - 1]) { end -= 1 }
        return at..<end
    }
}

/// Host and port of a URL.
private struct Authority {
    var host: UnsafeBufferPointer<UInt8>
    /// nil: none is written.
    var port: UInt16?

    /// Nil where it is none, or names a user.
    init?(_ text: UnsafeBufferPointer<UInt8>) {
        var end = text.count
        while end > 0, text[end - 1] &- 48 < 10 { end -= 1 }
        if end > 0, text[end - 1] == UInt8(ascii: ":") {
            if end < text.count {
                var port = 0
                for digit in text[end...] { port = min(port * 10 + Int(digit - 48), 1 << 20) }
                guard port <= 65_535 else { return nil }
                self.port = UInt16(port)
            }
            end -= 1
        } else {
            end = text.count
        }
        host = UnsafeBufferPointer(rebasing: text[..<end])
        let isLiteral = host.first == UInt8(ascii: "[") && host.last == UInt8(ascii: "]")
        guard !host.isEmpty, !host.contains(UInt8(ascii: "@")),
            isLiteral == host.contains(UInt8(ascii: ":"))
        else { return nil }
    }

    /// The host without the brackets of an IPv6 address.
    var name: UnsafeBufferPointer<UInt8> {
        host.first == UInt8(ascii: "[")
            ? UnsafeBufferPointer(rebasing: host.dropFirst().dropLast()) : host
    }
}

/// The parts of a reference that are looked at.
private struct Reference {
    /// nil: it has no scheme.
    var isSecure: Bool?
    /// nil: it has none.
    var authority: Authority?
    /// Where the path stands.
    var path: Range<Int>

    /// Nil: not of http or https, or not well-formed before its query.
    init?(_ text: UnsafeBufferPointer<UInt8>) {
        var end = 0
        var colon: Int?
        var slash: Int?
        while end < text.count, text[end] != UInt8(ascii: "?"), text[end] != UInt8(ascii: "#") {
            switch text[end] {
            // Browsers read a backslash as a slash, others do not.
            case 0...0x20, 0x7f, UInt8(ascii: "\\"): return nil
            case UInt8(ascii: ":"): if colon == nil { colon = end }
            case UInt8(ascii: "/"): if slash == nil { slash = end }
            default: break
            }
            end += 1
        }
        var at = 0
        if let colon, colon < slash ?? end, let base = text.baseAddress {
            switch colon {
            case 4 where equals(base, 4, lowercase: "http"): isSecure = false
            case 5 where equals(base, 5, lowercase: "https"): isSecure = true
            default: return nil
            }
            at = colon + 1
            guard end - at > 2, text[at] == 0x2f, text[at + 1] == 0x2f else { return nil }
        }
        if end - at > 1, text[at] == 0x2f, text[at + 1] == 0x2f {
            let start = at + 2
            at = start
            while at < end, text[at] != 0x2f { at += 1 }
            guard let authority = Authority(UnsafeBufferPointer(rebasing: text[start..<at])) else {
                return nil
            }
            self.authority = authority
        }
        path = at..<end
    }
}

/// Whether two hosts without brackets are one: names in any case, with or without the dot of the root
/// (RFC 1034 §3.1), addresses of IPv6 in any spelling (RFC 4291 §2.2).
private func equalHosts(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Bool {
    func bare(_ host: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
        host.last == UInt8(ascii: ".") ? UnsafeBufferPointer(rebasing: host.dropLast()) : host
    }
    let (a, b) = (bare(a), bare(b))
    guard !a.isEmpty, let one = a.baseAddress, let two = b.baseAddress else { return false }
    if equalIgnoringASCIICase(one, a.count, two, b.count) { return true }
    guard let first = addressOfIPv6(a), let second = addressOfIPv6(b) else { return false }
    return first == second
}

/// The 128 bits of an IPv6 address; nil: it is none.
private func addressOfIPv6(_ text: UnsafeBufferPointer<UInt8>) -> SIMD2<UInt64>? {
    guard text.contains(UInt8(ascii: ":")), text.count < Int(INET6_ADDRSTRLEN), !text.contains(0) else {
        return nil
    }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { room in
        for (index, byte) in text.enumerated() { room[index] = CChar(bitPattern: byte) }
        room[text.count] = 0
        var bits = SIMD2<UInt64>()
        return inet_pton(AF_INET6, room.baseAddress, &bits) == 1 ? bits : nil
    }
}
