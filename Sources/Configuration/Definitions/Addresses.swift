// Addresses: where Weir listens, and where it connects to.

import Glibc

/// An address as written, taken apart but not resolved.
public struct Address: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// ":8080": every IPv4 and IPv6 address of the machine. Listeners only.
        case any(port: UInt16)
        /// A literal IPv4 or IPv6 address, without brackets; where it is listened on also "fe80::1%eth0".
        case ip(host: String, port: UInt16)
        /// A name to resolve, in lower case. Endpoints only.
        case name(host: String, port: UInt16)
        /// "unix:/path": an absolute path of at most 107 bytes; "unix:@name": a name that is no file.
        case unix(path: String)
    }
    public var kind: Kind
    /// The address as written.
    public var text: Text

    public init(kind: Kind, text: Text) {
        self.kind = kind
        self.text = text
    }
}

/// An address as its place takes it.
struct AddressForm: ScalarForm {
    typealias Value = Address

    let role: Address.Role
    let syntax = "ADDRESS"

    init(_ role: Address.Role) { self.role = role }

    var expectation: String { String(role.expectation.dropFirst("expected ".count)) }
    var schema: [JSONMember] { SchemaText.pattern(role.pattern) }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> Address { try Address(scalar.text, role: role) }

    func print(_ value: Address) -> Node? { .text(value.text) }

    func located(_ text: String, _ surroundings: Surroundings, besidesWords: Bool) -> String? {
        guard role != .resolver, text.hasPrefix("unix:") else { return nil }
        let path = String(text.dropFirst(5))
        // "@" begins an abstract name, which is no path.
        return path.isEmpty || path.hasPrefix("@") ? nil : "unix:" + surroundings.path(path)
    }
}

extension Address.Role {
    /// 1 to 65535, as the reader takes it.
    private static let port =
        "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

    /// What the JSON Schema can say of it.
    fileprivate var pattern: String {
        switch self {
        case .listen:
            "^(unix:.+|[0-9.]*:\(Self.port)|\\[[0-9A-Fa-f:.]+(%[^/ ]{1,15})?\\]:\(Self.port))$"
        case .endpoint: "^(unix:.+|[A-Za-z0-9._-]+:\(Self.port)|\\[[0-9A-Fa-f:.]+\\]:\(Self.port))$"
        case .resolver: "^([0-9.]+|\\[[0-9A-Fa-f:.]+\\])(:\(Self.port))?$"
        }
    }
}

extension Address {
    /// What kind of address a place takes.
    enum Role: Sendable {
        /// ":port", "ip:port", "[ip%interface]:port", "unix:/path", "unix:@name"
        case listen
        /// "name:port", "ip:port", "unix:/path", "unix:@name"
        case endpoint
        /// "ip:port", port 53 when left out
        case resolver

        var expectation: String {
            switch self {
            case .listen:
                "expected an address such as \":8080\", \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/run/weir.sock\""
            case .endpoint:
                "expected an address such as 10.0.0.11:8080, app.internal:8080, \"[2001:db8::1]:8080\" or \"unix:/run/app.sock\""
            case .resolver: "expected an address such as 127.0.0.53:53"
            }
        }
    }

    init(_ text: Text, role: Role) throws(ValueProblem) {
        let value = text.value
        func problem(_ message: String, suggestion: String? = nil) -> ValueProblem {
            ValueProblem(message: message, expectation: role.expectation, suggestion: suggestion)
        }
        if value.hasPrefix("unix:") {
            let path = String(value.dropFirst(5))
            guard role != .resolver else { throw problem("a resolver cannot be a Unix socket") }
            guard path.hasPrefix("/") || (path.hasPrefix("@") && path.utf8.count > 1) else {
                throw problem("the path of a Unix socket must be absolute")
            }
            guard path.utf8.count <= 107, !path.utf8.contains(0) else {
                throw problem("the path of a Unix socket has at most 107 bytes")
            }
            self.init(kind: .unix(path: path), text: text)
            return
        }
        for scheme in ["http://", "https://", "tcp://"] where value.hasPrefix(scheme) {
            let rest = value.dropFirst(scheme.count)
            throw problem(
                "an address has no scheme", suggestion: String(rest.prefix { $0 != "/" }))
        }
        var host = Substring(value)
        var portText = Substring()
        if value.hasPrefix("[") {
            guard let close = value.firstIndex(of: "]") else { throw problem("\"[\" without \"]\"") }
            host = value[value.index(after: value.startIndex)..<close]
            let rest = value[value.index(after: close)...]
            guard rest.hasPrefix(":") || (role == .resolver && rest.isEmpty) else {
                throw problem("\"\(value.clipped(60))\" has no port")
            }
            portText = rest.dropFirst()
            let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
            guard Self.isIP(parts.first ?? host, AF_INET6) else {
                throw problem("\"\(String(host).clipped(60))\" is not an IPv6 address")
            }
            if parts.count == 2 {
                // The name of an interface has at most 15 bytes (IFNAMSIZ).
                guard role == .listen else { throw problem("a zone can only be listened in") }
                guard (1...15).contains(parts[1].utf8.count),
                    parts[1].utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "/") })
                else { throw problem("\"\(String(parts[1]).clipped(20))\" is not the name of an interface") }
            }
        } else {
            let colons = value.utf8.count { $0 == UInt8(ascii: ":") }
            if colons > 1 { throw problem("an IPv6 address is written in brackets") }
            guard let colon = value.lastIndex(of: ":") else {
                if role == .resolver, Self.isIP(host, AF_INET) {
                    self.init(kind: .ip(host: String(host), port: 53), text: text)
                    return
                }
                throw problem(
                    "\"\(value.clipped(60))\" has no port",
                    suggestion: role == .listen && UInt16(value) != nil ? ":\(value)" : nil)
            }
            host = value[..<colon]
            portText = value[value.index(after: colon)...]
        }
        var port: UInt16 = 53
        if !(role == .resolver && portText.isEmpty) {
            guard portText.utf8.allSatisfy({ $0 &- 48 < 10 }), let number = UInt16(portText), number > 0
            else {
                throw problem("\"\(String(portText).clipped(20))\" is not a port (1 to 65535)")
            }
            port = number
        }
        if host.isEmpty || host == "*" {
            guard role == .listen else { throw problem("\"\(value.clipped(60))\" has no host") }
            guard host.isEmpty else { throw problem("\"*\" is not an address", suggestion: ":\(port)") }
            self.init(kind: .any(port: port), text: text)
        } else if let zone = host.firstIndex(of: "%"), Self.isIP(host[..<zone], AF_INET6) {
            self.init(kind: .ip(host: Self.canonical(host[..<zone]) + host[zone...], port: port), text: text)
        } else if Self.isIP(host, AF_INET) || Self.isIP(host, AF_INET6) {
            self.init(kind: .ip(host: Self.canonical(host), port: port), text: text)
        } else if role == .endpoint {
            guard Self.isName(host) else {
                throw problem("\"\(String(host).clipped(60))\" is not an address or a host name")
            }
            self.init(kind: .name(host: host.lowercased(), port: port), text: text)
        } else {
            throw problem(
                host == "localhost"
                    ? "a name cannot be used here"
                    : "\"\(String(host).clipped(60))\" is not an IP address",
                suggestion: host == "localhost" ? "127.0.0.1:\(port)" : nil)
        }
    }

    static func isIP(_ text: Substring, _ family: Int32) -> Bool {
        var room = in6_addr()
        return inet_pton(family, String(text), &room) == 1
    }

    /// The one way to write an IP address (RFC 5952), so that the same address is found twice.
    private static func canonical(_ text: Substring) -> String {
        var room = in6_addr()
        let family = text.contains(":") ? AF_INET6 : AF_INET
        guard inet_pton(family, String(text), &room) == 1 else { return String(text) }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            inet_ntop(family, &room, buffer.baseAddress, 64).map { String(cString: $0) } ?? String(text)
        }
    }

    /// Labels of letters, digits, "-" and "_", at most 63 bytes each, 253 in all; the last label is not
    /// a number, so that a mistyped IPv4 address does not become a name to look up.
    static func isName(_ text: Substring) -> Bool {
        guard text.utf8.count <= 253 else { return false }
        let labels = (text.hasSuffix(".") ? text.dropLast() : text)
            .split(separator: ".", omittingEmptySubsequences: false)
        guard let last = labels.last, !last.utf8.allSatisfy({ $0 &- 48 < 10 }) else { return false }
        return labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy {
                    $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || $0 == UInt8(ascii: "-")
                        || $0 == UInt8(ascii: "_")
                }
        }
    }
}
