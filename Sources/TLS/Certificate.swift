// An X.509 certificate, owned (RFC 5280).

import COpenSSL

/// One certificate. Immutable after parsing.
final class Certificate: @unchecked Sendable {
    let x509: OpaquePointer

    /// Takes over the caller's reference.
    init(owning x509: OpaquePointer) { self.x509 = x509 }

    deinit { X509_free(x509) }

    /// All certificates of a PEM text, in order.
    static func parse(_ file: PEMFile) throws(CertificateError) -> [Certificate] {
        var result: [Certificate] = []
        var failure: CertificateError?
        let text = file.bytes
        ERR_clear_error()
        _ = withMemoryBIO(text) { bio in
            while let x509 = PEM_read_bio_X509(bio, nil, nil, nil) {
                result.append(Certificate(owning: x509))
            }
            let code = ERR_peek_last_error()
            let isEnd = weir_err_lib(code) == ERR_LIB_PEM && weir_err_reason(code) == PEM_R_NO_START_LINE
            if code != 0 && !isEnd { failure = .certificateMalformed(file.path, index: result.count + 1) }
            ERR_clear_error()
        }
        if let failure { throw failure }
        if result.isEmpty {
            if let found = firstLabel(text) { throw .wrongContent(file.path, found: found) }
            throw .notPEM(file.path)
        }
        return result
    }

    /// The label of the first PEM block, such as "PRIVATE KEY".
    static func firstLabel(_ text: [UInt8]) -> String? {
        let marker = Array("-----BEGIN ".utf8)
        guard text.count > marker.count else { return nil }
        for start in 0...(text.count - marker.count) where text[start] == marker[0] {
            guard text[start..<(start + marker.count)].elementsEqual(marker) else { continue }
            let label = text[(start + marker.count)...].prefix(40).prefix { $0 != 0x2d && $0 != 0x0a }
            return "a " + String(decoding: label, as: UTF8.self)
        }
        return nil
    }

    /// Whether `other` issued this certificate, by name and key identifier.
    func isIssued(by other: Certificate) -> Bool { X509_check_issued(other.x509, x509) == X509_V_OK }

    var isSelfIssued: Bool { X509_check_issued(x509, x509) == X509_V_OK }
}
