// Certificates for tests, made in memory: times and names are whatever a test needs.

import COpenSSL
import Glibc
import Testing

@testable import TLS

/// The moment most tests play at: real time, since OpenSSL verifies with its own clock.
let nowSeconds = Int64(time(nil))
let day: Int64 = 86_400

/// A private key of the tests.
final class TestKey: @unchecked Sendable {
    enum Kind { case ecdsa, rsa, ed25519 }
    let key: OpaquePointer

    init(_ kind: Kind) throws {
        let context: OpaquePointer?
        switch kind {
        case .ecdsa: context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil)
        case .rsa: context = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nil)
        case .ed25519: context = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nil)
        }
        let generator = try #require(context)
        defer { EVP_PKEY_CTX_free(generator) }
        try #require(EVP_PKEY_keygen_init(generator) == 1)
        if kind == .ecdsa { try #require(EVP_PKEY_CTX_set_group_name(generator, "P-256") == 1) }
        if kind == .rsa { try #require(EVP_PKEY_CTX_set_rsa_keygen_bits(generator, 2048) == 1) }
        var made: OpaquePointer?
        try #require(EVP_PKEY_keygen(generator, &made) == 1)
        key = try #require(made)
    }

    deinit { EVP_PKEY_free(key) }

    var pem: [UInt8] { written { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) } }

    /// Encrypted with a passphrase.
    var encryptedPEM: [UInt8] {
        let passphrase = Array("secret".utf8)
        return written {
            PEM_write_bio_PKCS8PrivateKey(
                $0, key, EVP_aes_256_cbc(), "secret", Int32(passphrase.count), nil, nil)
        }
    }

    // Generating RSA keys is slow: tests share these.
    static let shared: (ecdsa: TestKey, rsa: TestKey) = {
        guard let ecdsa = try? TestKey(.ecdsa), let rsa = try? TestKey(.rsa) else { fatalError("no keys") }
        return (ecdsa, rsa)
    }()
}

func written(_ write: (OpaquePointer) -> Int32) -> [UInt8] {
    guard let bio = BIO_new(BIO_s_mem()) else { return [] }
    defer { BIO_free(bio) }
    #expect(write(bio) == 1)
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = BIO_read(bio, &bytes, Int32(bytes.count))
    return Array(bytes[0..<max(0, Int(count))])
}

/// A CA, or a self-signed server, that issues certificates.
final class TestAuthority: @unchecked Sendable {
    let name: String
    let key: TestKey
    let certificate: OpaquePointer
    private let issuer: TestAuthority?

    /// A root, or an intermediate of `issuer`.
    init(_ name: String, issuer: TestAuthority? = nil, key: TestKey? = nil) throws {
        self.name = name
        self.issuer = issuer
        self.key = try key ?? TestKey(.ecdsa)
        certificate = try makeCertificate(
            subject: name, key: self.key, issuer: issuer.map { ($0.name, $0.key) } ?? (name, self.key),
            extensions: [
                (NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign"),
            ], notBefore: nowSeconds - 1000 * day, notAfter: nowSeconds + 1000 * day)
    }

    deinit { X509_free(certificate) }

    var pem: [UInt8] { written { PEM_write_bio_X509($0, certificate) } }

    func authorities() throws -> CertificateAuthorities {
        try CertificateAuthorities(PEMFile(path: "\(name).pem", bytes: pem))
    }

    /// A certificate in PEM: names are DNS names, addresses those with only digits and dots or a colon.
    func issue(
        _ names: [String], key: TestKey = TestKey.shared.ecdsa, notBefore: Int64 = nowSeconds - day,
        notAfter: Int64 = nowSeconds + 90 * day, isClient: Bool = false, subject: String? = nil,
        usage: String? = nil, responders: [String] = []
    ) throws -> [UInt8] {
        let alternatives = names.map { name in
            let isAddress = name.contains(":") || name.allSatisfy { $0.isNumber || $0 == "." }
            return "\(isAddress ? "IP" : "DNS"):\(name)"
        }
        var extensions: [(Int32, String)] = [
            (NID_ext_key_usage, usage ?? (isClient ? "clientAuth" : "serverAuth")),
            (NID_key_usage, "digitalSignature"),
        ]
        if !responders.isEmpty {
            extensions.append((NID_info_access, responders.map { "OCSP;URI:\($0)" }.joined(separator: ",")))
        }
        if !names.isEmpty { extensions.append((NID_subject_alt_name, alternatives.joined(separator: ","))) }
        let made = try makeCertificate(
            subject: subject ?? names.first ?? "nobody", key: key, issuer: (name, self.key),
            extensions: extensions,
            notBefore: notBefore, notAfter: notAfter)
        defer { X509_free(made) }
        return written { PEM_write_bio_X509($0, made) }
    }

    /// What a server or client presents: its certificate, this CA's when it is an intermediate, the key.
    func identity(
        _ names: [String], key: TestKey = TestKey.shared.ecdsa, notBefore: Int64 = nowSeconds - day,
        notAfter: Int64 = nowSeconds + 90 * day, isClient: Bool = false, status: [UInt8]? = nil,
        subject: String? = nil
    ) throws -> ServerCertificate {
        let leaf = try issue(
            names, key: key, notBefore: notBefore, notAfter: notAfter, isClient: isClient, subject: subject)
        return try ServerCertificate(
            chain: PEMFile(path: "chain.pem", bytes: leaf + (issuer == nil ? [] : pem)),
            key: PEMFile(path: "key.pem", bytes: key.pem),
            status: status.map { PEMFile(path: "status.der", bytes: $0) })
    }

    static let shared: TestAuthority = {
        guard let made = try? TestAuthority("Test CA") else { fatalError("no CA") }
        return made
    }()
}

private func makeCertificate(
    subject: String, key: TestKey, issuer: (name: String, key: TestKey), extensions: [(Int32, String)],
    notBefore: Int64, notAfter: Int64
) throws -> OpaquePointer {
    let x509 = try #require(X509_new())
    X509_set_version(x509, 2)
    var number: UInt64 = 0
    withUnsafeMutableBytes(of: &number) { _ = RAND_bytes($0.baseAddress, 7) }
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), number)
    ASN1_TIME_set(X509_getm_notBefore(x509), Int(notBefore))
    ASN1_TIME_set(X509_getm_notAfter(x509), Int(notAfter))
    X509_set_pubkey(x509, key.key)
    for (name, place) in [(subject, X509_get_subject_name(x509)), (issuer.name, X509_get_issuer_name(x509))] {
        try #require(X509_NAME_add_entry_by_txt(place, "CN", MBSTRING_UTF8, name, -1, -1, 0) == 1)
    }
    for (kind, value) in extensions {
        let made = try #require(X509V3_EXT_conf_nid(nil, nil, kind, value), "\(value)")
        defer { X509_EXTENSION_free(made) }
        try #require(X509_add_ext(x509, made, -1) == 1)
    }
    let digest = EVP_PKEY_get_base_id(issuer.key.key) == EVP_PKEY_ED25519 ? nil : EVP_sha256()
    try #require(X509_sign(x509, issuer.key.key, digest) > 0)
    return x509
}
