// Which certificate a server name gets: the pure choice, and what a client sees.

import COpenSSL
import Glibc
import Testing

@testable import TLS

@Suite("Choice of certificates")
struct SelectionTests {
    private func candidate(
        _ names: [String], _ kind: CertificateInfo.KeyKind = .ecdsa, from: Int64 = 0, to: Int64 = 1_000
    ) -> CertificateSelection.Candidate {
        .init(names: names, keyKind: kind, notBefore: from, notAfter: to)
    }

    @Test("an exact name before a wildcard, one label only")
    func exactBeforeWildcard() {
        let selection = CertificateSelection(
            candidates: [
                candidate(["other.test"]), candidate(["*.example.com"]),
                candidate(["a.example.com", "b.test"]),
            ], nowSeconds: 500)
        #expect(selection.certificates(forName: "a.example.com") == [2])
        #expect(selection.certificates(forName: "c.example.com") == [1])
        #expect(selection.certificates(forName: "b.test") == [2])
        #expect(selection.certificates(forName: "x.y.example.com") == [])
        #expect(selection.certificates(forName: "example.com") == [])
        #expect(selection.certificates(forName: ".example.com") == [])
        #expect(selection.defaultCertificates == [0])
    }

    @Test("the newest that is valid wins; an expired one only when there is no other")
    func newestValid() {
        let candidates = [
            candidate(["a.test"], from: 100, to: 600), candidate(["a.test"], from: 200, to: 700),
            candidate(["a.test"], from: 650, to: 900), candidate(["*.test"], from: 0, to: 2_000),
        ]
        func choice(_ now: Int64) -> [Int] {
            CertificateSelection(candidates: candidates, nowSeconds: now).certificates(forName: "a.test")
        }
        #expect(choice(150) == [0])
        #expect(choice(200) == [1])
        #expect(choice(649) == [1])
        #expect(choice(650) == [2])
        #expect(choice(900) == [2])
        // All of its own are expired, but the wildcard is not.
        #expect(choice(901) == [3])
        #expect(choice(50) == [3])
        #expect(choice(2_001) == [2])
        #expect(CertificateSelection(candidates: candidates, nowSeconds: 150).nextChangeSeconds == 200)
        #expect(CertificateSelection(candidates: candidates, nowSeconds: 650).nextChangeSeconds == 701)
        #expect(CertificateSelection(candidates: candidates, nowSeconds: 9_999).nextChangeSeconds == nil)
    }

    @Test("kinds of keys stand beside each other, each with its newest")
    func kinds() {
        let selection = CertificateSelection(
            candidates: [
                candidate(["a.test"], .ecdsa, from: 1), candidate(["a.test"], .rsa, from: 2),
                candidate(["a.test"], .rsa, from: 3), candidate(["a.test"], .ecdsa, from: 0),
            ], nowSeconds: 10)
        #expect(selection.certificates(forName: "a.test") == [0, 2])
        #expect(selection.defaultCertificates == [0, 2])
    }

    // MARK: over the wire

    private func seen(_ context: TLSServerContext, name: String?, signatures: String? = nil) throws
        -> [UInt8]?
    {
        let client = try TLSClientContext.make { $0.verifies = false }
        if let signatures {
            let isSet = signatures.withCString {
                SSL_CTX_ctrl(
                    client.sslContext, SSL_CTRL_SET_SIGALGS_LIST, 0, UnsafeMutablePointer(mutating: $0))
            }
            #expect(isSet == 1)
        }
        let pair = try Pair(context, client, host: name)
        let results = pair.handshake()
        if results.client != .done { return nil }
        #expect(pair.client.peerCertificate?.isVerified == false)
        return pair.client.peerCertificate?.info.fingerprint
    }

    @Test("a client sees the certificate of the name it asks for")
    func serverNames() throws {
        let authority = TestAuthority.shared
        let first = try authority.identity(["first.test"])
        let exact = try authority.identity(["a.example.com"])
        let wildcard = try authority.identity(["*.example.com"])
        let context = try TLSServerContext.make([first, exact, wildcard])
        let table: [(String?, ServerCertificate)] = [
            (nil, first), ("first.test", first), ("a.example.com", exact), ("A.Example.COM", exact),
            ("b.example.com", wildcard), ("c.b.example.com", first), ("unknown.test", first),
            ("127.0.0.1", first), ("a.example.com.", exact),
        ]
        for (name, expected) in table {
            #expect(try seen(context, name: name) == expected.info.fingerprint, "\(name ?? "none")")
            #expect(context.certificates(forName: name).first === expected, "\(name ?? "none")")
        }
    }

    @Test("ECDSA or RSA by what the client can verify")
    func dual() throws {
        let authority = TestAuthority.shared
        let rsa = try authority.identity(["localhost"], key: TestKey.shared.rsa)
        let ecdsa = try authority.identity(["localhost"])
        let context = try TLSServerContext.make([rsa, ecdsa])
        #expect(try seen(context, name: "localhost") == ecdsa.info.fingerprint)
        #expect(
            try seen(context, name: "localhost", signatures: "RSA-PSS+SHA256:RSA+SHA256")
                == rsa.info.fingerprint)
        #expect(
            try seen(context, name: "localhost", signatures: "ECDSA+SHA256") == ecdsa.info.fingerprint)
        let onlyRSA = try TLSServerContext.make([rsa])
        #expect(try seen(onlyRSA, name: "localhost", signatures: "ECDSA+SHA256") == nil)
    }

    @Test("the newest valid certificate is shown, whatever its place")
    func renewal() throws {
        let authority = TestAuthority.shared
        let old = try authority.identity(["localhost"], notBefore: nowSeconds - 20 * day)
        let new = try authority.identity(["localhost"], notBefore: nowSeconds - 2 * day)
        let future = try authority.identity(["localhost"], notBefore: nowSeconds + 2 * day)
        #expect(try seen(.make([old, new, future]), name: "localhost") == new.info.fingerprint)
        #expect(try seen(.make([new, future, old]), name: nil) == new.info.fingerprint)
        let later = try TLSServerContext.make([old, new, future], nowSeconds: nowSeconds + 3 * day)
        #expect(try seen(later, name: "localhost") == future.info.fingerprint)
        let context = try TLSServerContext.make([old, new, future])
        #expect(context.nextChangeSeconds == nowSeconds + 2 * day)
    }

    @Test("no certificate is no context")
    func none() {
        #expect(throws: TLSSetupError.self) { try TLSServerContext.make([]) }
    }

    @Test("an OCSP response is stapled for who asks")
    func stapling() throws {
        let authority = TestAuthority.shared
        let leaf = try authority.issue(["localhost"])
        let status = try OCSPResponse(for: leaf, of: authority).der()
        let certificate = try ServerCertificate(
            chain: PEMFile(path: "c", bytes: leaf), key: PEMFile(path: "k", bytes: TestKey.shared.ecdsa.pem),
            status: PEMFile(path: "s", bytes: status))
        for asks in [true, false] {
            let pair = try Pair(.make([certificate]), .make())
            let ssl = pair.client.state.pointee.ssl
            if asks {
                _ = SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, Int(TLSEXT_STATUSTYPE_ocsp), nil)
            }
            #expect(pair.handshake().client == .done)
            var bytes: UnsafeMutablePointer<UInt8>?
            let count = withUnsafeMutablePointer(to: &bytes) {
                SSL_ctrl(ssl, SSL_CTRL_GET_TLSEXT_STATUS_REQ_OCSP_RESP, 0, $0)
            }
            #expect(count == (asks ? status.count : -1))
        }
        let other = try authority.issue(["localhost"])
        #expect(throws: CertificateError.statusMalformed("s")) {
            try ServerCertificate(
                chain: PEMFile(path: "c", bytes: other),
                key: PEMFile(path: "k", bytes: TestKey.shared.ecdsa.pem),
                status: PEMFile(path: "s", bytes: status))
        }
    }
}
