// Reads the server name and ALPN of a ClientHello without taking part in the handshake (RFC 8446 §4.1.2,
// RFC 6066 §3, RFC 7301 §3.1).
//
// For TCP listeners that choose a service by server name and pass the bytes on untouched. The input
// comes from strangers: every length is checked against what encloses it, and the whole hello has a
// bound. It does not judge what it does not need; that is the server's behind.

/// A ClientHello, as far as routing needs it.
public struct ClientHello: Sendable, Equatable {
    public enum Result: Sendable, Equatable {
        /// It goes on: ask again with more bytes from the same beginning.
        case needMore
        /// A complete hello.
        case found(ClientHello)
        /// These bytes are no ClientHello of TLS; the position of the first wrong byte.
        case malformed(position: Int)
    }

    /// In lower case; nil when the client named none.
    public var serverName: String?
    /// ALPN names in the client's order, as text.
    public var alpn: [String] = []

    /// Bytes of all records up to the end of the hello; more is malformed.
    public static let bytesMax = 16_384 + 5
    static let protocolsMax = 32

    /// Reads a hello from the beginning of a connection.
    public static func parse(_ bytes: UnsafePointer<UInt8>, count: Int) -> Result {
        ClientHelloParser(bytes: bytes, count: count).parse()
    }
}

private struct ClientHelloParser {
    let bytes: UnsafePointer<UInt8>
    let count: Int

    private static let recordHeader = 5
    private static let handshakeHeader = 4
    private static let messageMax = 16_384

    /// Collects the handshake message from its records; a hello may be cut into several.
    func parse() -> ClientHello.Result {
        var at = 0
        var message: [UInt8] = []
        var length = 0
        while true {
            // Each byte is judged as soon as it is there: garbage is not waited for.
            if at < count, bytes[at] != 22 { return .malformed(position: at) }
            if at + 1 < count, bytes[at + 1] != 3 { return .malformed(position: at + 1) }
            guard at + Self.recordHeader <= count else { return .needMore }
            let recordLength = Int(bytes[at + 3]) << 8 | Int(bytes[at + 4])
            if recordLength == 0 || recordLength > 16_384 { return .malformed(position: at + 3) }
            let start = at + Self.recordHeader
            let available = min(recordLength, count - start)
            let before = message.count
            message.append(contentsOf: UnsafeBufferPointer(start: bytes + start, count: available))
            if before == 0, let type = message.first, type != 1 { return .malformed(position: start) }
            if length == 0, message.count >= Self.handshakeHeader {
                let body = Int(message[1]) << 16 | Int(message[2]) << 8 | Int(message[3])
                length = Self.handshakeHeader + body
                // The length's first byte may lie in an earlier record; this one completes it.
                if length > Self.messageMax { return .malformed(position: start) }
            }
            if length > 0, message.count >= length { break }
            if available < recordLength { return .needMore }
            at = start + recordLength
            if at >= ClientHello.bytesMax { return .malformed(position: start) }
        }
        var hello = ClientHello()
        var reader = Reader(bytes: message, at: Self.handshakeHeader, end: length)
        if read(&reader, &hello) { return .found(hello) }
        return .malformed(position: position(ofMessageByte: min(reader.at, length - 1)))
    }

    /// Where a byte of the message lies among the records. What follows the message has no part in it.
    private func position(ofMessageByte wanted: Int) -> Int {
        var at = 0
        var seen = 0
        while at + Self.recordHeader <= count {
            let length = Int(bytes[at + 3]) << 8 | Int(bytes[at + 4])
            if wanted < seen + length {
                return at + Self.recordHeader + wanted - seen
            }
            seen += length
            at += Self.recordHeader + length
        }
        return max(0, count - 1)
    }

    private func read(_ reader: inout Reader, _ hello: inout ClientHello) -> Bool {
        // legacy_version, random
        guard reader.skip(34), reader.skipVector(lengthBytes: 1, max: 32),
            reader.skipVector(lengthBytes: 2, max: 65_534), reader.skipVector(lengthBytes: 1, max: 255)
        else { return false }
        if reader.isAtEnd { return true }
        guard var extensions = reader.vector(lengthBytes: 2), reader.isAtEnd else { return false }
        var hasName = false
        var hasALPN = false
        while !extensions.isAtEnd {
            let place = extensions.at
            guard let type = extensions.number(2), var body = extensions.vector(lengthBytes: 2) else {
                reader.at = place
                return false
            }
            let isRight: Bool
            switch type {
            case 0:
                isRight = !hasName && readServerName(&body, &hello)
                hasName = true
            case 16:
                isRight = !hasALPN && readALPN(&body, &hello)
                hasALPN = true
            default: isRight = true
            }
            if !isRight {
                reader.at = place
                return false
            }
        }
        return true
    }

    private func readServerName(_ body: inout Reader, _ hello: inout ClientHello) -> Bool {
        guard var list = body.vector(lengthBytes: 2), body.isAtEnd, !list.isAtEnd else { return false }
        // One name per type, and one type: host_name (RFC 6066 §3).
        guard list.number(1) == 0, let name = list.vector(lengthBytes: 2), list.isAtEnd else { return false }
        guard name.end > name.at, name.end - name.at <= 255 else { return false }
        var text: [UInt8] = []
        for byte in name.bytes[name.at..<name.end] {
            switch byte {
            case 0x41...0x5a: text.append(byte | 0x20)
            case 0x61...0x7a, 0x30...0x39, 0x2d, 0x2e, 0x5f: text.append(byte)
            default: return false
            }
        }
        if text.count > 1, text.last == 0x2e { text.removeLast() }
        hello.serverName = String(decoding: text, as: UTF8.self)
        return true
    }

    private func readALPN(_ body: inout Reader, _ hello: inout ClientHello) -> Bool {
        guard var list = body.vector(lengthBytes: 2), body.isAtEnd, !list.isAtEnd else { return false }
        while !list.isAtEnd {
            guard let name = list.vector(lengthBytes: 1), name.end > name.at else { return false }
            if hello.alpn.count < ClientHello.protocolsMax {
                hello.alpn.append(String(decoding: name.bytes[name.at..<name.end], as: UTF8.self))
            }
        }
        return true
    }
}

/// A range of bytes read from its beginning; every step stays within it.
private struct Reader {
    let bytes: [UInt8]
    var at: Int
    let end: Int

    var isAtEnd: Bool { at == end }

    mutating func skip(_ count: Int) -> Bool {
        guard end - at >= count else { return false }
        at += count
        return true
    }

    /// A number in network order.
    mutating func number(_ size: Int) -> Int? {
        guard end - at >= size else { return nil }
        var value = 0
        for i in 0..<size { value = value << 8 | Int(bytes[at + i]) }
        at += size
        return value
    }

    /// What a length in front of it encloses.
    mutating func vector(lengthBytes: Int) -> Reader? {
        let start = at
        guard let length = number(lengthBytes), end - at >= length else {
            at = start
            return nil
        }
        let inner = Reader(bytes: bytes, at: at, end: at + length)
        at += length
        return inner
    }

    mutating func skipVector(lengthBytes: Int, max: Int) -> Bool {
        let start = at
        guard let inner = vector(lengthBytes: lengthBytes), inner.end - inner.at <= max else {
            at = start
            return false
        }
        return true
    }
}
