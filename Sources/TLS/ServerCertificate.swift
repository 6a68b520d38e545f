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
    /// Where the OCSP response to staple stands; nil: none is wanted.
    public let staple: StapleSlot?
    /// What the response given as a file says; nil: none was given.
    public let statusGiven: OCSPAnswer?
    /// How the responder is asked for the response to staple; nil: it is not to be asked.
    public let question: Result<OCSPQuestion, OCSPObstacle>?

    /// Checks a chain and a key against each other.
    /// - Parameters:
    ///   - chain: PEM, the server's certificate first.
    ///   - key: PEM of an unencrypted private key; refused when its mode lets everybody read it.
    ///   - status: an OCSP response in DER (RFC 6960) for the first certificate, or nil.
    ///   - asksResponder: staple what the certificate's responder says, instead of a file. That it cannot be
    ///     asked is no error: a renewal must not fail because the CA has done away with its responder.
    public init(
        chain chainFile: PEMFile, key keyFile: PEMFile, status: PEMFile? = nil, asksResponder: Bool = false
    ) throws(CertificateError) {
        chain = try Certificate.parse(chainFile)
        if keyFile.isWorldReadable { throw .keyWorldReadable(keyFile.path, mode: keyFile.mode) }
        for i in 1..<max(1, chain.count) where !chain[i - 1].isIssued(by: chain[i]) {
            throw .chainOutOfOrder(chainFile.path, index: i)
        }
        var statusGiven: OCSPAnswer?
        if let status {
            // Its signature and age are the client's to judge; what is wrong altogether would only harm.
            do throws(OCSPRefusal) {
                statusGiven = try OCSPAnswer(unverified: status.bytes, for: chain[0])
            } catch {
                throw .statusMalformed(status.path)
            }
        }
        let key = try Self.readKey(keyFile)
        if X509_check_private_key(chain[0].x509, key) != 1 {
            ERR_clear_error()
            EVP_PKEY_free(key)
            throw .keyMismatch(chainFile.path, key: keyFile.path)
        }
        self.key = key
        self.statusGiven = statusGiven
        let chain = chain
        question =
            asksResponder ? Result { () throws(OCSPObstacle) in try OCSPQuestion(chain) } : nil
        staple = status.map { StapleSlot($0.bytes) } ?? (asksResponder ? StapleSlot() : nil)
        info = CertificateInfo(chain)
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
}
