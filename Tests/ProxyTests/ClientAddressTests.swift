// The client's address through trusted proxies, and what a client may try against it.

import WeirHTTPModel
import Reactor
import Testing

@testable import Proxy

/// Builds a request with these fields and asks for the client's address.
private func client(
    peer: String = "10.0.0.1", trusted: [String] = ["10.0.0.0/8", "fd00::/8"],
    _ fields: [(FieldID, String)], source: ClientAddress.Source = .either
) throws -> ClientAddress {
    var bytes: [UInt8] = [UInt8(ascii: "x")]
    var table: [Field] = []
    for (id, value) in fields {
        table.append(
            Field(
                nameOffset: 0, nameCount: 1, valueOffset: UInt32(bytes.count),
                valueCount: UInt32(value.utf8.count), id: id))
        bytes += value.utf8
    }
    var head = RequestHead()
    head.fieldCount = Int32(table.count)
    let peer = try #require(IPAddress(client: peer))
    let blocks = try trusted.map { try #require(AddressBlock($0)) }
    // Never without a base address, even for no fields.
    table.append(Field(nameOffset: 0, nameCount: 0, valueOffset: 0, valueCount: 0, id: .other))
    return bytes.withUnsafeBufferPointer { bytes in
        table.withUnsafeBufferPointer { table in
            withUnsafePointer(to: head) { head in
                ClientAddress(
                    peer: peer,
                    request: RequestView(bytes: bytes.baseAddress!, head: head, fields: table.baseAddress!),
                    trusted: blocks, source: source)
            }
        }
    }
}

private func expect(
    _ result: ClientAddress, _ address: String, _ end: ClientAddress.End,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(result.address.description == address, sourceLocation: sourceLocation)
    #expect(result.end == end, sourceLocation: sourceLocation)
}

@Suite struct ClientAddressTests {
    @Test func untrustedPeerIsTheClient() throws {
        let result = try client(
            peer: "203.0.113.9",
            [(.xForwardedFor, "1.2.3.4"), (.forwarded, "for=1.2.3.4"), (.xForwardedProto, "https")])
        expect(result, "203.0.113.9", .peerNotTrusted)
        #expect(result.isFromPeer && !result.malformed && result.protoFromTrusted == nil)
    }

    @Test func clientsOfUnixSockets() throws {
        expect(try client(peer: "unix", [(.xForwardedFor, "1.2.3.4")]), "unix:", .peerNotTrusted)
        let trusted = ["10.0.0.0/8", "unix"]
        expect(
            try client(peer: "unix", trusted: trusted, [(.xForwardedFor, "1.2.3.4")]), "1.2.3.4", .untrusted)
        expect(
            try client(trusted: trusted, [(.xForwardedFor, "1.2.3.4, UNIX:, 10.0.0.2")]), "1.2.3.4",
            .untrusted)
        expect(try client(trusted: trusted, [(.forwarded, "for=_unix")]), "unix:", .allTrusted)
        // Where they are not trusted, what stands before them is not believed.
        expect(try client([(.xForwardedFor, "1.2.3.4, unix:")]), "unix:", .untrusted)
        expect(try client([(.forwarded, "for=1.2.3.4, for=_unix;proto=http")]), "unix:", .untrusted)
        expect(try client([(.forwarded, "for=1.2.3.4, for=_unixed")]), "10.0.0.1", .hidden)
    }

    @Test func nobodyTrusted() throws {
        expect(try client(trusted: [], [(.xForwardedFor, "1.2.3.4")]), "10.0.0.1", .peerNotTrusted)
    }

    @Test func trustedPeerWithoutFields() throws {
        let result = try client([(.host, "a")])
        expect(result, "10.0.0.1", .allTrusted)
        #expect(result.isFromPeer)
        expect(try client([(.xForwardedFor, "")]), "10.0.0.1", .allTrusted)
        expect(try client([(.xForwardedFor, " , ,\t")]), "10.0.0.1", .allTrusted)
    }

    @Test(arguments: [
        // One hop, and the spoofed part left of it is not believed.
        ("203.0.113.9", "203.0.113.9", ClientAddress.End.untrusted),
        ("1.2.3.4, 203.0.113.9", "203.0.113.9", .untrusted),
        ("10.0.0.7, 203.0.113.9", "203.0.113.9", .untrusted),
        // Through two trusted proxies.
        ("1.2.3.4,203.0.113.9 ,\t10.0.0.2", "203.0.113.9", .untrusted),
        ("10.0.0.4, 10.0.0.3, 10.0.0.2", "10.0.0.4", .allTrusted),
        // Forms.
        ("203.0.113.9:4711", "203.0.113.9", .untrusted),
        ("2001:db8::9", "2001:db8::9", .untrusted),
        ("[2001:db8::9]", "2001:db8::9", .untrusted),
        ("[2001:db8::9]:4711, fd00::1", "2001:db8::9", .untrusted),
        ("::ffff:203.0.113.9", "203.0.113.9", .untrusted),
        ("203.0.113.9,,10.0.0.2,", "203.0.113.9", .untrusted),
        // Wrong elements: the last good address.
        ("203.0.113.9, nonsense", "10.0.0.1", .malformed),
        ("nonsense, 10.0.0.2", "10.0.0.2", .malformed),
        ("nonsense, 203.0.113.9, 10.0.0.2", "203.0.113.9", .untrusted),
        ("203.0.113.9 10.0.0.2", "10.0.0.1", .malformed),
        ("203.0.113.9:", "10.0.0.1", .malformed),
        ("203.0.113.9:65536", "10.0.0.1", .malformed),
        ("203.0.113.9:+1", "10.0.0.1", .malformed),
        ("[203.0.113.9]", "10.0.0.1", .malformed),
        ("[2001:db8::9", "10.0.0.1", .malformed),
        ("[2001:db8::9]x", "10.0.0.1", .malformed),
        ("203.0.113.09", "10.0.0.1", .malformed),
        ("\"203.0.113.9\"", "10.0.0.1", .malformed),
        ("unknown, 10.0.0.2", "10.0.0.2", .hidden),
        // An open quote far left does not swallow what proxies appended.
        ("\"open, 203.0.113.9, 10.0.0.2", "203.0.113.9", .untrusted),
    ])
    func xForwardedFor(_ value: String, _ address: String, _ end: ClientAddress.End) throws {
        let result = try client([(.xForwardedFor, value)])
        expect(result, address, end)
        #expect(result.isFromPeer == (address == "10.0.0.1"))
        #expect(result.malformed == (end == .malformed))
    }

    @Test func linesAreOneListInOrder() throws {
        expect(
            try client([
                (.xForwardedFor, "1.2.3.4"), (.host, "a"), (.xForwardedFor, "203.0.113.9, 10.0.0.3"),
                (.xForwardedFor, "10.0.0.2"),
            ]), "203.0.113.9", .untrusted)
        expect(
            try client([(.xForwardedFor, "nonsense"), (.xForwardedFor, "10.0.0.2")]), "10.0.0.2", .malformed)
    }

    @Test(arguments: [
        ("for=203.0.113.9", "203.0.113.9", ClientAddress.End.untrusted),
        ("For=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9", .untrusted),
        ("proto=https; for=203.0.113.9 ; by=\"_x\"", "203.0.113.9", .untrusted),
        ("for=\"203.0.113.9:4711\"", "203.0.113.9", .untrusted),
        ("for=\"[2001:db8::9]\"", "2001:db8::9", .untrusted),
        ("for=\"[2001:db8::9]:4711\", for=10.0.0.2", "2001:db8::9", .untrusted),
        ("for=\"[2001:db8::9]:_port\"", "2001:db8::9", .untrusted),
        ("for=1.2.3.4, for=203.0.113.9;host=\"a,b\", for=10.0.0.2", "203.0.113.9", .untrusted),
        ("for=203.0.113.9;host=\"a\\\",for=10.0.0.9\", for=10.0.0.2", "203.0.113.9", .untrusted),
        ("for=203.0.113.9;", "203.0.113.9", .untrusted),
        ("for=unknown, for=10.0.0.2", "10.0.0.2", .hidden),
        ("for=_secret", "10.0.0.1", .hidden),
        ("for=\"_secret:80\"", "10.0.0.1", .hidden),
        ("for=\"unknown:80\"", "10.0.0.1", .hidden),
        ("proto=https", "10.0.0.1", .hidden),
        ("203.0.113.9", "10.0.0.1", .malformed),
        ("for=", "10.0.0.1", .malformed),
        ("for=\"\"", "10.0.0.1", .malformed),
        ("for=[2001:db8::9]", "10.0.0.1", .malformed),
        ("for=\"2001:db8::9\"", "10.0.0.1", .malformed),
        ("for=203.0.113.9:80", "10.0.0.1", .malformed),
        ("for=203.0.113.9;for=1.2.3.4", "10.0.0.1", .malformed),
        ("for = 203.0.113.9", "10.0.0.1", .malformed),
        ("=203.0.113.9", "10.0.0.1", .malformed),
        ("for=\"203.0.113.9", "10.0.0.1", .malformed),
        ("for=\"_a b\"", "10.0.0.1", .malformed),
        // Quotes left open by the client stay on its side.
        ("for=\"open, for=203.0.113.9, for=10.0.0.2", "203.0.113.9", .untrusted),
        ("for=\"open, for=\"[2001:db8::9]\"", "2001:db8::9", .untrusted),
    ])
    func forwarded(_ value: String, _ address: String, _ end: ClientAddress.End) throws {
        expect(try client([(.forwarded, value)]), address, end)
    }

    @Test func whichField() throws {
        let both: [(FieldID, String)] = [(.forwarded, "for=198.51.100.1"), (.xForwardedFor, "203.0.113.9")]
        expect(try client(both), "203.0.113.9", .untrusted)
        expect(try client(both, source: .forwarded), "198.51.100.1", .untrusted)
        expect(try client(both, source: .xForwardedFor), "203.0.113.9", .untrusted)
        expect(try client([both[0]], source: .xForwardedFor), "10.0.0.1", .allTrusted)
        expect(try client([both[0]]), "198.51.100.1", .untrusted)
    }

    @Test func hopBound() throws {
        func list(_ trusted: Int) -> String {
            (["203.0.113.9"] + Array(repeating: "10.0.0.2", count: trusted)).joined(separator: ", ")
        }
        expect(try client([(.xForwardedFor, list(31))]), "203.0.113.9", .untrusted)
        let over = try client([(.xForwardedFor, list(32))])
        expect(over, "10.0.0.2", .tooManyHops)
        #expect(over.malformed)
        // Left of an untrusted address the length does not matter.
        let long = Array(repeating: "1.2.3.4", count: 5000).joined(separator: ",")
        expect(try client([(.xForwardedFor, long + ", 203.0.113.9")]), "203.0.113.9", .untrusted)
    }

    @Test func scheme() throws {
        #expect(try client([(.xForwardedProto, "https")]).protoFromTrusted == .https)
        #expect(try client([(.xForwardedProto, "HTTP")]).protoFromTrusted == .http)
        #expect(try client([(.xForwardedProto, "ftp")]).protoFromTrusted == nil)
        #expect(try client([(.xForwardedProto, "https, http")]).protoFromTrusted == nil)
        #expect(
            try client([(.xForwardedProto, "https"), (.xForwardedProto, "https")]).protoFromTrusted == nil)
        #expect(try client([]).protoFromTrusted == nil)
    }

    @Test func forwardedTellsSchemeAndHost() throws {
        let one = try client([(.forwarded, "for=203.0.113.9;proto=https;host=shop.example")])
        #expect(one.protoFromTrusted == .https && one.authorityFromTrusted?.count == 12)
        // Of the elements looked at the one nearest to the client counts; those beyond are not looked at.
        let chain = try client([
            (
                .forwarded,
                "for=1.2.3.4;proto=http;host=evil, for=203.0.113.9;proto=https;host=\"a.b:8443\", for=10.0.0.2;proto=http;host=inner"
            )
        ])
        #expect(chain.protoFromTrusted == .https && chain.authorityFromTrusted?.count == 8)
        let untold = try client([(.forwarded, "for=203.0.113.9, for=10.0.0.2;proto=https;host=inner")])
        #expect(untold.protoFromTrusted == .https && untold.authorityFromTrusted?.count == 5)
        #expect(
            try client([(.forwarded, "for=203.0.113.9;host=\"a b\";proto=ftp")]).authorityFromTrusted == nil)
        // Where X-Forwarded-For tells the address, Forwarded is not looked at.
        let other = try client([(.xForwardedFor, "203.0.113.9"), (.forwarded, "for=1.2.3.4;proto=https")])
        #expect(other.protoFromTrusted == nil)
        #expect(try client([(.xForwardedHost, "h.example:80")]).authorityFromTrusted?.count == 12)
        #expect(try client([(.xForwardedHost, "h/x")]).authorityFromTrusted == nil)
        let nobody = try client(peer: "203.0.113.1", [(.forwarded, "for=1.2.3.4;proto=https;host=evil")])
        #expect(nobody.protoFromTrusted == nil && nobody.authorityFromTrusted == nil)
    }
}
