// The PROXY protocol parser at every byte boundary, on wrong input, and against the writer.

import WeirAddresses
import Testing

@testable import WeirProxyProtocol

private func parse(_ bytes: [UInt8]) -> ProxyHeaderResult {
    // An exact copy, so that AddressSanitizer sees a read past the end.
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
    defer { copy.deallocate() }
    copy.initialize(from: bytes, count: bytes.count)
    return ProxyHeader.parse(copy, count: bytes.count)
}

private func parse(_ text: String) -> ProxyHeaderResult { parse(Array(text.utf8)) }

private func written(_ header: ProxyHeader, capacity: Int = ProxyHeader.writtenBytesMax) -> [UInt8]? {
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: max(capacity, 1))
    defer { room.deallocate() }
    return header.write(to: room, capacity: capacity).map {
        Array(UnsafeBufferPointer(start: room, count: $0))
    }
}

private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

private let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

private func v2(_ command: UInt8, _ family: UInt8, _ block: [UInt8]) -> [UInt8] {
    signature + [command, family, UInt8(block.count >> 8), UInt8(block.count & 255)] + block
}

private let v4Block: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb]

/// Every proper prefix asks for more, the whole completes, and bytes after it are left alone.
private func expectIncremental(_ bytes: [UInt8], _ check: (ProxyHeader) -> Void) {
    for count in 0..<bytes.count {
        #expect(parse(Array(bytes[..<count])) == .needMore, "after \(count) bytes")
    }
    for rest in [[], Array("GET / HTTP/1.1\r\n".utf8), [0], bytes] {
        guard case .complete(let header, let consumed) = parse(bytes + rest) else {
            Issue.record("not complete: \(parse(bytes + rest))")
            return
        }
        #expect(consumed == bytes.count)
        check(header)
    }
}

@Suite struct ProxyHeaderV1Tests {
    @Test func tcp4() throws {
        let source = try address("192.0.2.1")
        let destination = try address("198.51.100.7")
        expectIncremental(Array("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n".utf8)) {
            #expect($0.version == 1 && $0.command == .proxy && $0.family == .ip)
            #expect($0.source == source && $0.sourcePort == 56324)
            #expect($0.destination == destination && $0.destinationPort == 443)
        }
    }

    @Test func tcp6LongestLine() throws {
        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        let line = "PROXY TCP6 \(all) \(all) 65535 65535\r\n"
        #expect(line.utf8.count == 104)
        let ones = try address(all)
        expectIncremental(Array(line.utf8)) {
            #expect($0.source == ones && $0.destination == ones)
            #expect($0.sourcePort == 65535 && $0.destinationPort == 65535)
        }
    }

    @Test func unknownIgnoresTheRest() {
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:f::ffff nonsense 0 x\r\n"] {
            expectIncremental(Array(line.utf8)) { #expect($0.family == .unknown) }
        }
        // 107 bytes are allowed, 108 are not.
        let fill = String(repeating: "x", count: 107 - 16)
        #expect("PROXY UNKNOWN \(fill)\r\n".utf8.count == 107)
        expectIncremental(Array("PROXY UNKNOWN \(fill)\r\n".utf8)) { #expect($0.family == .unknown) }
        #expect(parse("PROXY UNKNOWN \(fill)x\r\n") == .malformed(position: 106))
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n", 0),
        ("POST / HTTP/1.1\r\n", 1),
        ("proxy TCP4", 0),
        ("PROXY\tTCP4", 5),
        ("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", 6),
        ("PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", 6),
        ("PROXY UNKNOWNX\r\n", 13),
        ("PROXY UNK\r\n", 6),
        ("PROXY \r\n", 6),
        ("PROXY TCP4\r\n", 6),
        ("PROXY TCP4 \r\n", 11),
        ("PROXY TCP4 1.2.3.4\r\n", 18),
        ("PROXY TCP4 1.2.3.4 1.2.3.4\r\n", 26),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", 28),
        ("PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", 19),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", 30),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", 33),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", 28),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", 27),
        ("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", 11),
        ("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", 11),
        ("PROXY TCP4 ::1 1.2.3.4 1 2\r\n", 11),
        ("PROXY TCP6 1.2.3.4 ::1 1 2\r\n", 11),
        ("PROXY TCP6 ::1 [::1] 1 2\r\n", 15),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", 11),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", 30),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX", 31),
        ("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", 18),
        ("PROXY UNKNOWN \u{e9}\r\n", 14),
    ])
    func malformed(_ line: String, _ position: Int) {
        #expect(parse(line) == .malformed(position: position))
    }

    @Test func portZeroIsAPort() {
        guard case .complete(let header, _) = parse("PROXY TCP4 1.2.3.4 1.2.3.4 0 0\r\n") else {
            Issue.record("refused")
            return
        }
        #expect(header.sourcePort == 0)
    }
}

@Suite struct ProxyHeaderV2Tests {
    @Test func tcp4() throws {
        let source = try address("192.0.2.1")
        let destination = try address("198.51.100.7")
        for (family, isDatagram) in [(UInt8(0x11), false), (0x12, true)] {
            expectIncremental(v2(0x21, family, v4Block)) {
                #expect($0.version == 2 && $0.command == .proxy && $0.family == .ip)
                #expect($0.isDatagram == isDatagram)
                #expect($0.source == source && $0.sourcePort == 56324)
                #expect($0.destination == destination && $0.destinationPort == 443)
            }
        }
    }

    @Test func tcp6AndUnix() throws {
        let source = try address("2001:db8::1")
        let block: [UInt8] = [0x20, 1, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1]
        expectIncremental(v2(0x21, 0x21, block + block + [0, 1, 0, 2])) {
            #expect($0.source == source && $0.destination == source)
            #expect($0.sourcePort == 1 && $0.destinationPort == 2)
        }
        expectIncremental(v2(0x21, 0x31, [UInt8](repeating: 0x2f, count: 216))) {
            #expect($0.family == .unix && $0.source == .unspecified)
        }
    }

    @Test func localAndUnspecIgnoreTheBlock() {
        for (command, family) in [
            (UInt8(0x20), UInt8(0)), (0x20, 0xff), (0x21, 0), (0x21, 0x01), (0x21, 0x10),
        ] {
            for block in [[], [1, 2, 3], v4Block] as [[UInt8]] {
                expectIncremental(v2(command, family, block)) { #expect($0.family == .unknown) }
            }
        }
    }

    @Test func wrongBytes() {
        for i in 0..<12 {
            var bytes = v2(0x21, 0x11, v4Block)
            bytes[i] = 0x58
            #expect(parse(bytes) == .malformed(position: i))
            #expect(parse(Array(bytes[...i])) == .malformed(position: i))
        }
        #expect(parse(v2(0x11, 0x11, v4Block)) == .malformed(position: 12))
        #expect(parse(v2(0x22, 0x11, v4Block)) == .malformed(position: 12))
        #expect(parse(v2(0x31, 0x11, v4Block)) == .malformed(position: 12))
        #expect(parse(v2(0x21, 0x41, v4Block)) == .malformed(position: 13))
        #expect(parse(v2(0x21, 0x13, v4Block)) == .malformed(position: 13))
        #expect(parse(v2(0x21, 0x11, Array(v4Block.dropLast()))) == .malformed(position: 14))
        #expect(parse(v2(0x21, 0x21, [UInt8](repeating: 0, count: 35))) == .malformed(position: 14))
        #expect(parse(v2(0x21, 0x31, [UInt8](repeating: 0, count: 215))) == .malformed(position: 14))
    }

    @Test func lengthBound() {
        let room = ProxyHeader.bytesMax - 16 - 12 - 3
        let tlv: [UInt8] = [0xe0, UInt8(room >> 8), UInt8(room & 255)] + [UInt8](repeating: 7, count: room)
        let most = v2(0x21, 0x11, v4Block + tlv)
        #expect(most.count == 4096)
        #expect(parse(Array(most.dropLast())) == .needMore)
        if case .complete(_, let consumed) = parse(most) {
            #expect(consumed == 4096)
        } else {
            Issue.record("4096 bytes refused")
        }
        // One more is refused from the length alone.
        let over = signature + [0x21, 0x11, 0x0f, 0xf1]
        #expect(parse(over) == .malformed(position: 14))
    }

    @Test func tlvBounds() {
        #expect(parse(v2(0x21, 0x11, v4Block + [4])) == .malformed(position: 28))
        #expect(parse(v2(0x21, 0x11, v4Block + [4, 0])) == .malformed(position: 28))
        #expect(parse(v2(0x21, 0x11, v4Block + [4, 0, 1])) == .malformed(position: 29))
        #expect(parse(v2(0x21, 0x11, v4Block + [4, 0, 0, 4, 0, 2, 1])) == .malformed(position: 32))
        expectIncremental(v2(0x21, 0x11, v4Block + [4, 0, 0, 2, 0, 2, 97, 98])) { #expect($0.family == .ip) }
    }

    @Test func checksum() {
        // RFC 3720 appendix B.4: CRC-32C of 32 zero bytes is 0x8a9136aa.
        let zeros = [UInt8](repeating: 0, count: 32)
        #expect(
            zeros.withUnsafeBufferPointer { ProxyHeader.crc32c($0.baseAddress!, count: 32, zeroed: 32) }
                == 0x8a91_36aa)

        var bytes = v2(0x21, 0x11, v4Block + [3, 0, 4, 0, 0, 0, 0] + [4, 0, 1, 9])
        let sum = bytes.withUnsafeBufferPointer {
            ProxyHeader.crc32c($0.baseAddress!, count: bytes.count, zeroed: 31)
        }
        for i in 0..<4 { bytes[31 + i] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * i)) }
        expectIncremental(bytes) { #expect($0.sourcePort == 56324) }
        for i in 16..<bytes.count where i < 28 || i >= 31 {
            var wrong = bytes
            wrong[i] ^= 1
            guard case .malformed = parse(wrong) else {
                Issue.record("flipped bit in byte \(i) accepted")
                continue
            }
        }
        #expect(parse(v2(0x21, 0x11, v4Block + [3, 0, 3, 0, 0, 0])) == .malformed(position: 28))
    }
}

@Suite struct ProxyHeaderWriterTests {
    private func roundTrip(_ source: String, _ destination: String, _ version: UInt8) throws -> [UInt8] {
        let header = ProxyHeader(
            source: try address(source), sourcePort: 65535, destination: try address(destination),
            destinationPort: 80, version: version)
        let bytes = try #require(written(header))
        #expect(parse(bytes) == .complete(header, consumed: bytes.count))
        #expect(written(header, capacity: bytes.count) == bytes)
        for capacity in 0..<bytes.count { #expect(written(header, capacity: capacity) == nil) }
        return bytes
    }

    @Test func version1() throws {
        #expect(
            String(decoding: try roundTrip("192.0.2.1", "198.51.100.7", 1), as: UTF8.self)
                == "PROXY TCP4 192.0.2.1 198.51.100.7 65535 80\r\n")
        #expect(
            String(decoding: try roundTrip("::ffff:192.0.2.1", "10.0.0.1", 1), as: UTF8.self)
                == "PROXY TCP4 192.0.2.1 10.0.0.1 65535 80\r\n")
        #expect(
            String(decoding: try roundTrip("192.0.2.1", "2001:db8::7", 1), as: UTF8.self)
                == "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::7 65535 80\r\n")
    }

    @Test func version2() throws {
        #expect(try roundTrip("192.0.2.1", "198.51.100.7", 2).count == 28)
        #expect(try roundTrip("192.0.2.1", "2001:db8::7", 2).count == 52)
        #expect(try roundTrip("2001:db8::7", "::1", 2)[13] == 0x21)
    }

    @Test func portsOfEveryLength() throws {
        for port: UInt16 in [0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10000, 65535] {
            let header = ProxyHeader(
                source: IPAddress(v4: 1), sourcePort: port, destination: IPAddress(v4: 2),
                destinationPort: port, version: 1)
            let bytes = try #require(written(header))
            #expect(parse(bytes) == .complete(header, consumed: bytes.count))
        }
    }

    @Test func withoutAddresses() throws {
        let unix = SocketAddress.unix(path: "/run/x")
        let ip = SocketAddress.ip(IPAddress(v4: 0x7f00_0001), port: 1)
        for (from, to) in [(unix, ip), (ip, unix), (unix, unix)] {
            #expect(
                written(ProxyHeader(source: from, destination: to, version: 1))
                    == Array("PROXY UNKNOWN\r\n".utf8))
            let bytes = try #require(written(ProxyHeader(source: from, destination: to, version: 2)))
            #expect(bytes == signature + [0x20, 0, 0, 0])
        }
    }
}

@Suite struct ProxyHeaderGarbageTests {
    /// Mutated headers: the answer is one of the three, within bounds, and the same when asked twice.
    @Test func seededGarbage() {
        var state: UInt64 = 0x9e37_79b9_7f4a_7c15
        func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
        let seeds: [[UInt8]] = [
            Array("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET".utf8),
            Array("PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 443\r\n".utf8),
            Array("PROXY UNKNOWN x\r\n".utf8),
            v2(0x21, 0x11, v4Block + [3, 0, 4, 0, 0, 0, 0]),
            v2(0x21, 0x21, [UInt8](repeating: 0, count: 60)),
            v2(0x20, 0, [1, 2, 3]),
        ]
        for _ in 0..<40_000 {
            var bytes = seeds[Int(next() % UInt64(seeds.count))]
            for _ in 0...(next() % 4) {
                switch next() % 3 {
                case 0: bytes[Int(next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: next())
                case 1 where bytes.count > 1: bytes.removeLast(Int(next() % UInt64(bytes.count)))
                default:
                    bytes.insert(UInt8(truncatingIfNeeded: next()), at: Int(next() % UInt64(bytes.count)))
                }
            }
            switch parse(bytes) {
            case .needMore: #expect(bytes.count < ProxyHeader.bytesMax)
            case .complete(_, let consumed):
                #expect(consumed > 0 && consumed <= bytes.count)
                #expect(parse(Array(bytes[..<consumed])) == parse(bytes))
            case .malformed(let position):
                #expect(position >= 0 && position < bytes.count)
                // Nothing that follows can make it right.
                #expect(parse(bytes + [13, 10]) == .malformed(position: position))
            }
        }
    }
}
