// WeirProxyProtocol: what its page shows.

import WeirAddresses
import WeirProxyProtocol

enum ProxyProtocolExample {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        guard let client = IPAddress("192.0.2.7"), let server = IPAddress("192.0.2.1") else { return }
        let header = ProxyHeader(
            source: client, sourcePort: 40_000, destination: server, destinationPort: 443, version: 1)
        print(String(decoding: header.bytes.dropLast(2), as: UTF8.self))
        let received = header.bytes + Array("GET / HTTP/1.1".utf8)
        if case .complete(let read, let consumed) = ProxyHeader.parse(received) {
            print("\(read.source):\(read.sourcePort), \(consumed) bytes")
        }
        // Whoever speaks another protocol is found out with the first wrong byte.
        print("\(ProxyHeader.parse(Array("GET /".utf8)))")
        // …to here.
    }
}
