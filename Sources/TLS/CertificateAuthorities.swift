// The certificates a verification trusts.

import COpenSSL

/// A bundle of CA certificates, to verify clients or upstream servers with. Immutable.
public final class CertificateAuthorities: Sendable {
    /// Where the system keeps its own on Debian.
    public static let systemBundle = "/etc/ssl/certs/ca-certificates.crt"

    let certificates: [Certificate]
    /// SHA-256 of all of them: two bundles that trust the same have the same.
    let digest: [UInt8]

    /// - Parameter file: PEM certificates in any order.
    public init(_ file: PEMFile) throws(CertificateError) {
        certificates = try Certificate.parse(file)
        var all: [UInt8] = []
        for certificate in certificates { all += CertificateInfo.fingerprint(certificate.x509) }
        digest = sha256(all)
    }

    public var infos: [CertificateInfo] { certificates.map { CertificateInfo([$0]) } }

    /// Makes a context trust these and nothing else.
    func install(in context: OpaquePointer) -> Bool {
        guard let store = SSL_CTX_get_cert_store(context) else { return false }
        for certificate in certificates where X509_STORE_add_cert(store, certificate.x509) != 1 {
            return false
        }
        // An intermediate CA in the bundle is trusted for itself, whether or not its root is there.
        return X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN)) == 1
    }
}

func sha256(_ bytes: [UInt8]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 64) { room, count in
        var length: UInt32 = 0
        let isDone = EVP_Digest(bytes, bytes.count, room.baseAddress, &length, EVP_sha256(), nil) == 1
        count = isDone ? Int(length) : 0
    }
}
