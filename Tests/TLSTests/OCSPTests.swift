// OCSP: the question to a responder, and every answer that must not reach a client.

import COpenSSL
import Glibc
import Testing

@testable import TLS

/// An OCSP response of a test's making.
struct OCSPResponse {
    var leaf: [UInt8]
    var issuer: TestAuthority
    /// Who signs; nil: the issuer.
    var signer: (certificate: [UInt8], key: TestKey)?
    var status = V_OCSP_CERTSTATUS_GOOD
    var thisUpdate = nowSeconds - 3_600
    var nextUpdate: Int64? = nowSeconds + day

    init(for leaf: [UInt8], of issuer: TestAuthority) {
        self.leaf = leaf
        self.issuer = issuer
    }

    func der() throws -> [UInt8] {
        let certificate = try #require(try Certificate.parse(PEMFile(path: "leaf", bytes: leaf)).first)
        let basic = try #require(OCSP_BASICRESP_new())
        defer { OCSP_BASICRESP_free(basic) }
        let id = try #require(OCSP_cert_to_id(nil, certificate.x509, issuer.certificate))
        defer { OCSP_CERTID_free(id) }
        let times = [nowSeconds - 7_200, thisUpdate, nextUpdate ?? 0].map { ASN1_TIME_set(nil, Int($0)) }
        defer { for time in times { ASN1_TIME_free(time) } }
        let isRevoked = status == V_OCSP_CERTSTATUS_REVOKED
        try #require(
            OCSP_basic_add1_status(
                basic, id, status, isRevoked ? OCSP_REVOKED_STATUS_KEYCOMPROMISE : 0,
                isRevoked ? times[0] : nil, times[1], nextUpdate == nil ? nil : times[2]) != nil)
        if let signer {
            let own = try #require(
                try Certificate.parse(PEMFile(path: "signer", bytes: signer.certificate)).first)
            try #require(OCSP_basic_sign(basic, own.x509, signer.key.key, EVP_sha256(), nil, 0) == 1)
        } else {
            try #require(
                OCSP_basic_sign(
                    basic, issuer.certificate, issuer.key.key, EVP_sha256(), nil, UInt(OCSP_NOCERTS)) == 1)
        }
        return try Self.wrap(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic)
    }

    /// A response with a status of its own, such as tryLater.
    static func wrap(_ status: Int32, _ basic: OpaquePointer?) throws -> [UInt8] {
        let response = try #require(OCSP_response_create(status, basic))
        defer { OCSP_RESPONSE_free(response) }
        var der: UnsafeMutablePointer<UInt8>?
        let count = i2d_OCSP_RESPONSE(response, &der)
        defer { CRYPTO_free(der, nil, 0) }
        return Array(UnsafeBufferPointer(start: der, count: Int(max(0, count))))
    }
}

@Suite("OCSP")
struct OCSPTests {
    let authority = TestAuthority.shared

    private func chain(_ pem: [UInt8]) throws -> [Certificate] {
        try Certificate.parse(PEMFile(path: "chain", bytes: pem))
    }

    private func leaf(_ responders: [String] = ["http://ocsp.example/"]) throws -> [UInt8] {
        try authority.issue(["a.example"], responders: responders)
    }

    private func question(_ leaf: [UInt8]) throws -> OCSPQuestion {
        try OCSPQuestion(chain(leaf + authority.pem))
    }

    @Test("whom to ask stands in the certificate")
    func responder() throws {
        #expect(try question(leaf()).responder == "http://ocsp.example/")
        let second = try leaf([
            "https://ocsp.example/", "HTTP://ocsp.example:8080/x", "http://other.example/",
        ])
        #expect(try question(second).responder == "HTTP://ocsp.example:8080/x")
        #expect(throws: OCSPObstacle.noResponder) { try question(leaf([])) }
        #expect(throws: OCSPObstacle.noResponder) { try question(leaf(["https://ocsp.example/"])) }
        #expect(throws: OCSPObstacle.noIssuer) { try OCSPQuestion(chain(leaf())) }
    }

    @Test("the request names the certificate")
    func request() throws {
        let leaf = try leaf()
        let question = try question(leaf)
        question.request.withUnsafeBufferPointer { bytes in
            var cursor = bytes.baseAddress
            guard let request = d2i_OCSP_REQUEST(nil, &cursor, bytes.count) else {
                Issue.record("not an OCSPRequest")
                return
            }
            defer { OCSP_REQUEST_free(request) }
            #expect(OCSP_request_onereq_count(request) == 1)
            guard let one = OCSP_request_onereq_get0(request, 0), let id = OCSP_onereq_get0_id(one),
                let certificate = try? chain(leaf)[0],
                let wanted = OCSP_cert_to_id(EVP_sha1(), certificate.x509, authority.certificate)
            else {
                Issue.record("no certificate in the request")
                return
            }
            defer { OCSP_CERTID_free(wanted) }
            #expect(OCSP_id_cmp(id, wanted) == 0)
            #expect(OCSP_REQUEST_get_ext_count(request) == 0, "no nonce")
        }
    }

    @Test("what the issuer signs counts")
    func good() throws {
        let leaf = try leaf()
        var response = OCSPResponse(for: leaf, of: authority)
        #expect(
            try question(leaf).judge(response.der())
                == OCSPAnswer(.good, thisUpdate: nowSeconds - 3_600, nextUpdate: nowSeconds + day))
        response.nextUpdate = nil
        #expect(try question(leaf).judge(response.der()).nextUpdate == nil)
        response.status = V_OCSP_CERTSTATUS_REVOKED
        #expect(try question(leaf).judge(response.der()).status == .revoked(atSeconds: nowSeconds - 7_200))
        response.status = V_OCSP_CERTSTATUS_UNKNOWN
        #expect(try question(leaf).judge(response.der()).status == .unknown)
    }

    @Test("the issuer may be an intermediate, whose own issuer is not known")
    func intermediate() throws {
        let intermediate = try TestAuthority("OCSP Intermediate", issuer: authority)
        let leaf = try intermediate.issue(["a.example"], responders: ["http://ocsp.example/"])
        let question = try OCSPQuestion(chain(leaf + intermediate.pem))
        #expect(try question.judge(OCSPResponse(for: leaf, of: intermediate).der()).status == .good)
    }

    @Test("the issuer may leave signing to somebody, and nobody else may sign")
    func delegation() throws {
        let leaf = try leaf()
        let key = try TestKey(.ecdsa)
        var response = OCSPResponse(for: leaf, of: authority)
        response.signer = (try authority.issue([], key: key, subject: "Signer", usage: "OCSPSigning"), key)
        #expect(try question(leaf).judge(response.der()).status == .good)

        // A certificate of the same issuer, but for something else: anybody has one.
        response.signer = (try authority.issue(["evil.example"], key: key), key)
        #expect(throws: OCSPRefusal.untrustedSignature) { try question(leaf).judge(response.der()) }

        // For signing, but expired.
        response.signer = (
            try authority.issue(
                [], key: key, notAfter: nowSeconds - 60, subject: "Signer", usage: "OCSPSigning"),
            key
        )
        #expect(throws: OCSPRefusal.untrustedSignature) { try question(leaf).judge(response.der()) }

        // For signing, by another CA; that CA itself; and one that only has the issuer's name.
        for name in ["Another CA", authority.name] {
            let other = try TestAuthority(name)
            response.signer = (try other.issue([], key: key, subject: "Signer", usage: "OCSPSigning"), key)
            #expect(throws: OCSPRefusal.untrustedSignature) { try question(leaf).judge(response.der()) }
            response.signer = (other.pem, other.key)
            #expect(throws: OCSPRefusal.untrustedSignature) { try question(leaf).judge(response.der()) }
        }
    }

    @Test("answers about another certificate, or none")
    func others() throws {
        let leaf = try leaf()
        let question = try question(leaf)
        #expect(throws: OCSPRefusal.otherCertificate) {
            try question.judge(OCSPResponse(for: self.leaf(), of: authority).der())
        }
        let tryLater = try OCSPResponse.wrap(OCSP_RESPONSE_STATUS_TRYLATER, nil)
        #expect(throws: OCSPRefusal.noAnswer(OCSP_RESPONSE_STATUS_TRYLATER)) { try question.judge(tryLater) }
        #expect("\(OCSPRefusal.noAnswer(OCSP_RESPONSE_STATUS_TRYLATER))" == "the responder refuses: trylater")
        for bytes in [[], [0x30], Array("<html>".utf8), [UInt8](repeating: 0x30, count: 10_000)] {
            #expect(throws: OCSPRefusal.malformed) { try question.judge(bytes) }
        }
    }

    @Test("a response that was cut or changed anywhere is refused")
    func damaged() throws {
        let leaf = try leaf()
        let question = try question(leaf)
        let response = try OCSPResponse(for: leaf, of: authority).der()
        for count in stride(from: 0, to: response.count, by: 7) {
            #expect(throws: OCSPRefusal.self) { try question.judge(Array(response.prefix(count))) }
        }
        let right = try question.judge(response)
        for at in response.indices {
            var changed = response
            changed[at] ^= 0x01
            // Some bits (an unused parameter, say) carry no meaning; then nothing else may come out.
            if let answer = try? question.judge(changed) { #expect(answer == right) }
        }
    }

    @Test("times")
    func times() {
        let answer = OCSPAnswer(.good, thisUpdate: 1_000_000, nextUpdate: 1_001_000)
        #expect(answer.refusal(nowSeconds: 1_000_000) == nil)
        #expect(answer.refusal(nowSeconds: 999_700) == nil, "the responder's clock is a little ahead")
        #expect(answer.refusal(nowSeconds: 999_699) == .fromTheFuture)
        #expect(answer.refusal(nowSeconds: 1_000_999) == nil)
        #expect(answer.refusal(nowSeconds: 1_001_000) == .expired)
        let open = OCSPAnswer(.good, thisUpdate: 1_000_000, nextUpdate: nil)
        #expect(open.refusal(nowSeconds: 1_086_399) == nil)
        #expect(open.refusal(nowSeconds: 1_086_400) == .expired)
        let backwards = OCSPAnswer(.good, thisUpdate: 1_000_000, nextUpdate: 999_000)
        #expect(backwards.refusal(nowSeconds: 1_000_000) == .expired)
    }

    @Test("what is shown and what is not")
    func statuses() {
        let revoked = OCSPAnswer(.revoked(atSeconds: 5), thisUpdate: 1_000, nextUpdate: 2_000)
        #expect(revoked.refusal(nowSeconds: 1_500) == nil)
        let unknown = OCSPAnswer(.unknown, thisUpdate: 1_000, nextUpdate: 2_000)
        #expect(unknown.refusal(nowSeconds: 1_500) == .unknownCertificate)
        // Before the revocation it was good, and that answer can be sent again.
        let replay = OCSPAnswer(.good, thisUpdate: 900, nextUpdate: 2_000)
        #expect(replay.refusal(nowSeconds: 1_500, known: revoked) == .olderThanKnown)
        #expect(revoked.refusal(nowSeconds: 1_500, known: replay) == nil)
        #expect(replay.refusal(nowSeconds: 1_500, known: replay) == nil)
    }

    @Test("a certificate whose responder cannot be asked is used all the same")
    func obstacles() throws {
        let key = PEMFile(path: "k", bytes: TestKey.shared.ecdsa.pem)
        let without = try ServerCertificate(
            chain: PEMFile(path: "c", bytes: leaf([])), key: key, asksResponder: true)
        #expect(throws: OCSPObstacle.noResponder) { try without.question?.get() }
        let alone = try ServerCertificate(
            chain: PEMFile(path: "c", bytes: leaf()), key: key, asksResponder: true)
        #expect(throws: OCSPObstacle.noIssuer) { try alone.question?.get() }
        let unasked = try ServerCertificate(chain: PEMFile(path: "c", bytes: leaf()), key: key)
        #expect(unasked.question == nil && unasked.staple == nil)
    }

    @Test("a staple is changed and taken away while handshakes go on")
    func slot() throws {
        let certificate = try ServerCertificate(
            chain: PEMFile(path: "c", bytes: leaf() + authority.pem),
            key: PEMFile(path: "k", bytes: TestKey.shared.ecdsa.pem), asksResponder: true)
        let context = try TLSServerContext.make([certificate])
        func seen() throws -> Int {
            let pair = try Pair(context, .make(), host: "a.example")
            let ssl = pair.client.state.pointee.ssl
            _ = SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, Int(TLSEXT_STATUSTYPE_ocsp), nil)
            #expect(pair.handshake().client == .done)
            var bytes: UnsafeMutablePointer<UInt8>?
            return withUnsafeMutablePointer(to: &bytes) {
                SSL_ctrl(ssl, SSL_CTRL_GET_TLSEXT_STATUS_REQ_OCSP_RESP, 0, $0)
            }
        }
        #expect(try seen() == -1)
        for count in 1..<30 {
            certificate.staple?.publish([UInt8](repeating: 1, count: count))
            #expect(try seen() == count)
        }
        certificate.staple?.publish([])
        #expect(try seen() == -1)
    }
}
