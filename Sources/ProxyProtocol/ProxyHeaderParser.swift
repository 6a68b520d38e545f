// Reading a PROXY header from the first bytes of a connection.
//
// Called again with all bytes from the start whenever more have arrived: a header is small, and no
// state between calls means no state to get wrong. Wrong input is refused at the first byte that
// cannot belong to a header, so a client speaking another protocol is not kept waiting.

import WeirAddresses

extension ProxyHeader {
    /// Parses the header at `bytes`, version 1 or 2.
    ///
    /// - Parameters:
    ///   - bytes: the first byte the peer sent.
    ///   - count: how many bytes are there; more than the header's are allowed.
    public static func parse(_ bytes: UnsafePointer<UInt8>, count: Int) -> ProxyHeaderResult {
        guard count > 0 else { return .needMore }
        return bytes[0] == UInt8(ascii: "P") ? parseV1(bytes, count) : parseV2(bytes, count)
    }

    // MARK: Version 1

    private static func parseV1(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> ProxyHeaderResult {
        if let wrong = mismatch(bytes, count, "PROXY ") { return .malformed(position: wrong) }
        // One line of visible characters and single spaces, at most 107 bytes with its CR LF.
        var end = 0
        while true {
            guard end < v1BytesMax else { return .malformed(position: v1BytesMax - 1) }
            guard end < count else { return .needMore }
            let byte = bytes[end]
            if byte == 13 { break }
            guard byte >= 0x20, byte < 0x7f else { return .malformed(position: end) }
            end += 1
        }
        guard end + 1 < v1BytesMax else { return .malformed(position: end) }
        guard end + 1 < count else { return .needMore }
        guard bytes[end + 1] == 10 else { return .malformed(position: end + 1) }
        return parseV1Line(bytes, end)
    }

    /// The line without CR LF.
    private static func parseV1Line(_ bytes: UnsafePointer<UInt8>, _ end: Int) -> ProxyHeaderResult {
        let consumed = end + 2
        var at = 6
        if mismatch(bytes + at, end - at, "UNKNOWN") == nil, end - at >= 7 {
            // The rest must be ignored (§2.1), but it must be another word.
            guard end - at == 7 || bytes[at + 7] == 0x20 else { return .malformed(position: at + 7) }
            return .complete(
                ProxyHeader(command: .proxy, family: .unknown, version: 1), consumed: consumed)
        }
        guard end - at >= 5 else { return .malformed(position: at) }
        let isV6: Bool
        if mismatch(bytes + at, 5, "TCP4 ") == nil {
            isV6 = false
        } else if mismatch(bytes + at, 5, "TCP6 ") == nil {
            isV6 = true
        } else {
            return .malformed(position: at)
        }
        at += 5

        var header = ProxyHeader(command: .proxy, family: .ip, version: 1)
        guard let source = address(bytes, &at, end, isV6: isV6) else { return .malformed(position: at) }
        guard let destination = address(bytes, &at, end, isV6: isV6) else { return .malformed(position: at) }
        guard let sourcePort = port(bytes, &at, end, isLast: false) else { return .malformed(position: at) }
        guard let destinationPort = port(bytes, &at, end, isLast: true) else {
            return .malformed(position: at)
        }
        header.source = source
        header.destination = destination
        header.sourcePort = sourcePort
        header.destinationPort = destinationPort
        return .complete(header, consumed: consumed)
    }

    /// An address and the space after it; on nil `at` is the offending byte.
    private static func address(
        _ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, isV6: Bool
    ) -> IPAddress? {
        var stop = at
        var hasColon = false
        while stop < end, bytes[stop] != 0x20 {
            if bytes[stop] == UInt8(ascii: ":") { hasColon = true }
            stop += 1
        }
        guard hasColon == isV6 || stop == at,
            let address = IPAddress(bytes: UnsafeBufferPointer(start: bytes + at, count: stop - at))
        else { return nil }
        at = stop
        guard stop < end else { return nil }
        at += 1
        return address
    }

    /// A decimal port without leading zeros, followed by a space or, for the last one, the end.
    private static func port(
        _ bytes: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int, isLast: Bool
    ) -> UInt16? {
        let start = at
        var value = 0
        while at < end, bytes[at] &- 48 < 10 {
            guard at == start || value > 0 else { return nil }
            value = value * 10 + Int(bytes[at] &- 48)
            guard value <= 65535 else { return nil }
            at += 1
        }
        guard at > start else { return nil }
        if isLast { return at == end ? UInt16(value) : nil }
        guard at < end, bytes[at] == 0x20 else { return nil }
        at += 1
        return UInt16(value)
    }

    // MARK: Version 2

    private static func parseV2(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> ProxyHeaderResult {
        if let wrong = mismatch(bytes, count, signature) { return .malformed(position: wrong) }
        guard count > 12 else { return .needMore }
        guard bytes[12] >> 4 == 2, let command = Command(rawValue: bytes[12] & 15) else {
            return .malformed(position: 12)
        }
        guard count > 13 else { return .needMore }
        // Family and transport of LOCAL are to be ignored (§2.2); otherwise unknown values are refused.
        let familyBits = bytes[13] >> 4
        let transport = bytes[13] & 15
        if command == .proxy, familyBits > 3 || transport > 2 { return .malformed(position: 13) }
        guard count >= 16 else { return .needMore }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        let total = 16 + length
        guard total <= bytesMax else { return .malformed(position: 14) }

        var header = ProxyHeader(command: command, family: .unknown, version: 2)
        // AF_UNSPEC or an unspecified transport: the whole block is skipped, whatever it holds (§2.2).
        let hasAddresses = command == .proxy && familyBits != 0 && transport != 0
        let addressBytes = !hasAddresses ? 0 : familyBits == 1 ? 12 : familyBits == 2 ? 36 : 216
        guard length >= addressBytes else { return .malformed(position: 14) }
        guard count >= total else { return .needMore }
        guard hasAddresses else { return .complete(header, consumed: total) }

        header.isDatagram = transport == 2
        let block = UnsafeRawPointer(bytes + 16)
        switch familyBits {
        case 1:
            header.family = .ip
            header.source = IPAddress(v4: big(block, UInt32.self))
            header.destination = IPAddress(v4: big(block + 4, UInt32.self))
            header.sourcePort = big(block + 8, UInt16.self)
            header.destinationPort = big(block + 10, UInt16.self)
        case 2:
            header.family = .ip
            header.source = IPAddress(high: big(block, UInt64.self), low: big(block + 8, UInt64.self))
            header.destination = IPAddress(
                high: big(block + 16, UInt64.self), low: big(block + 24, UInt64.self))
            header.sourcePort = big(block + 32, UInt16.self)
            header.destinationPort = big(block + 34, UInt16.self)
        default:
            header.family = .unix
        }
        if let wrong = checkTLVs(bytes, from: 16 + addressBytes, to: total) {
            return .malformed(position: wrong)
        }
        return .complete(header, consumed: total)
    }

    /// Walks the type-length-value records; returns the position of the first wrong one.
    private static func checkTLVs(_ bytes: UnsafePointer<UInt8>, from start: Int, to end: Int) -> Int? {
        var at = start
        var isChecksumSeen = false
        while at < end {
            guard end - at >= 3 else { return at }
            let length = Int(bytes[at + 1]) << 8 | Int(bytes[at + 2])
            guard length <= end - at - 3 else { return at + 1 }
            if bytes[at] == 0x03 {
                // PP2_TYPE_CRC32C must be verified when present (§2.2.3).
                guard length == 4, !isChecksumSeen else { return at }
                isChecksumSeen = true
                let sent = big(UnsafeRawPointer(bytes + at + 3), UInt32.self)
                guard crc32c(bytes, count: end, zeroed: at + 3) == sent else { return at + 3 }
            }
            at += 3 + length
        }
        return nil
    }

    // MARK: Bytes

    @inline(__always)
    private static func big<T: FixedWidthInteger & BitwiseCopyable>(_ at: UnsafeRawPointer, _: T.Type) -> T {
        T(bigEndian: at.loadUnaligned(as: T.self))
    }

    /// The first position among the bytes present where they differ from the literal, or nil.
    private static func mismatch(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, _ literal: StaticString
    ) -> Int? {
        let wanted = literal.utf8Start
        var i = 0
        while i < min(count, literal.utf8CodeUnitCount) {
            if bytes[i] != wanted[i] { return i }
            i += 1
        }
        return nil
    }

    /// CRC-32C (RFC 4960 appendix B) with four bytes at `zeroed` read as zero. Bit by bit: a checksum
    /// is rare, comes once per connection and covers at most 4 KiB.
    static func crc32c(_ bytes: UnsafePointer<UInt8>, count: Int, zeroed: Int) -> UInt32 {
        var crc = UInt32.max
        var i = 0
        while i < count {
            crc ^= i >= zeroed && i < zeroed + 4 ? 0 : UInt32(bytes[i])
            var bit = 0
            while bit < 8 {
                crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1
                bit += 1
            }
            i += 1
        }
        return ~crc
    }
}
