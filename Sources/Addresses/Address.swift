// Network addresses as plain values.
//
// An IP address is always 128 bits: IPv4 is held in its IPv4-mapped form (RFC 4291 §2.5.5.2), so
// that a client arriving over a dual-stack socket and one over an IPv4 socket compare equal and one
// CIDR test serves both.

import Glibc

/// An IPv4 or IPv6 address. 16 bytes, no references.
public struct IPAddress: Hashable, Sendable, BitwiseCopyable {
    /// The first 64 bits in host order.
    public var high: UInt64
    /// The last 64 bits in host order.
    public var low: UInt64

    @inlinable
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// An IPv4 address given in host order (127.0.0.1 = 0x7f000001).
    @inlinable
    public init(v4 value: UInt32) {
        self.init(high: 0, low: 0x0000_ffff_0000_0000 | UInt64(value))
    }

    /// `::`, used where no address is known.
    public static let unspecified = IPAddress(high: 0, low: 0)

    /// The address of all clients of Unix sockets, written "unix:" as nginx does. Its bits are a multicast
    /// address of the reserved scope 0 (RFC 4291 §2.7), which no packet can come from.
    public static let unix = IPAddress(high: 0xff00 << 48, low: 0x75_6e69_783a)

    /// What is written for `unix`.
    public static let unixText: StaticString = "unix:"

    /// `::` or `0.0.0.0`: every address of the machine.
    public var isWildcard: Bool { self == .unspecified || self == IPAddress(v4: 0) }

    /// Whether this is an IPv4 address.
    @inlinable public var isV4: Bool { high == 0 && low >> 32 == 0xffff }

    /// Parses "192.0.2.1", "2001:db8::1" or "[2001:db8::1]"; nil for anything else.
    public init?(_ text: some StringProtocol) {
        var text = String(text)
        let parsed: IPAddress? = text.withUTF8 { bytes in
            // Brackets belong to IPv6 literals only (RFC 3986 §3.2.2).
            if bytes.count > 2, bytes[0] == UInt8(ascii: "["), bytes[bytes.count - 1] == UInt8(ascii: "]") {
                let inside = UnsafeBufferPointer(rebasing: bytes[1..<bytes.count - 1])
                return inside.contains(UInt8(ascii: ":")) ? IPAddress(bytes: inside) : nil
            }
            return IPAddress(bytes: bytes)
        }
        guard let parsed else { return nil }
        self = parsed
    }

    /// The address of a client as logs and configurations write it: an IP address, "unix:" or "unix".
    public init?(client text: String) {
        if text == "unix" || text == Self.unixText.description {
            self = .unix
        } else if let address = IPAddress(text) {
            self = address
        } else {
            return nil
        }
    }

    /// Parses "192.0.2.1" or "2001:db8::1" (no brackets, no zone, no leading zeros in IPv4) from
    /// bytes of a message; nil for anything else. Does not allocate.
    public init?(bytes: UnsafeBufferPointer<UInt8>) {
        // inet_pton(3) reads up to a zero byte: one inside the text would hide what follows it.
        guard let start = bytes.baseAddress, bytes.count < Self.textBytesMax, !bytes.contains(0) else {
            return nil
        }
        let parsed: IPAddress? = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Self.textBytesMax) {
            text -> IPAddress? in
            guard let room = text.baseAddress else { return nil }
            memcpy(room, start, bytes.count)
            room[bytes.count] = 0
            var v4 = in_addr()
            if inet_pton(AF_INET, room, &v4) == 1 { return IPAddress(v4: UInt32(bigEndian: v4.s_addr)) }
            var v6 = in6_addr()
            if inet_pton(AF_INET6, room, &v6) == 1 { return IPAddress(v6) }
            return nil
        }
        guard let parsed else { return nil }
        self = parsed
    }

    /// From the kernel's form.
    public init(_ v6: in6_addr) {
        let (high, low) = withUnsafeBytes(of: v6) {
            ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        self.init(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low))
    }

    /// In the kernel's form; IPv4 mapped.
    public var in6: in6_addr {
        var result = in6_addr()
        withUnsafeMutableBytes(of: &result) {
            $0.storeBytes(of: high.bigEndian, as: UInt64.self)
            $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return result
    }

    /// The longest text of an address ("ffff:…:255.255.255.255"), with room for a terminating zero.
    public static let textBytesMax = 46

    /// Writes the address as text without a terminating zero; returns the number of bytes (≤ 45).
    public func write(to buffer: UnsafeMutablePointer<UInt8>) -> Int {
        if self == .unix {
            memcpy(buffer, Self.unixText.utf8Start, Self.unixText.utf8CodeUnitCount)
            return Self.unixText.utf8CodeUnitCount
        }
        if isV4 {
            // By hand: inet_ntop goes through printf, and this runs for every forwarded request.
            var count = 0
            var shift: UInt64 = 24
            while true {
                let octet = UInt8(truncatingIfNeeded: low >> shift)
                if octet >= 100 {
                    buffer[count] = 48 &+ octet / 100
                    count &+= 1
                }
                if octet >= 10 {
                    buffer[count] = 48 &+ octet / 10 % 10
                    count &+= 1
                }
                buffer[count] = 48 &+ octet % 10
                count &+= 1
                if shift == 0 { return count }
                buffer[count] = UInt8(ascii: ".")
                count &+= 1
                shift &-= 8
            }
        }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Self.textBytesMax) { text in
            var address = in6
            inet_ntop(AF_INET6, &address, text.baseAddress!, socklen_t(text.count))
            let count = strlen(text.baseAddress!)
            memcpy(buffer, text.baseAddress!, count)
            return count
        }
    }
}

extension IPAddress: CustomStringConvertible {
    public var description: String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.textBytesMax) { buffer in
            let count = write(to: buffer.baseAddress!)
            return String(decoding: buffer[..<count], as: UTF8.self)
        }
    }
}

/// A block of addresses, "10.0.0.0/8" or "2001:db8::/32"; a bare address is a block of one, and "unix" is the
/// clients of Unix sockets.
public struct AddressBlock: Hashable, Sendable, BitwiseCopyable {
    public let base: IPAddress
    /// Prefix length counted in the 128-bit form (an IPv4 /8 is 104).
    public let prefix: UInt8

    /// Parses CIDR notation; nil when malformed or when bits are set after the prefix. The prefix of
    /// an address written in IPv6 form counts 128 bits, also for "::ffff:10.0.0.0/104".
    public init?(_ text: some StringProtocol) {
        if text == "unix" {
            self.base = .unix
            self.prefix = 128
            return
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPAddress(first) else { return nil }
        var prefix = 128
        if parts.count == 2 {
            guard let written = UInt8(parts[1]), parts[1].utf8.allSatisfy({ $0 &- 48 < 10 }),
                parts[1].utf8.count == 1 || parts[1].utf8.first != UInt8(ascii: "0")
            else { return nil }
            let isWrittenAsV6 = first.utf8.contains(UInt8(ascii: ":"))
            prefix = Int(written) + (address.isV4 && !isWrittenAsV6 ? 96 : 0)
            guard prefix <= 128 else { return nil }
        }
        let (highMask, lowMask) = Self.masks(prefix)
        guard address.high & ~highMask == 0, address.low & ~lowMask == 0 else { return nil }
        self.base = address
        self.prefix = UInt8(prefix)
    }

    private static func masks(_ prefix: Int) -> (UInt64, UInt64) {
        let high = prefix >= 64 ? UInt64.max : prefix == 0 ? 0 : ~(UInt64.max >> UInt64(prefix))
        let low = prefix <= 64 ? 0 : prefix == 128 ? UInt64.max : ~(UInt64.max >> UInt64(prefix - 64))
        return (high, low)
    }

    public func contains(_ address: IPAddress) -> Bool {
        let (high, low) = Self.masks(Int(prefix))
        return address.high & high == base.high && address.low & low == base.low
    }
}

/// Where a socket listens or connects: an IP address with a port, or a Unix socket path.
public enum SocketAddress: Hashable, Sendable {
    case ip(IPAddress, port: UInt16)
    /// An IPv6 address of one interface (RFC 4007), by the interface's index: to listen on.
    case zoned(IPAddress, port: UInt16, zone: UInt32)
    /// A path of at most 107 bytes (sun_path), or "@name" for a name in the abstract namespace, which is no file.
    case unix(path: String)

    public var port: UInt16 {
        switch self {
        case .ip(_, let port), .zoned(_, let port, _): port
        case .unix: 0
        }
    }

    /// Whether both cannot be listened on independently: one port, and the same address or all of them.
    public func overlaps(_ other: SocketAddress) -> Bool {
        switch (self, other) {
        case (.ip(let one, let port), .ip(let two, let otherPort)):
            port == otherPort && (one == two || one.isWildcard || two.isWildcard)
        case (.zoned(_, let port, _), .ip(let one, let otherPort)),
            (.ip(let one, let otherPort), .zoned(_, let port, _)):
            port == otherPort && one == .unspecified
        default: self == other
        }
    }

    /// The address family to give to socket(2). IPv4 addresses use AF_INET.
    public var family: Int32 {
        switch self {
        case .ip(let address, _): address.isV4 ? AF_INET : AF_INET6
        case .zoned: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// Calls body with the address in the kernel's form.
    public func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        switch self {
        case .ip(let address, let port) where address.isV4:
            var raw = sockaddr_in()
            raw.sin_family = sa_family_t(AF_INET)
            raw.sin_port = port.bigEndian
            raw.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.low).bigEndian
            return withUnsafePointer(to: &raw) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .ip(let address, let port): return Self.withV6(address, port, zone: 0, body)
        case .zoned(let address, let port, let zone): return Self.withV6(address, port, zone: zone, body)
        case .unix(let path):
            var raw = sockaddr_un()
            raw.sun_family = sa_family_t(AF_UNIX)
            var byteCount = MemoryLayout<sockaddr_un>.size
            withUnsafeMutableBytes(of: &raw.sun_path) { room in
                for (i, byte) in path.utf8.prefix(room.count - 1).enumerated() { room[i] = byte }
                guard path.utf8.first == UInt8(ascii: "@") else { return }
                // An abstract name begins with a zero byte and is as long as the length says (unix(7)).
                room[0] = 0
                byteCount = MemoryLayout<sa_family_t>.size + min(path.utf8.count, room.count - 1)
            }
            return withUnsafePointer(to: &raw) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(byteCount)) }
            }
        }
    }

    private static func withV6<R>(
        _ address: IPAddress, _ port: UInt16, zone: UInt32, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
    ) -> R {
        var raw = sockaddr_in6()
        raw.sin6_family = sa_family_t(AF_INET6)
        raw.sin6_port = port.bigEndian
        raw.sin6_addr = address.in6
        raw.sin6_scope_id = zone
        return withUnsafePointer(to: &raw) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }

    /// From "192.0.2.1", "2001:db8::1" or "fe80::1%eth0"; nil also for an interface that is not there.
    public init?(host: String, port: UInt16) {
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPAddress(first) else { return nil }
        if parts.count == 1 {
            self = .ip(address, port: port)
            return
        }
        let zone = UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
        guard zone > 0, !address.isV4 else { return nil }
        self = .zoned(address, port: port, zone: zone)
    }

    /// Reads what accept(2), getpeername(2) or getsockname(2) filled in.
    public init(_ storage: sockaddr_storage) {
        switch Int32(storage.ss_family) {
        case AF_INET:
            let raw = withUnsafeBytes(of: storage) { $0.load(as: sockaddr_in.self) }
            self = .ip(
                IPAddress(v4: UInt32(bigEndian: raw.sin_addr.s_addr)), port: UInt16(bigEndian: raw.sin_port))
        case AF_INET6:
            let raw = withUnsafeBytes(of: storage) { $0.load(as: sockaddr_in6.self) }
            self = .ip(IPAddress(raw.sin6_addr), port: UInt16(bigEndian: raw.sin6_port))
        default:
            // Empty for the unnamed side of a connection and for abstract names.
            self = .unix(
                path: withUnsafeBytes(of: storage) {
                    let path = $0.dropFirst(MemoryLayout<sa_family_t>.size)
                    return String(decoding: path.prefix(107).prefix { $0 != 0 }, as: UTF8.self)
                })
        }
    }
}

extension SocketAddress: CustomStringConvertible {
    /// "192.0.2.1:80", "[2001:db8::1]:80" or "unix:/run/app.sock".
    public var description: String {
        switch self {
        case .ip(let address, let port): address.isV4 ? "\(address):\(port)" : "[\(address)]:\(port)"
        case .zoned(let address, let port, let zone): "[\(address)%\(Self.name(of: zone))]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    private static func name(of zone: UInt32) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IF_NAMESIZE)) { room in
            if_indextoname(zone, room.baseAddress).map { String(cString: $0) } ?? "\(zone)"
        }
    }
}
