// WeirAddresses: what its page shows.

import WeirAddresses

enum AddressesExample {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        let client = IPAddress("2001:db8::1")
        let inside = AddressBlock("10.0.0.0/8")
        print("\(client.map(\.description) ?? "none")")
        // IPv4 in its IPv6 form is the same address.
        print("\(IPAddress("::ffff:10.1.2.3") == IPAddress("10.1.2.3"))")
        print("\(IPAddress("10.1.2.3").map { inside?.contains($0) == true } ?? false)")
        print("\(SocketAddress(host: "fe80::1", port: 80)?.description ?? "none")")
        // …to here.
    }
}
