// Handshakes between our own server and client: versions, ALPN, bytes both ways.

import COpenSSL
import Glibc
import Testing

@testable import TLS

@Suite("Handshakes")
struct HandshakeTests {
    let authority = TestAuthority.shared

    @Test("every profile agrees with itself", arguments: TLSProfile.allCases)
    func profilesWork(profile: TLSProfile) throws {
        let pair = try Pair(
            .make([authority.identity(["localhost"])]) { $0.profile = profile },
            .make { $0.profile = profile })
        let results = pair.handshake()
        #expect(results.server == .done)
        #expect(results.client == .done)
        #expect(pair.server.version == .tls13)
        #expect(pair.client.version == .tls13)
        #expect(pair.server.isEstablished && !pair.server.isResumed)
        #expect(pair.send("hello", from: pair.client) == 5)
        #expect(pair.receive(pair.server) == "hello")
        #expect(pair.receive(pair.server) == "\(-EAGAIN)")
        #expect(pair.send("world", from: pair.server) == 5)
        #expect(pair.receive(pair.client) == "world")
        #expect(String(cString: try #require(pair.server.serverName)) == "localhost")
        #expect(String(cString: try #require(pair.server.cipher)) == "TLS_AES_128_GCM_SHA256")
    }
}
