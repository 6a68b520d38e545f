// Asking whether a certificate is revoked: the request, and the judgement of the answer (RFC 6960).
//
// The answer comes over plain HTTP from whoever is on the way, so nothing of it counts before its
// signature leads to the issuer (§3.2, §4.2.2.2). Without a nonce, as responders serve answers made
// beforehand (RFC 5019 §2.1); what that leaves, a replay, is bounded by the times in the answer.
// Sends nothing: the control plane does.

import COpenSSL

/// What is asked about one certificate, and whom.
public struct OCSPQuestion: Sendable {
    /// The responder, as the certificate names it (RFC 5280 §4.2.2.1): "http://ocsp.example.com/".
    public let responder: String
    /// An OCSPRequest in DER.
    public let request: [UInt8]
    private let leaf: Certificate
    private let issuer: Certificate

    /// - Parameter chain: the certificate, then its issuer.
    init(_ chain: [Certificate]) throws(OCSPObstacle) {
        leaf = chain[0]
        guard let responder = Self.responder(of: chain[0]) else { throw .noResponder }
        guard chain.count > 1 else { throw .noIssuer }
        issuer = chain[1]
        self.responder = responder
        guard let request = Self.request(leaf, issuer) else { throw .noIssuer }
        self.request = request
    }

    private static func responder(of certificate: Certificate) -> String? {
        guard let urls = weir_ocsp_urls(certificate.x509) else { return nil }
        defer { weir_ocsp_urls_free(urls) }
        for i in 0..<weir_ocsp_urls_count(urls) {
            guard let text = weir_ocsp_url_at(urls, i) else { continue }
            let url = String(cString: text)
            if url.prefix(7).lowercased() == "http://" { return url }
        }
        return nil
    }

    private static func request(_ leaf: Certificate, _ issuer: Certificate) -> [UInt8]? {
        guard let request = OCSP_REQUEST_new() else { return nil }
        defer { OCSP_REQUEST_free(request) }
        guard let id = id(leaf, issuer) else { return nil }
        // The request owns the id only when it took it.
        guard OCSP_request_add0_id(request, id) != nil else {
            OCSP_CERTID_free(id)
            return nil
        }
        var der: UnsafeMutablePointer<UInt8>?
        let count = i2d_OCSP_REQUEST(request, &der)
        defer { CRYPTO_free(der, nil, 0) }
        guard let der, count > 0 else { return nil }
        return Array(UnsafeBufferPointer(start: der, count: Int(count)))
    }

    /// Names by SHA-1: the one hash every responder knows (RFC 5019 §2.1.1). Nothing rests on its strength.
    private static func id(_ leaf: Certificate, _ issuer: Certificate) -> OpaquePointer? {
        OCSP_cert_to_id(EVP_sha1(), leaf.x509, issuer.x509)
    }

    /// What a response says about the certificate, once all of it is found right except its time.
    public func judge(_ response: [UInt8]) throws(OCSPRefusal) -> OCSPAnswer {
        defer { ERR_clear_error() }
        let basic = try BasicResponse(response)
        guard let id = Self.id(leaf, issuer) else { throw .otherCertificate }
        defer { OCSP_CERTID_free(id) }
        guard isSigned(basic) else { throw .untrustedSignature }
        guard let answer = basic.answer(at: OCSP_resp_find(basic.pointer, id, -1)) else {
            throw .otherCertificate
        }
        return answer
    }

    /// Whether the issuer signed it, or somebody whom the issuer has certified for that.
    private func isSigned(_ basic: BasicResponse) -> Bool {
        guard let store = X509_STORE_new() else { return false }
        defer { X509_STORE_free(store) }
        guard let issuers = weir_x509_stack_new() else { return false }
        defer { weir_x509_stack_free(issuers) }
        // The issuer is the end of the chain here, whoever stands above it.
        guard X509_STORE_add_cert(store, issuer.x509) == 1,
            X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN)) == 1,
            weir_x509_stack_push(issuers, issuer.x509) > 0
        else { return false }
        return OCSP_basic_verify(basic.pointer, issuers, store, UInt(OCSP_NOEXPLICIT)) == 1
    }
}

extension OCSPAnswer {
    /// What a response says about the first certificate of a chain, by its serial number alone. Neither
    /// signature nor time is looked at: for responses an operator gives as a file.
    init(unverified response: [UInt8], for leaf: Certificate) throws(OCSPRefusal) {
        defer { ERR_clear_error() }
        let basic = try BasicResponse(response)
        for i in 0..<OCSP_resp_count(basic.pointer) {
            guard let id = OCSP_SINGLERESP_get0_id(OCSP_resp_get0(basic.pointer, i)) else { continue }
            var serial: UnsafeMutablePointer<ASN1_INTEGER>?
            OCSP_id_get0_info(nil, nil, nil, &serial, id)
            guard let serial, ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf.x509)) == 0,
                let answer = basic.answer(at: i)
            else { continue }
            self = answer
            return
        }
        throw .otherCertificate
    }
}

/// The inside of a successful response, owned.
private final class BasicResponse {
    let pointer: OpaquePointer

    init(_ der: [UInt8]) throws(OCSPRefusal) {
        let (basic, status) = der.withUnsafeBufferPointer { bytes -> (OpaquePointer?, Int32) in
            var cursor = bytes.baseAddress
            guard !bytes.isEmpty, let response = d2i_OCSP_RESPONSE(nil, &cursor, bytes.count) else {
                return (nil, OCSP_RESPONSE_STATUS_SUCCESSFUL)
            }
            defer { OCSP_RESPONSE_free(response) }
            let status = OCSP_response_status(response)
            return (
                status == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(response) : nil, status
            )
        }
        guard let basic else {
            throw status == OCSP_RESPONSE_STATUS_SUCCESSFUL ? .malformed : .noAnswer(status)
        }
        pointer = basic
    }

    deinit { OCSP_BASICRESP_free(pointer) }

    /// - Parameter index: of the single response; negative: none.
    func answer(at index: Int32) -> OCSPAnswer? {
        guard index >= 0, let single = OCSP_resp_get0(pointer, index) else { return nil }
        var revokedAt: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
        var thisUpdate: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
        var nextUpdate: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
        let found = OCSP_single_get0_status(single, nil, &revokedAt, &thisUpdate, &nextUpdate)
        guard let from = CertificateInfo.seconds(thisUpdate) else { return nil }
        let status: OCSPAnswer.Status =
            switch found {
            case V_OCSP_CERTSTATUS_GOOD: .good
            case V_OCSP_CERTSTATUS_REVOKED: .revoked(atSeconds: CertificateInfo.seconds(revokedAt) ?? 0)
            default: .unknown
            }
        // A time that cannot be read is none that can be relied on.
        let until = nextUpdate == nil ? nil : CertificateInfo.seconds(nextUpdate) ?? from
        return OCSPAnswer(status, thisUpdate: from, nextUpdate: until)
    }
}
