// A server's certificate with its chain, key and OCSP response, checked before anybody is served with it.
//
// Most outages with certificates come from files: the wrong key beside a certificate, a chain in the
// wrong order, a key everybody can read. Each is an error of its own here, before it takes effect.
// A certificate that is expired is no error: choosing between several is CertificateSelection's.

import COpenSSL

/// A certificate and key that TLS servers (or clients) present. Immutable.
public final class ServerCertificate: @unchecked Sendable {
    public let info: CertificateInfo
    /// The leaf first, then its issuers as far as the file has them.
    let chain: [Certificate]
    let key: OpaquePointer
    /// DER of an OCSP response to staple, as given.
    let status: [UInt8]

    /// Checks a chain and a key against each other.
    /// - Parameters:
    ///   - chain: PEM, the server's certificate first.
    ///   - key: PEM of an unencrypted private key; refused when its mode lets everybody read it.
    ///   - status: an OCSP response in DER (RFC 6960) for the first certificate, or nil.
    public init(chain chainFile: PEMFile, key keyFile: PEMFile, status: PEMFile? = nil)
        throws(CertificateError)
    {
        chain = try Certificate.parse(chainFile)
        if keyFile.isWorldReadable { throw .keyWorldReadable(keyFile.path, mode: keyFile.mode) }
        for i in 1..<max(1, chain.count) where !chain[i - 1].isIssued(by: chain[i]) {
            throw .chainOutOfOrder(chainFile.path, index: i)
        }
        let key = try Self.readKey(keyFile)
        if X509_check_private_key(chain[0].x509, key) != 1 {
            ERR_clear_error()
            EVP_PKEY_free(key)
            throw .keyMismatch(chainFile.path, key: keyFile.path)
        }
        self.key = key
        info = CertificateInfo(chain)
        self.status = status?.bytes ?? []
        if let status, !Self.isStatus(status.bytes, for: chain) { throw .statusMalformed(status.path) }
    }

    deinit { EVP_PKEY_free(key) }

    private static func readKey(_ file: PEMFile) throws(CertificateError) -> OpaquePointer {
        ERR_clear_error()
        var wantsPassword = false
        let key = withMemoryBIO(file.bytes) { bio in
            // OpenSSL asks for a passphrase through this: the question itself is the answer.
            withUnsafeMutablePointer(to: &wantsPassword) { asked in
                PEM_read_bio_PrivateKey(
                    bio, nil,
                    { _, _, _, asked in
                        asked?.assumingMemoryBound(to: Bool.self).pointee = true
                        return -1
                    }, asked)
            }
        }
        ERR_clear_error()
        guard let key, let key else {
            if wantsPassword { throw .keyEncrypted(file.path) }
            let label = Certificate.firstLabel(file.bytes)
            if let label, label.hasSuffix("PRIVATE KEY") { throw .keyMalformed(file.path) }
            throw .keyNotFound(file.path, found: label)
        }
        switch CertificateInfo.KeyKind(key) {
        case .other:
            EVP_PKEY_free(key)
            throw .keyUnsupported(file.path)
        default: return key
        }
    }

    /// Whether bytes are an OCSP response about the leaf of a chain. Its signature and age are the
    /// client's to judge; what is wrong altogether would only harm.
    private static func isStatus(_ der: [UInt8], for chain: [Certificate]) -> Bool {
        guard !der.isEmpty else { return false }
        var cursor: UnsafePointer<UInt8>?
        return der.withUnsafeBufferPointer { bytes in
            cursor = bytes.baseAddress
            guard let response = d2i_OCSP_RESPONSE(nil, &cursor, bytes.count) else {
                ERR_clear_error()
                return false
            }
            defer { OCSP_RESPONSE_free(response) }
            guard OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL,
                let basic = OCSP_response_get1_basic(response)
            else { return false }
            defer { OCSP_BASICRESP_free(basic) }
            for i in 0..<OCSP_resp_count(basic) {
                guard let id = OCSP_SINGLERESP_get0_id(OCSP_resp_get0(basic, i)) else { continue }
                var serial: UnsafeMutablePointer<ASN1_INTEGER>?
                OCSP_id_get0_info(nil, nil, nil, &serial, id)
                if let serial, ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(chain[0].x509)) == 0 {
                    return true
                }
            }
            return false
        }
    }
}
