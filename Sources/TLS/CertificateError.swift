// What can be wrong with certificates, keys and CA files, in words an operator can act on.

import NamedFiles

/// Why certificate material cannot be used. `description` names the file and what to do.
public enum CertificateError: Error, Sendable, Equatable, CustomStringConvertible {
    case file(String, NamedFileError)
    case notPEM(String)
    /// PEM, but not what belongs there: "PRIVATE KEY" where a certificate is wanted.
    case wrongContent(String, found: String)
    case certificateMalformed(String, index: Int)
    case keyEncrypted(String)
    case keyMalformed(String)
    /// No key in the file; what is there instead, nil: no PEM.
    case keyNotFound(String, found: String?)
    case keyUnsupported(String)
    /// The certificate's file and the key's.
    case keyMismatch(String, key: String)
    /// The permission bits.
    case keyWorldReadable(String, mode: UInt32)
    /// The certificate at this place (from 1) was not issued by the one after it.
    case chainOutOfOrder(String, index: Int)
    /// OpenSSL refuses it: too short a key, too weak a digest.
    case refused(String, reason: String)
    /// An OCSP response that cannot be read, or is for another certificate.
    case statusMalformed(String)

    public var description: String {
        switch self {
        case .file(let file, let error): "\(file) \(error)"
        case .notPEM(let file): "\(file) is not a PEM file"
        case .wrongContent(let file, let found): "\(file) holds \(found), not a certificate"
        case .certificateMalformed(let file, let index): "certificate \(index) of \(file) cannot be read"
        case .keyEncrypted(let file): "the key in \(file) is encrypted; Weir cannot ask for its passphrase"
        case .keyMalformed(let file): "the key in \(file) cannot be read"
        case .keyNotFound(let file, let found):
            found.map { "\(file) holds \($0), not a private key" } ?? "\(file) is not a PEM file"
        case .keyUnsupported(let file): "the key in \(file) is of a kind TLS has no use for"
        case .keyMismatch(let file, let key):
            "the key in \(key) does not belong to the certificate in \(file)"
        case .keyWorldReadable(let file, let mode):
            "\(file) can be read by everybody (mode \(octal(mode)))"
        case .chainOutOfOrder(let file, let index):
            "certificate \(index) of \(file) was not issued by the next one: the chain is out of order"
        case .refused(let file, let reason): "\(file) is refused: \(reason)"
        case .statusMalformed(let file): "\(file) is not an OCSP response for this certificate"
        }
    }

    /// Which of the files of a certificate is meant.
    public enum Subject: Sendable { case certificate, key, status }

    public var subject: Subject {
        switch self {
        case .keyEncrypted, .keyMalformed, .keyUnsupported, .keyMismatch, .keyWorldReadable, .keyNotFound:
            .key
        case .statusMalformed: .status
        default: .certificate
        }
    }

    /// How to mend it; nil when the description says enough.
    public var hint: String? {
        switch self {
        case .keyWorldReadable(let file, _): "run: chmod o-rwx \(file)"
        case .keyEncrypted(let file): "decrypt it: openssl pkey -in \(file) -out KEY"
        case .notPEM(let file):
            "expected text with -----BEGIN …-----; from DER: openssl x509 -inform der -in \(file)"
        case .chainOutOfOrder: "expected the server's certificate first, then each issuer in turn"
        default: nil
        }
    }
}

private func octal(_ mode: UInt32) -> String {
    let digits = String(mode & 0o777, radix: 8)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}
