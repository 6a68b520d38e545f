// The ClientHello reader: real hellos, cut and split in every way, and malformed ones.

import Glibc
import Testing

@testable import TLS

/// A hello with these extensions, as one record.
func makeHello(_ extensions: [(UInt16, [UInt8])], sessionID: Int = 32, trailing: [UInt8] = []) -> [UInt8] {
    func two(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }
    var list: [UInt8] = []
    for (type, body) in extensions { list += two(Int(type)) + two(body.count) + body }
    var body: [UInt8] = [3, 3] + [UInt8](repeating: 7, count: 32)
    body += [UInt8(sessionID)] + [UInt8](repeating: 9, count: sessionID)
    body += [0, 2, 0x13, 0x01, 1, 0] + two(list.count) + list + trailing
    let message = [1, 0] + two(body.count) + body
    return [22, 3, 1] + two(message.count) + message
}

func serverNameExtension(_ name: [UInt8]) -> (UInt16, [UInt8]) {
    let entry: [UInt8] = [0, UInt8(name.count >> 8), UInt8(name.count & 255)] + name
    return (0, [UInt8(entry.count >> 8), UInt8(entry.count & 255)] + entry)
}

@Suite("ClientHello")
struct ClientHelloTests {
    private func parse(_ bytes: [UInt8], count: Int? = nil) -> ClientHello.Result {
        // Memory of exactly that length, so that a read beyond it shows under AddressSanitizer.
        let count = count ?? bytes.count
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, count))
        defer { copy.deallocate() }
        for i in 0..<count { copy[i] = bytes[i] }
        return ClientHello.parse(copy, count: count)
    }

    private func realHello(_ protocols: [String]) throws -> [UInt8] {
        let wired = try Wired(
            .make([TestAuthority.shared.identity(["localhost"])]), .make { $0.alpn = protocols })
        #expect(wired.client.handshake() == .wantRead)
        return wired.steal()
    }

    @Test("a hello of OpenSSL")
    func real() throws {
        let hello = try realHello(["h2", "http/1.1"])
        let expected = ClientHello.Result.found(
            ClientHello(serverName: "localhost", alpn: ["h2", "http/1.1"]))
        #expect(parse(hello) == expected)
        #expect(parse(hello + [1, 2, 3]) == expected)
        for count in 0..<hello.count { #expect(parse(hello, count: count) == .needMore) }
    }

    @Test("cut into records of every size")
    func records() throws {
        let hello = try realHello([])
        let message = Array(hello[5...])
        for size in [1, 2, 3, 4, 5, 50, 100, message.count - 1] {
            var bytes: [UInt8] = []
            var at = 0
            while at < message.count {
                let piece = message[at..<min(at + size, message.count)]
                bytes += [22, 3, 1, UInt8(piece.count >> 8), UInt8(piece.count & 255)] + piece
                at += size
            }
            #expect(parse(bytes) == .found(ClientHello(serverName: "localhost", alpn: [])), "\(size)")
            #expect(parse(bytes, count: bytes.count - 1) == .needMore)
        }
    }

    @Test("without a name, without extensions")
    func none() {
        #expect(parse(makeHello([])) == .found(ClientHello()))
        #expect(parse(makeHello([(43, [2, 3, 4])], sessionID: 0)) == .found(ClientHello()))
        // Extensions may be left out altogether (RFC 5246 §7.4.1.2).
        var bare = makeHello([])
        bare.removeLast(2)
        bare[4] -= 2
        bare[8] -= 2
        #expect(parse(bare) == .found(ClientHello()))
    }

    @Test(
        "names are brought to lower case, without the dot of the root",
        arguments: [
            ("WWW.Example.COM", "www.example.com"), ("a.test.", "a.test"), ("x_1-y.test", "x_1-y.test"),
        ])
    func names(written: String, expected: String) {
        #expect(
            parse(makeHello([serverNameExtension(Array(written.utf8))]))
                == .found(ClientHello(serverName: expected, alpn: [])))
    }

    static let name = serverNameExtension(Array("a.test".utf8))
    static let wrong: [(String, [UInt8])] = [
        ("HTTP", Array("GET / HTTP/1.1\r\n\r\n".utf8)), ("application data", [23, 3, 3, 0, 1, 0]),
        ("SSL 2", [0x80, 0x2e, 1, 0, 2]), ("version 2", [22, 2, 0, 0, 1, 1]),
        ("an empty record", [22, 3, 1, 0, 0]), ("a record too long", [22, 3, 1, 0x40, 1]),
        ("a ServerHello", [22, 3, 1, 0, 4, 2, 0, 0, 0]), ("a huge message", [22, 3, 1, 0, 4, 1, 1, 0, 0]),
        ("a name twice", makeHello([name, name])),
        ("ALPN twice", makeHello([(16, [0, 3, 2, 0x68, 0x32]), (16, [0, 3, 2, 0x68, 0x32])])),
        ("no name in the list", makeHello([(0, [0, 0])])),
        ("an empty name", makeHello([serverNameExtension([])])),
        ("a NUL in the name", makeHello([serverNameExtension([97, 0, 98])])),
        ("a space in the name", makeHello([serverNameExtension(Array("a b".utf8))])),
        ("a name of 256 bytes", makeHello([serverNameExtension([UInt8](repeating: 97, count: 256))])),
        ("another kind of name", makeHello([(0, [0, 4, 1, 0, 1, 97])])),
        ("bytes behind the name", makeHello([(0, [0, 4, 0, 0, 1, 97, 0])])),
        ("an empty protocol", makeHello([(16, [0, 1, 0])])), ("no protocol", makeHello([(16, [0, 0])])),
        ("a protocol beyond its list", makeHello([(16, [0, 2, 5, 97])])),
        ("bytes behind the extensions", makeHello([], trailing: [0])),
        ("a session id of 33 bytes", makeHello([], sessionID: 33)),
        ("a short message", [22, 3, 1, 0, 5, 1, 0, 0, 1, 3]),
    ]

    @Test("malformed", arguments: wrong.indices)
    func wrongHello(index: Int) {
        let (what, bytes) = Self.wrong[index]
        guard case .malformed(let position) = parse(bytes) else {
            Issue.record("\(what): \(parse(bytes))")
            return
        }
        #expect(position >= 0 && position < bytes.count, "\(what)")
    }

    @Test("garbage is known by its first byte")
    func early() {
        #expect(parse([0x47]) == .malformed(position: 0))
        #expect(parse([22, 9]) == .malformed(position: 1))
        #expect(parse([22, 3, 1, 0, 9, 2]) == .malformed(position: 5))
        #expect(parse([]) == .needMore)
    }

    @Test("records of one byte cannot make a hello endless")
    func bounded() {
        var bytes: [UInt8] = []
        bytes += [22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 1, 0, 22, 3, 1, 0, 1, 0x3f, 22, 3, 1, 0, 1, 0xff]
        while bytes.count < ClientHello.bytesMax + 10 { bytes += [22, 3, 1, 0, 1, 0] }
        guard case .malformed = parse(bytes) else {
            Issue.record("endless")
            return
        }
    }

    @Test("more protocols than anybody speaks are not kept")
    func protocolsBound() {
        var list: [UInt8] = []
        for i in 0..<100 { list += [1, UInt8(33 + i % 90)] }
        guard case .found(let hello) = parse(makeHello([(16, [0, UInt8(list.count)] + list)])) else {
            Issue.record("not found")
            return
        }
        #expect(hello.alpn.count == ClientHello.protocolsMax)
    }
}
