// Which addresses are nobody's business: those that a URL from data must not lead to.
//
// A URL that somebody else wrote (a webhook, a key set named in a token) turns a client into a way round the
// firewall: to 127.0.0.1, to the cloud's metadata at 169.254.169.254, to the neighbours. What is not
// plainly a public unicast address is private here (IANA's special-purpose registries, RFC 6890); an IPv6 address
// that a translator turns into an IPv4 one is judged by that.

import Reactor

/// Whether an address is one of the public Internet.
enum PrivateRanges {
    private static let v4: [AddressBlock] = [
        "0.0.0.0/8",  // this network, RFC 791
        "10.0.0.0/8",  // RFC 1918
        "100.64.0.0/10",  // carrier-grade NAT, RFC 6598
        "127.0.0.0/8",  // loopback
        "169.254.0.0/16",  // link-local, RFC 3927; metadata of clouds
        "172.16.0.0/12",  // RFC 1918
        "192.0.0.0/24",  // protocol assignments, RFC 6890
        "192.0.2.0/24",  // documentation, RFC 5737
        "192.88.99.0/24",  // relays of 6to4, RFC 7526
        "192.168.0.0/16",  // RFC 1918
        "198.18.0.0/15",  // benchmarks, RFC 2544
        "198.51.100.0/24",  // documentation
        "203.0.113.0/24",  // documentation
        "224.0.0.0/4",  // multicast
        "240.0.0.0/4",  // reserved, and broadcast
    ].compactMap { AddressBlock($0) }

    /// Within 2000::/3, the only global unicast there is (RFC 4291 §2.4).
    private static let v6: [AddressBlock] = [
        "2001::/23",  // protocol assignments, Teredo among them, RFC 2928
        "2001:db8::/32",  // documentation
        "3fff::/20",  // documentation, RFC 9637
    ].compactMap { AddressBlock($0) }

    static func contains(_ address: IPAddress) -> Bool {
        if address.isV4 { return v4.contains { $0.contains(address) } }
        // NAT64, RFC 6052: the last 32 bits are an IPv4 address.
        if address.high == 0x0064_ff9b_0000_0000, address.low >> 32 == 0 {
            return contains(IPAddress(v4: UInt32(truncatingIfNeeded: address.low)))
        }
        // 6to4, RFC 3056: the 32 bits behind 2002.
        if address.high >> 48 == 0x2002 {
            return contains(IPAddress(v4: UInt32(truncatingIfNeeded: address.high >> 16)))
        }
        // ISATAP, RFC 5214 §6.1: …:[02]00:5efe:a.b.c.d, under any prefix.
        if (address.low >> 32) & ~0x0200_0000 == 0x0000_5efe,
            contains(IPAddress(v4: UInt32(truncatingIfNeeded: address.low)))
        {
            return true
        }
        // ::, ::1, IPv4-compatible, unique local, link-local, site-local, multicast and what is not assigned.
        guard address.high >> 61 == 1 else { return true }
        return v6.contains { $0.contains(address) }
    }
}
