// Addresses, blocks and the kernel's forms of them.

import Glibc
import Testing

@testable import WeirAddresses

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0"), ("127.0.0.1", "127.0.0.1"), ("255.255.255.255", "255.255.255.255"),
        ("::", "::"), ("::1", "::1"), ("[::1]", "::1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"), ("::ffff:c000:201", "192.0.2.1"), ("::1.2.3.4", "::1.2.3.4"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ])
    func textRoundTrip(_ text: String, _ canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
    }

    @Test(arguments: [
        "", " ", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "+1.2.3.4",
        "0x7f.0.0.1", "2130706433", "1.2.3.4\0", "127.0.0.1\0.evil.example", ":", ":::", "1::2::3", "::g",
        "fe80::1%eth0", "[::1", "::1]", "[]", "[[::1]]", "[127.0.0.1]", "::1/128", "::1:", "12345::",
        "1:2:3:4:5:6:7:8:9", "٣.1.1.1", "0000000000000000000000000000000000000000000001::",
    ])
    func rejected(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func fromBytes() {
        func parse(_ text: String) -> IPAddress? {
            Array(text.utf8).withUnsafeBufferPointer { IPAddress(bytes: $0) }
        }
        #expect(parse("192.0.2.1") == IPAddress(v4: 0xc000_0201))
        #expect(parse("[::1]") == nil)
        #expect(parse("1.2.3.4\0") == nil)
        #expect(parse("") == nil)
        #expect(IPAddress(bytes: UnsafeBufferPointer(start: nil, count: 0)) == nil)
        #expect(parse(String(repeating: "1", count: 46)) == nil)
        #expect(parse(String(repeating: "0", count: 4000)) == nil)
    }

    @Test func families() throws {
        #expect(try #require(IPAddress("10.0.0.1")).isV4)
        #expect(try #require(IPAddress("::ffff:10.0.0.1")) == IPAddress(v4: 0x0a00_0001))
        #expect(try !#require(IPAddress("::10.0.0.1")).isV4)
        #expect(!IPAddress.unspecified.isV4)
        #expect(try #require(IPAddress("2001:db8::ff")) == IPAddress(high: 0x2001_0db8_0000_0000, low: 0xff))
    }
}

@Suite struct AddressBlockTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("10.0.0.0/8", "10.0.0.0", "9.255.255.255"),
        ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.0"),
        ("192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("0.0.0.0/1", "127.255.255.255", "128.0.0.0"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("2001:db8::/64", "2001:db8::ffff:0:0:1", "2001:db8:0:1::"),
        ("2001:db8:0:0:8000::/65", "2001:db8::8000:0:0:1", "2001:db8::7fff:0:0:1"),
        ("2001:db8:0:2::/63", "2001:db8:0:3::", "2001:db8:0:4::"),
        ("[::1]", "::1", "::2"),
        ("fe80::/10", "febf::1", "fec0::"),
    ])
    func containment(_ text: String, _ inside: String, _ outside: String) throws {
        let block = try #require(AddressBlock(text))
        #expect(block.contains(try #require(IPAddress(inside))))
        #expect(!block.contains(try #require(IPAddress(outside))))
    }

    @Test func everything() throws {
        let all = try #require(AddressBlock("::/0"))
        #expect(all.contains(IPAddress(v4: 0)))
        #expect(all.contains(IPAddress(high: .max, low: .max)))
    }

    @Test(arguments: [
        "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/-1", "10.0.0.0/08",
        "10.0.0.0/008",
        "10.0.0.0/256", "10.0.0.0/8/8", "10.0.0.0/8 ", "10.0.0.1/8", "::/129", "::1/127", "2001:db8::1/32",
        "::ffff:10.0.0.0/8", "10.0.0/8", "name/8", "10.0.0.0/٨",
    ])
    func rejected(_ text: String) {
        #expect(AddressBlock(text) == nil)
    }

    /// Every prefix length: the last address inside and, for /1 on, the flipped last prefix bit outside.
    @Test func everyPrefix() throws {
        for prefix in 0...128 {
            let block = try #require(AddressBlock("::/\(prefix)"))
            let high = prefix >= 64 ? 0 : UInt64.max >> UInt64(prefix)
            let low = prefix <= 64 ? UInt64.max : prefix == 128 ? 0 : UInt64.max >> UInt64(prefix - 64)
            #expect(block.contains(IPAddress(high: high, low: low)))
            guard prefix > 0 else { continue }
            let bit = prefix - 1
            let outside =
                bit < 64
                ? IPAddress(high: 1 << UInt64(63 - bit), low: 0)
                : IPAddress(high: 0, low: 1 << UInt64(127 - bit))
            #expect(!block.contains(outside), "/\(prefix)")
        }
    }
}

@Suite struct SocketAddressTests {
    private func throughKernelForm(_ address: SocketAddress) -> SocketAddress {
        address.withSockaddr { raw, length in
            var storage = sockaddr_storage()
            memcpy(&storage, raw, Int(length))
            return SocketAddress(storage)
        }
    }

    @Test func roundTrip() throws {
        for address in [
            SocketAddress.ip(IPAddress(v4: 0x7f00_0001), port: 80), .ip(IPAddress(v4: 0), port: 0),
            .ip(try #require(IPAddress("2001:db8::1")), port: 65535), .ip(.unspecified, port: 8080),
            .unix(path: "/run/weir.sock"), .unix(path: ""),
        ] {
            #expect(throughKernelForm(address) == address)
            let family = address.withSockaddr { raw, _ in Int32(raw.pointee.sa_family) }
            #expect(family == address.family)
        }
    }

    @Test func longestUnixPath() {
        let path = "/" + String(repeating: "p", count: 106)
        #expect(throughKernelForm(.unix(path: path)) == .unix(path: path))
    }

    @Test func mappedAddressOfDualStackSocketIsV4() {
        var raw = sockaddr_in6()
        raw.sin6_family = sa_family_t(AF_INET6)
        raw.sin6_port = UInt16(80).bigEndian
        inet_pton(AF_INET6, "::ffff:192.0.2.1", &raw.sin6_addr)
        var storage = sockaddr_storage()
        memcpy(&storage, &raw, MemoryLayout<sockaddr_in6>.size)
        #expect(SocketAddress(storage) == .ip(IPAddress(v4: 0xc000_0201), port: 80))
    }

    @Test func text() throws {
        #expect(SocketAddress.ip(IPAddress(v4: 0xc000_0201), port: 80).description == "192.0.2.1:80")
        #expect(SocketAddress.ip(try #require(IPAddress("::1")), port: 80).description == "[::1]:80")
        #expect(SocketAddress.unix(path: "/run/a").description == "unix:/run/a")
        #expect(SocketAddress.unix(path: "/run/a").port == 0)
    }
}
