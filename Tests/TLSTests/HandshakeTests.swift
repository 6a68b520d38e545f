// Handshakes between our own server and client: versions, ALPN, server names, bytes in pieces.

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

    @Test(
        "a client of an older version is served or refused by the profile",
        arguments: [
            (TLSProfile.modern, TLS1_2_VERSION, false), (.intermediate, TLS1_2_VERSION, true),
            (.intermediate, TLS1_1_VERSION, false), (.old, TLS1_2_VERSION, true), (.old, TLS1_VERSION, true),
        ])
    func olderVersions(profile: TLSProfile, version: Int32, isServed: Bool) throws {
        let client = try TLSClientContext.make { $0.profile = .old }
        #expect(weir_ctx_set_max_version(client.sslContext, version) == 1)
        let pair = try Pair(
            .make([authority.identity(["localhost"])]) { $0.profile = profile }, client)
        let results = pair.handshake()
        if isServed {
            #expect(results.server == .done && results.client == .done)
            #expect(pair.server.version == (version == TLS1_2_VERSION ? .tls12 : .tls10))
            #expect(pair.send("hello", from: pair.client) == 5)
            #expect(pair.receive(pair.server) == "hello")
        } else {
            #expect(results.server.failure?.reason == .versionUnsupported)
            #expect(results.server.failure?.alert == 70)
            #expect(results.server.failure?.isAlertReceived == false)
            #expect(results.client.failure?.reason == .versionUnsupported)
            #expect(results.client.failure?.isAlertReceived == true)
        }
    }

    @Test("ciphers nobody shares")
    func noSharedCipher() throws {
        let client = try TLSClientContext.make { $0.profile = .old }
        weir_ctx_set_max_version(client.sslContext, TLS1_2_VERSION)
        #expect(SSL_CTX_set_cipher_list(client.sslContext, "AES128-SHA") == 1)
        let pair = try Pair(.make([authority.identity(["localhost"])]), client)
        let results = pair.handshake()
        #expect(results.server.failure?.reason == .noSharedCipher)
        #expect(results.server.failure?.alert == 40)
        #expect(results.server.failure?.detail.contains("no shared cipher") == true)
        #expect(results.client.failure?.reason == .noSharedCipher)
    }

    @Test("one byte at a time", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func byteByByte(version: Int32) throws {
        let client = try TLSClientContext.make()
        weir_ctx_set_max_version(client.sslContext, version)
        let wired = try Wired(.make([authority.identity(["localhost"])]), client)
        let results = wired.handshake(pieces: 1)
        #expect(results.server == .done && results.client == .done)
        #expect(wired.server.version == (version == TLS1_3_VERSION ? .tls13 : .tls12))
    }

    @Test(
        "the server's order of protocols decides, and no common one is an alert",
        arguments: [
            (["h2", "http/1.1"], ["http/1.1", "h2"], NegotiatedProtocol.h2),
            (["http/1.1"], ["h2", "http/1.1"], .http11), (["h2", "http/1.1"], [], NegotiatedProtocol.none),
            ([], ["h2"], NegotiatedProtocol.none), (["postgresql"], ["postgresql"], .other),
            (["h2"], ["http/1.1"], nil),
            (["http/1.1"], ["http/1.10"], nil), (["http/1.1"], ["http/1."], nil),
        ] as [([String], [String], NegotiatedProtocol?)])
    func alpn(server: [String], client: [String], expected: NegotiatedProtocol?) throws {
        let pair = try Pair(
            .make([authority.identity(["localhost"])]) { $0.alpn = server }, .make { $0.alpn = client })
        let results = pair.handshake()
        if let expected {
            #expect(results.server == .done && results.client == .done)
            #expect(pair.server.negotiatedProtocol == expected)
            #expect(pair.client.negotiatedProtocol == expected)
        } else {
            #expect(results.server.failure?.reason == .noApplicationProtocol)
            #expect(results.server.failure?.alert == 120)
            #expect(results.client.failure?.reason == .noApplicationProtocol)
            #expect(results.client.failure?.isAlertReceived == true)
        }
    }

    @Test("the ClientHello may have been read before TLS takes over")
    func fedBytes() throws {
        let wired = try Wired(.make([authority.identity(["localhost"])]), .make())
        #expect(wired.client.handshake() == .wantRead)
        let hello = wired.steal()
        #expect(hello.count > 100)
        let isFed = hello.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { wired.server.feed($0, bytes.count) } ?? false
        }
        #expect(isFed)
        let results = wired.handshake()
        #expect(results.server == .done && results.client == .done)
    }

    @Test("a renegotiation is not begun")
    func renegotiation() throws {
        let client = try TLSClientContext.make()
        weir_ctx_set_max_version(client.sslContext, TLS1_2_VERSION)
        SSL_CTX_clear_options(client.sslContext, weir_op_no_renegotiation())
        let pair = try Pair(.make([authority.identity(["localhost"])]), client)
        pair.handshake()
        #expect(SSL_renegotiate(pair.client.state.pointee.ssl) == 1)
        _ = SSL_do_handshake(pair.client.state.pointee.ssl)
        // The server answers with the warning no_renegotiation (RFC 5246 §7.2.2) and goes on.
        #expect(pair.receive(pair.server) == "\(-EAGAIN)")
        pair.client.socketReadable()
        #expect(SSL_do_handshake(pair.client.state.pointee.ssl) != 1)
        ERR_clear_error()
    }
}

@Suite("Handshakes that fail")
struct FailedHandshakeTests {
    private func wired() throws -> Wired {
        try Wired(.make([TestAuthority.shared.identity(["localhost"])]), .make())
    }

    @Test(
        "plain HTTP is recognised, and nothing is sent",
        arguments: [
            "GET / HTTP/1.1\r\n\r\n", "PATCH /x HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "G",
        ])
    func plainHTTP(text: String) throws {
        let wired = try wired()
        wired.inject(Array(text.utf8))
        #expect(wired.server.handshake().failure?.reason == .plainHTTPReceived)
        wired.carry()
        #expect(wired.fromServer.isEmpty)
        #expect(wired.server.failure?.reason == .plainHTTPReceived)
        #expect(wired.server.handshake().failure?.reason == .plainHTTPReceived)
    }

    @Test(
        "garbage is malformed",
        arguments: [
            [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06], [0x16, 0x03, 0x01, 0xff, 0xff, 0x01],
            [0x16, 0x03, 0x01, 0x00, 0x04, 0x02, 0x00, 0x00, 0x00],
            [0x17, 0x03, 0x03, 0x00, 0x02, 0x00, 0x00], [0x80, 0x2e, 0x01, 0x03, 0x01, 0x00, 0x15],
        ] as [[UInt8]])
    func garbage(bytes: [UInt8]) throws {
        let wired = try wired()
        wired.inject(bytes + [UInt8](repeating: 0, count: 64))
        let failure = wired.server.handshake().failure
        #expect(failure?.reason == .handshakeMalformed || failure?.reason == .versionUnsupported)
        #expect(ERR_peek_error() == 0, "the error queue is left empty")
    }

    @Test("a peer that leaves during the handshake", arguments: [0, 1, 50])
    func closedEarly(byteCount: Int) throws {
        let wired = try wired()
        #expect(wired.client.handshake() == .wantRead)
        let hello = wired.steal()
        if byteCount > 0 { wired.inject(Array(hello[0..<byteCount])) }
        #expect(wired.server.handshake() == .wantRead)
        wired.cutClient()
        #expect(wired.server.handshake().failure?.reason == .closedDuringHandshake)
    }

    @Test("a hello that never ends is cut off")
    func endlessHello() throws {
        let wired = try wired()
        // A handshake message of 16 MiB, promised.
        wired.inject([0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0xff, 0xff, 0xff])
        var result = HandshakeResult.wantRead
        for _ in 0..<64 where result == .wantRead {
            wired.inject([UInt8](repeating: 0, count: 16_380))
            result = wired.server.handshake()
        }
        #expect(result.failure != nil)
    }

    @Test("a record that was changed on the way")
    func badRecord() throws {
        let wired = try wired()
        _ = wired.handshake()
        var text = Array("hello".utf8)
        #expect(wired.client.write(&text, 5, nowMs: 1) == 5)
        var record = wired.steal()
        record[record.count - 1] ^= 1
        wired.inject(record)
        var room = [UInt8](repeating: 0, count: 100)
        #expect(wired.server.read(&room, 100) < 0)
        #expect(wired.server.failure?.reason == .badRecord)
        #expect(wired.server.failure?.alert == 20)
        #expect(wired.server.write(&text, 5, nowMs: 1) == -Int(EPROTO))
    }
}
