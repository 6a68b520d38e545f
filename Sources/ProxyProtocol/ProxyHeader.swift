// The PROXY protocol header: who really connected, told by the proxy in front before the first byte.
//
// haproxy proxy-protocol.txt, version 1 (§2.1, text) and version 2 (§2.2, binary). The header is
// believed only on listeners that were told to expect it; this module does not decide that, it has no
// sockets. TLVs are checked for bounds and skipped; only the checksum (§2.2.3) is interpreted.

import WeirAddresses

/// What a PROXY header says. Plain data, no references.
public struct ProxyHeader: Equatable, Sendable, BitwiseCopyable {
    /// What the sender does with the connection.
    public enum Command: UInt8, Sendable, BitwiseCopyable {
        /// The sender's own connection (a health check): use the socket's addresses.
        case local = 0
        /// Relayed on behalf of `source`.
        case proxy = 1
    }

    /// What kind of addresses came along.
    public enum Family: UInt8, Sendable, BitwiseCopyable {
        /// None usable (v1 UNKNOWN, v2 LOCAL and AF_UNSPEC): use the socket's addresses.
        case unknown
        /// IPv4 or IPv6: `source` and `destination` are set.
        case ip
        /// Unix sockets: the paths are skipped.
        case unix
    }

    public var command: Command
    public var family: Family
    /// The transport is a datagram one (v2 only).
    public var isDatagram = false
    /// 1 or 2.
    public var version: UInt8
    public var source = IPAddress.unspecified
    public var destination = IPAddress.unspecified
    public var sourcePort: UInt16 = 0
    public var destinationPort: UInt16 = 0

    /// A header without addresses: LOCAL in version 2, UNKNOWN in version 1.
    public static func local(version: UInt8) -> ProxyHeader {
        ProxyHeader(command: .local, family: .unknown, version: version)
    }

    init(command: Command, family: Family, version: UInt8) {
        self.command = command
        self.family = family
        self.version = version
    }

    /// A header for a relayed TCP connection.
    public init(
        source: IPAddress, sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16,
        version: UInt8 = 2
    ) {
        self.init(command: .proxy, family: .ip, version: version)
        self.source = source
        self.sourcePort = sourcePort
        self.destination = destination
        self.destinationPort = destinationPort
    }

    /// A header for a relayed connection as accept(2) and getsockname(2) report it. Unless both sides
    /// are IP addresses it carries none (LOCAL or UNKNOWN), as the receiver could not use them.
    public init(source: SocketAddress, destination: SocketAddress, version: UInt8 = 2) {
        guard case .ip(let from, let fromPort) = source, case .ip(let to, let toPort) = destination else {
            self = .local(version: version)
            return
        }
        self.init(
            source: from, sourcePort: fromPort, destination: to, destinationPort: toPort, version: version)
    }

    /// The longest version 1 line, CR LF included.
    public static let v1BytesMax = 107
    /// The longest header accepted, TLVs included. Senders in the field stay below 1 KiB.
    public static let bytesMax = 4096
    /// Room that `write` never exceeds.
    public static let writtenBytesMax = v1BytesMax

    static let signature: StaticString = "\r\n\r\n\0\r\nQUIT\n"
}

/// What the bytes received so far mean.
public enum ProxyHeaderResult: Equatable, Sendable, BitwiseCopyable {
    /// A correct beginning; read more. Never returned for `ProxyHeader.bytesMax` bytes or more.
    case needMore
    /// A whole header of `consumed` bytes; what follows belongs to the connection.
    case complete(ProxyHeader, consumed: Int)
    /// Not a PROXY header, or a wrong one; `position` is the offending byte, counted from 0.
    /// The connection must be closed.
    case malformed(position: Int)
}
