// Who is believed: clients by servers, servers by clients.

import COpenSSL
import Glibc
import Testing

@testable import TLS

@Suite("Client certificates")
struct ClientCertificateTests {
    let authority = TestAuthority.shared

    private func connect(_ certificate: ServerCertificate?, isRequired: Bool, version: Int32 = TLS1_3_VERSION)
        throws
        -> Pair
    {
        let clients = TLSServerContext.ClientCertificates(
            authorities: try authority.authorities(), isRequired: isRequired)
        let client = try TLSClientContext.make { $0.certificate = certificate }
        weir_ctx_set_max_version(client.sslContext, version)
        return try Pair(
            .make([authority.identity(["localhost"])]) { $0.clientCertificates = clients }, client)
    }

    @Test("a certificate of the CA is taken, and says who it is", arguments: [true, false])
    func valid(isRequired: Bool) throws {
        let pair = try connect(
            authority.identity(["agent.internal", "10.1.2.3"], isClient: true, subject: "agent"),
            isRequired: isRequired)
        #expect(pair.handshake().server == .done)
        let peer = try #require(pair.server.peerCertificate)
        #expect(peer.isVerified)
        #expect(peer.info.subject == "CN=agent")
        #expect(peer.info.subjectAltNames == ["agent.internal", "10.1.2.3"])
        #expect(peer.info.issuer == "CN=Test CA")
        #expect(peer.info.fingerprintText.count == 64)
    }

    private func text(_ text: ClientCertificate.Text) -> String { String(decoding: text, as: UTF8.self) }

    @Test("its texts, read once", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func texts(version: Int32) throws {
        let pair = try connect(
            authority.identity(["Agent.Internal", "10.1.2.3"], isClient: true, subject: "agent"),
            isRequired: false, version: version)
        #expect(pair.server.clientCertificate == nil)
        pair.handshake()
        let certificate = try #require(pair.server.clientCertificate)
        let info = try #require(pair.server.peerCertificate).info
        #expect(text(certificate.pointee.subject) == "CN=agent")
        #expect(text(certificate.pointee.issuer) == "CN=Test CA")
        #expect(text(certificate.pointee.san) == "DNS:agent.internal, IP:10.1.2.3")
        #expect(text(certificate.pointee.fingerprint) == info.fingerprintText)
        #expect(text(certificate.pointee.serial) == info.serial)
        #expect(pair.server.clientCertificate == certificate)
        // What a server showed is no client's certificate.
        #expect(pair.client.clientCertificate == nil)
    }

    @Test("nothing in a name can end a field or begin another part")
    func escapes() throws {
        let pair = try connect(
            authority.identity(
                [], isClient: true, subject: "Ann, OU=Admin\r\nX-User: é\"\\+<>;#"), isRequired: true)
        pair.handshake()
        let certificate = try #require(pair.server.clientCertificate).pointee
        #expect(text(certificate.subject) == #"CN=Ann\, OU=Admin\0D\0AX-User: \C3\A9\"\\\+\<\>\;#"#)
        #expect(certificate.san.isEmpty)
    }

    @Test("a resumed session still knows it", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func resumed(version: Int32) throws {
        var keys = TicketKeys(periodSeconds: 100)
        keys.rotate(to: try #require(TicketKeys.Key.random(sinceSeconds: 1_000)))
        let ring = TicketKeyRing()
        ring.publish(keys)
        let clients = TLSServerContext.ClientCertificates(
            authorities: try authority.authorities(), isRequired: true)
        let server = try TLSServerContext.make([authority.identity(["localhost"])]) {
            $0.clientCertificates = clients
            $0.ticketKeys = ring
        }
        let identity = try authority.identity(["a.test"], isClient: true, subject: "agent")
        let client = try TLSClientContext.make { $0.certificate = identity }
        weir_ctx_set_max_version(client.sslContext, version)
        let thread = TLSThread()
        for isResumed in [false, true] {
            let pair = try Pair(server, client, clientThread: thread)
            pair.handshake()
            _ = pair.send("x", from: pair.server)
            #expect(pair.receive(pair.client) == "x")
            #expect(pair.server.isResumed == isResumed)
            let certificate = try #require(pair.server.clientCertificate).pointee
            #expect(text(certificate.subject) == "CN=agent" && text(certificate.san) == "DNS:a.test")
        }
    }

    @Test("none", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func missing(version: Int32) throws {
        let required = try connect(nil, isRequired: true, version: version)
        let failure = required.handshake().server.failure
        #expect(failure?.reason == .clientCertificateMissing)
        #expect(failure?.alert == (version == TLS1_3_VERSION ? 116 : 40))
        // In TLS 1.3 the client's side is done before the server judges: the alert comes with reading.
        if version == TLS1_3_VERSION {
            #expect(required.receive(required.client) == "\(-EPROTO)")
            #expect(required.client.failure?.reason == .certificateRefused)
            #expect(required.client.failure?.alert == 116)
        }
        let optional = try connect(nil, isRequired: false, version: version)
        #expect(optional.handshake().server == .done)
        #expect(optional.server.peerCertificate == nil)
        #expect(optional.server.clientCertificate == nil)
    }

    @Test("one that is not of the CA is refused even where none is needed", arguments: [true, false])
    func untrusted(isRequired: Bool) throws {
        let stranger = try TestAuthority("Stranger").identity([], isClient: true, subject: "agent")
        let failure = try connect(stranger, isRequired: isRequired).handshake().server.failure
        #expect(failure?.reason == .clientCertificateUntrusted)
        #expect(failure?.alert == 48)
        #expect(failure?.verifyResult != 0)
        #expect(failure?.detail.contains("certificate") == true)
    }

    @Test("expired, not yet valid, and one for servers only")
    func unusable() throws {
        let expired = try authority.identity(
            [], notBefore: nowSeconds - 9 * day, notAfter: nowSeconds - day, isClient: true, subject: "x")
        #expect(
            try connect(expired, isRequired: true).handshake().server.failure?.reason
                == .clientCertificateExpired)
        let early = try authority.identity([], notBefore: nowSeconds + day, isClient: true, subject: "x")
        #expect(
            try connect(early, isRequired: true).handshake().server.failure?.reason
                == .clientCertificateExpired)
        let wrongUse = try authority.identity(["x.test"])
        #expect(
            try connect(wrongUse, isRequired: true).handshake().server.failure?.reason
                == .clientCertificateUntrusted)
    }
}

@Suite("Verifying servers")
struct ServerVerificationTests {
    let authority = TestAuthority.shared

    private func result(
        _ certificate: ServerCertificate, host: String?,
        _ change: (inout TLSClientContext.Settings) -> Void = { _ in }
    ) throws -> TLSFailure.Reason? {
        let pair = try Pair(.make([certificate]), .make(change), host: host)
        let results = pair.handshake()
        if results.client == .done {
            #expect(pair.client.peerCertificate != nil)
            return nil
        }
        return try #require(results.client.failure).reason
    }

    @Test(
        "names",
        arguments: [
            (["a.test"], "a.test", true), (["*.a.test"], "x.a.test", true), (["*.a.test"], "a.test", false),
            (["*.a.test"], "x.y.a.test", false), (["a.test"], "b.test", false),
            (["10.0.0.1"], "10.0.0.1", true),
            (["10.0.0.1"], "10.0.0.2", false), (["a.test"], "10.0.0.1", false),
            (["fd00::1"], "fd00::1", true),
        ] as [([String], String, Bool)])
    func names(certificate: [String], host: String, isRight: Bool) throws {
        let reason = try result(authority.identity(certificate), host: host)
        #expect(reason == (isRight ? nil : .serverCertificateNameMismatch))
    }

    @Test("the configured name stands before the endpoint's")
    func configuredName() throws {
        let certificate = try authority.identity(["api.internal"])
        #expect(try result(certificate, host: "10.0.0.1") { $0.serverName = "api.internal" } == nil)
        #expect(
            try result(certificate, host: "api.internal") { $0.serverName = "other" }
                == .serverCertificateNameMismatch)
    }

    @Test("expired, early, self-signed, of a stranger, with an intermediate missing")
    func unusable() throws {
        let expired = try authority.identity(
            ["a.test"], notBefore: nowSeconds - 9 * day, notAfter: nowSeconds - day)
        #expect(try result(expired, host: "a.test") == .serverCertificateExpired)
        let early = try authority.identity(["a.test"], notBefore: nowSeconds + day)
        #expect(try result(early, host: "a.test") == .serverCertificateExpired)
        let stranger = try TestAuthority("Stranger")
        #expect(try result(stranger.identity(["a.test"]), host: "a.test") == .serverCertificateUntrusted)
        let selfSigned = try ServerCertificate(
            chain: PEMFile(path: "c", bytes: stranger.pem), key: PEMFile(path: "k", bytes: stranger.key.pem))
        #expect(try result(selfSigned, host: "Stranger") == .serverCertificateUntrusted)
        let intermediate = try TestAuthority("Intermediate", issuer: authority)
        #expect(try result(intermediate.identity(["a.test"]), host: "a.test") == nil)
        let leafOnly = try ServerCertificate(
            chain: PEMFile(path: "c", bytes: intermediate.issue(["a.test"])),
            key: PEMFile(path: "k", bytes: TestKey.shared.ecdsa.pem))
        #expect(try result(leafOnly, host: "a.test") == .serverCertificateUntrusted)
        // Whoever trusts the intermediate itself needs no root.
        #expect(
            try result(leafOnly, host: "a.test") { $0.authorities = try? intermediate.authorities() } == nil)
    }

    @Test("the system's CAs do not know ours")
    func systemCAs() throws {
        #expect(
            try result(authority.identity(["a.test"]), host: "a.test") { $0.authorities = nil }
                == .serverCertificateUntrusted)
    }

    @Test("without verification anybody is believed")
    func unverified() throws {
        let stranger = try TestAuthority("Stranger").identity(["b.test"], notAfter: nowSeconds - 1)
        #expect(try result(stranger, host: "a.test") { $0.verifies = false } == nil)
        #expect(try result(stranger, host: nil) { $0.verifies = false } == nil)
    }

    @Test("without a name there is nothing to verify, and no connection")
    func noName() throws {
        let context = try TLSClientContext.make()
        for host in [nil, ""] as [String?] {
            #expect(
                TLSSession.client(context, socket: -1, thread: TLSThread(), endpoint: 1, host: host) == nil)
        }
    }

    @Test("the server hears why it was refused")
    func serverSide() throws {
        let pair = try Pair(
            .make([TestAuthority("Stranger").identity(["localhost"])]), .make())
        let results = pair.handshake()
        #expect(results.server.failure?.reason == .certificateRefused)
        #expect(results.server.failure?.alert == 48)
        #expect(results.server.failure?.isAlertReceived == true)
    }
}
