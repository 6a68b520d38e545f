// Addresses and blocks of them, as texts of the configuration and of requests.
//
// 128 bits always: IPv4 in its mapped form (RFC 4291 §2.5.5.2), so that one test serves clients of both kinds.

import Glibc

enum AddressText {
    /// The longest text of an address, with room for a terminating zero.
    static let bytesMax = 46

    /// "192.0.2.1" or "2001:db8::1"; no brackets, no zone, no leading zeros in IPv4. Does not allocate.
    static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> (high: UInt64, low: UInt64)? {
        // inet_pton(3) reads up to a zero byte: one inside the text would hide what follows it.
        guard let start = bytes.baseAddress, bytes.count < bytesMax, !bytes.contains(0) else { return nil }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytesMax) { room in
            guard let text = room.baseAddress else { return nil }
            memcpy(text, start, bytes.count)
            text[bytes.count] = 0
            var v4 = in_addr()
            if inet_pton(AF_INET, text, &v4) == 1 {
                return (0, 0x0000_ffff_0000_0000 | UInt64(UInt32(bigEndian: v4.s_addr)))
            }
            var v6 = in6_addr()
            guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
            return withUnsafeBytes(of: v6) {
                (
                    UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                )
            }
        }
    }

    static func parse(_ bytes: some Collection<UInt8>) -> (high: UInt64, low: UInt64)? {
        Array(bytes).withUnsafeBufferPointer { parse($0) }
    }

    /// A bare address is a block of one.
    static func block(_ bytes: [UInt8], at span: Range<Int>) throws(ExpressionError) -> Block {
        let text = String(decoding: bytes, as: UTF8.self)
        let expectation = "an address or a block such as \"10.0.0.0/8\" or \"2001:db8::/32\""
        let parts = bytes.split(separator: UInt8(ascii: "/"), maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = parse(first) else {
            throw ExpressionError(span, "\"\(text)\" is no address", expected: expectation)
        }
        let isV4 = !first.contains(UInt8(ascii: ":"))
        guard parts.count == 2 else { return Block(high: address.high, low: address.low, prefix: 128) }
        guard parts[1].count <= 3, let written = Int(String(decoding: parts[1], as: UTF8.self)),
            parts[1].allSatisfy({ $0 &- 48 < 10 }), written <= (isV4 ? 32 : 128)
        else {
            throw ExpressionError(
                span, "\"\(text)\" has no prefix length (0 to \(isV4 ? 32 : 128))", expected: expectation)
        }
        let prefix = written + (isV4 ? 96 : 0)
        let (highMask, lowMask) = Block.masks(prefix)
        guard address.high & ~highMask == 0, address.low & ~lowMask == 0 else {
            // 10.1.2.3/8 is more often a slip than a way to write 10.0.0.0/8.
            let base = Self.text(address.high & highMask, address.low & lowMask)
            throw ExpressionError(
                span, "\"\(text)\" has bits set after its prefix", expected: expectation,
                meant: "\"\(base)/\(written)\"")
        }
        return Block(high: address.high, low: address.low, prefix: UInt8(prefix))
    }

    /// Writes an address as text; returns the number of bytes. The memory has room for `bytesMax`.
    static func write(_ high: UInt64, _ low: UInt64, to buffer: UnsafeMutablePointer<UInt8>) -> Int {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytesMax) { room in
            guard let text = room.baseAddress else { return 0 }
            if high == 0, low >> 32 == 0xffff {
                var v4 = in_addr(s_addr: UInt32(truncatingIfNeeded: low).bigEndian)
                inet_ntop(AF_INET, &v4, text, socklen_t(bytesMax))
            } else {
                var v6 = in6_addr()
                withUnsafeMutableBytes(of: &v6) {
                    $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                    $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
                }
                inet_ntop(AF_INET6, &v6, text, socklen_t(bytesMax))
            }
            let count = strlen(text)
            memcpy(buffer, text, count)
            return count
        }
    }

    static func text(_ high: UInt64, _ low: UInt64) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: bytesMax) { room in
            guard let start = room.baseAddress else { return "" }
            return String(
                decoding: UnsafeBufferPointer(start: start, count: write(high, low, to: start)), as: UTF8.self
            )
        }
    }
}
