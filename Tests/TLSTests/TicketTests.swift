// Resumption: ticket keys and their turns, sessions over contexts, scopes and versions.

import COpenSSL
import Glibc
import Testing

@testable import TLS

@Suite("Ticket keys")
struct TicketKeysTests {
    private func key(_ fill: UInt8, at seconds: Int64) throws -> TicketKeys.Key {
        try #require(
            TicketKeys.Key([UInt8](repeating: fill, count: TicketKeys.keyBytes), sinceSeconds: seconds))
    }

    @Test("a key seals for one period and opens for another")
    func turns() throws {
        var keys = TicketKeys(periodSeconds: 100)
        #expect(keys.needsRotation(nowSeconds: 0))
        #expect(keys.nextRotationSeconds == nil)
        keys.rotate(to: try key(1, at: 1_000))
        #expect(!keys.needsRotation(nowSeconds: 1_099))
        #expect(keys.needsRotation(nowSeconds: 1_100))
        keys.rotate(to: try key(2, at: 1_100))
        #expect(keys.keys.map { $0.bytes[0] } == [2, 1])
        keys.prune(nowSeconds: 1_199)
        #expect(keys.keys.count == 2)
        keys.prune(nowSeconds: 1_200)
        #expect(keys.keys.map { $0.bytes[0] } == [2])
        // Nobody rotated for long: the last key does not open for ever.
        keys.prune(nowSeconds: 1_300)
        #expect(keys.keys.isEmpty)
    }

    @Test("the ring is bounded however often it turns")
    func bounded() throws {
        var keys = TicketKeys(periodSeconds: 1_000)
        for turn in 0..<20 { keys.rotate(to: try key(UInt8(turn), at: Int64(turn))) }
        #expect(keys.keys.count == TicketKeyRing.keysMax)
        #expect(keys.keys.first?.bytes[0] == 19)
        #expect(TicketKeys.Key([1, 2, 3], sinceSeconds: 0) == nil)
        #expect(TicketKeys.Key.random(sinceSeconds: 0) != TicketKeys.Key.random(sinceSeconds: 0))
    }
}

@Suite("Resumption")
struct ResumptionTests {
    let authority = TestAuthority.shared

    private func server(
        _ ring: TicketKeyRing?, scope: String = "web",
        _ change: (inout TLSServerContext.Settings) -> Void = { _ in }
    ) throws -> TLSServerContext {
        try .make([authority.identity(["localhost"])]) {
            $0.ticketKeys = ring
            $0.scope = scope
            change(&$0)
        }
    }

    private func ring(_ keys: TicketKeys) -> TicketKeyRing {
        let ring = TicketKeyRing()
        ring.publish(keys)
        return ring
    }

    private func freshKeys() throws -> TicketKeys {
        var keys = TicketKeys(periodSeconds: 100)
        keys.rotate(to: try #require(TicketKeys.Key.random(sinceSeconds: 1_000)))
        return keys
    }

    /// Connects once, lets tickets arrive; whether the session was resumed.
    private func connect(
        _ server: TLSServerContext, _ client: TLSClientContext, _ thread: TLSThread, endpoint: Int = 7
    ) throws -> Bool {
        let pair = try Pair(server, client, endpoint: endpoint, clientThread: thread)
        let results = pair.handshake()
        #expect(results.server == .done && results.client == .done)
        #expect(pair.send("x", from: pair.server) == 1)
        #expect(pair.receive(pair.client) == "x")
        #expect(pair.server.isResumed == pair.client.isResumed)
        if let certificate = pair.client.peerCertificate { #expect(certificate.isVerified) }
        return pair.server.isResumed
    }

    private func client(_ version: Int32) throws -> TLSClientContext {
        let client = try TLSClientContext.make()
        weir_ctx_set_max_version(client.sslContext, version)
        return client
    }

    @Test("across contexts that share keys, and after one turn", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func acrossContexts(version: Int32) throws {
        var keys = try freshKeys()
        let client = try client(version)
        let thread = TLSThread()
        #expect(try !connect(server(ring(keys)), client, thread))
        // Another process with the same keys.
        #expect(try connect(server(ring(keys)), client, thread))
        keys.rotate(to: try #require(TicketKeys.Key.random(sinceSeconds: 1_100)))
        #expect(try connect(server(ring(keys)), client, thread))
    }

    /// OpenSSL's client of TLS 1.2 does not tell of the ticket that renews another, so it is looked for where it is kept.
    @Test("a ticket of the key before is renewed, one of this key is not: TLS 1.2")
    func renewed() throws {
        var keys = try freshKeys()
        let client = try client(TLS1_2_VERSION)
        let thread = TLSThread()
        /// What the client's ticket begins with, the name of the key, and whether the session was resumed.
        func connect() throws -> (name: [UInt8], isResumed: Bool) {
            let pair = try Pair(server(ring(keys)), client, endpoint: 7, clientThread: thread)
            #expect(pair.handshake() == (.done, .done))
            var ticket: UnsafePointer<UInt8>?
            var count = 0
            SSL_SESSION_get0_ticket(SSL_get_session(pair.client.state.pointee.ssl), &ticket, &count)
            return (Array(UnsafeBufferPointer(start: ticket, count: min(count, 16))), pair.server.isResumed)
        }
        let first = try connect()
        #expect(first.name.count == 16 && !first.isResumed)
        #expect(try connect() == (first.name, true))
        keys.rotate(to: try #require(TicketKeys.Key.random(sinceSeconds: 1_100)))
        let renewed = try connect()
        #expect(renewed.isResumed && renewed.name.count == 16 && renewed.name != first.name)
    }

    @Test("not when the key is gone", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func expired(version: Int32) throws {
        var keys = try freshKeys()
        let ring = ring(keys)
        let server = try server(ring)
        let client = try client(version)
        let thread = TLSThread()
        #expect(try !connect(server, client, thread))
        #expect(try connect(server, client, thread))
        keys.rotate(to: try #require(TicketKeys.Key.random(sinceSeconds: 1_100)))
        keys.prune(nowSeconds: 1_200)
        ring.publish(keys)
        #expect(try !connect(server, client, thread))
        #expect(try connect(server, client, thread))
    }

    @Test("not without keys, and not over scopes", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func scopes(version: Int32) throws {
        let ring = ring(try freshKeys())
        let client = try client(version)
        let thread = TLSThread()
        for _ in 0..<2 { #expect(try !connect(server(nil), client, thread)) }
        #expect(try !connect(server(ring, scope: "public"), client, thread))
        #expect(try !connect(server(ring, scope: "internal"), client, thread))
        #expect(try connect(server(ring, scope: "internal"), client, thread))
    }

    @Test(
        "a connection that is cut leaves a session that can be resumed",
        arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func cut(version: Int32) throws {
        let server = try server(ring(freshKeys()))
        let client = try client(version)
        let thread = TLSThread()
        for turn in 0..<3 {
            let pair = try Pair(server, client, endpoint: 7, clientThread: thread)
            #expect(pair.handshake().client == .done)
            #expect(pair.client.isResumed == (turn > 0))
            #expect(pair.send("x", from: pair.server) == 1)
            pair.cut(server: true)
            // The bytes and the end of the socket are found by one read.
            pair.client.socketReadable(hangUp: true)
            #expect(pair.receive(pair.client) == "x")
            #expect(pair.receive(pair.client) == "\(-EPROTO)")
            #expect(pair.client.failure?.reason == .truncated)
        }
    }

    @Test("a connection that fails otherwise does not", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func broken(version: Int32) throws {
        let server = try server(ring(freshKeys()))
        let client = try client(version)
        let thread = TLSThread()
        for _ in 0..<2 {
            let pair = try Pair(server, client, endpoint: 7, clientThread: thread)
            #expect(pair.handshake().client == .done)
            #expect(!pair.client.isResumed)
            #expect(pair.send("x", from: pair.server) == 1)
            #expect(pair.receive(pair.client) == "x")
            let record: [UInt8] = [23, 3, 3, 0, 32] + [UInt8](repeating: 1, count: 32)
            #expect(Glibc.send(pair.fds[0], record, record.count, 0) == record.count)
            #expect(pair.receive(pair.client) == "\(-EPROTO)")
            #expect(pair.client.failure?.reason == .badRecord)
        }
    }

    @Test("a session saved for one endpoint is not offered to another, nor after settings changed")
    func endpoints() throws {
        let server = try server(ring(freshKeys()))
        let client = try TLSClientContext.make()
        let thread = TLSThread()
        #expect(try !connect(server, client, thread, endpoint: 1))
        #expect(try !connect(server, client, thread, endpoint: 2))
        #expect(try !connect(server, TLSClientContext.make(), thread, endpoint: 1))
        #expect(try !connect(server, client, thread, endpoint: 1))
        #expect(try connect(server, client, thread, endpoint: 1))
        thread.forgetSessions()
        #expect(try !connect(server, client, thread, endpoint: 1))
    }

    @Test("a client's certificate is known in a resumed session, and not when the CA changed")
    func clientCertificates() throws {
        let ring = ring(try freshKeys())
        let clients = TLSServerContext.ClientCertificates(
            authorities: try authority.authorities(), isRequired: true)
        let client = try TLSClientContext.make {
            $0.certificate = try? TestAuthority.shared.identity([], isClient: true, subject: "worker")
        }
        let thread = TLSThread()
        let server = try server(ring) { $0.clientCertificates = clients }
        #expect(try !connect(server, client, thread))
        let pair = try Pair(server, client, endpoint: 7, clientThread: thread)
        pair.handshake()
        #expect(pair.server.isResumed)
        #expect(pair.server.peerCertificate?.info.subject == "CN=worker")
        #expect(pair.server.peerCertificate?.isVerified == true)
        #expect(pair.send("x", from: pair.server) == 1)
        #expect(pair.receive(pair.client) == "x")

        let another = try TestAuthority("Another CA")
        let both = try CertificateAuthorities(PEMFile(path: "both", bytes: authority.pem + another.pem))
        let changed = try self.server(ring) {
            $0.clientCertificates = .init(authorities: both, isRequired: true)
        }
        #expect(try !connect(changed, client, thread))
    }

    @Test("saved sessions are bounded")
    func boundedStore() throws {
        let server = try server(ring(freshKeys()))
        let client = try TLSClientContext.make()
        let thread = TLSThread()
        #expect(try !connect(server, client, thread, endpoint: 1))
        let session = try #require(thread.takeSession(endpoint: 1, contextID: client.id))
        for endpoint in 0..<(TLSThread.endpointsMax + 10) {
            for _ in 0..<(TLSThread.sessionsPerEndpointMax + 2) {
                SSL_SESSION_up_ref(session)
                thread.save(session, endpoint: endpoint, contextID: client.id)
            }
        }
        SSL_SESSION_free(session)
        var left = 0
        while let saved = thread.takeSession(endpoint: TLSThread.endpointsMax + 9, contextID: client.id) {
            SSL_SESSION_free(saved)
            left += 1
        }
        #expect(left == TLSThread.sessionsPerEndpointMax)
    }
}
