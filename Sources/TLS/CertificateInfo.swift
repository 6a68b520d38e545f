// What a certificate says, as plain values: for `weir cert`, metrics, logs and the choice between several.

import COpenSSL

/// A certificate in words. Times are seconds since 1970.
public struct CertificateInfo: Sendable, Equatable {
    public enum KeyKind: String, Sendable, CaseIterable {
        case rsa = "RSA"
        case rsaPSS = "RSA-PSS"
        case ecdsa = "ECDSA"
        case ed25519 = "Ed25519"
        case ed448 = "Ed448"
        case other
    }

    /// Whether a client that knows only root CAs can follow the chain.
    public enum Chain: String, Sendable {
        /// The certificate vouches for itself.
        case selfSigned = "self-signed"
        /// The last certificate of the file was issued by one that vouches for itself and is in the file.
        case withRoot = "with root"
        /// The last certificate of the file is an issuer; its own issuer is not in the file.
        case withIssuers = "with issuers"
        /// Only the server's own certificate is there.
        case leafOnly = "leaf only"
    }

    /// RFC 2253: "CN=www.example.com,O=Example".
    public var subject: String
    public var issuer: String
    /// Hexadecimal.
    public var serial: String
    /// DNS names of the subjectAltName, in lower case; the common name when there are none (RFC 9525
    /// forbids clients to look at it, older ones do).
    public var names: [String]
    /// IP addresses of the subjectAltName, as text.
    public var addresses: [String]
    public var notBefore: Int64
    public var notAfter: Int64
    public var keyKind: KeyKind
    public var keyBits: Int
    /// SHA-256 of the DER form.
    public var fingerprint: [UInt8]
    public var chain: Chain
    /// Certificates in the file.
    public var chainCount: Int

    /// Names and addresses together.
    public var subjectAltNames: [String] { names + addresses }
    /// The fingerprint in lower-case hexadecimal.
    public var fingerprintText: String { Self.hexadecimal(fingerprint) }

    /// Whether a time lies within the certificate's validity.
    public func isValid(atSeconds now: Int64) -> Bool { now >= notBefore && now <= notAfter }

    static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}

extension CertificateInfo.KeyKind {
    init(_ key: OpaquePointer) {
        switch EVP_PKEY_get_base_id(key) {
        case EVP_PKEY_RSA: self = .rsa
        case EVP_PKEY_RSA_PSS: self = .rsaPSS
        case EVP_PKEY_EC: self = .ecdsa
        case EVP_PKEY_ED25519: self = .ed25519
        case EVP_PKEY_ED448: self = .ed448
        default: self = .other
        }
    }
}

extension CertificateInfo {
    /// - Parameter chain: at least one, the leaf first.
    init(_ chain: [Certificate]) {
        self.init(leaf: chain[0].x509)
        chainCount = chain.count
        if chain[0].isSelfIssued {
            self.chain = .selfSigned
        } else if let last = chain.last, chain.count > 1 {
            self.chain = last.isSelfIssued ? .withRoot : .withIssuers
        }
    }

    init(leaf x509: OpaquePointer) {
        subject = Self.text(X509_get_subject_name(x509))
        issuer = Self.text(X509_get_issuer_name(x509))
        serial = Self.serial(x509)
        (names, addresses) = Self.alternativeNames(x509)
        if names.isEmpty && addresses.isEmpty, let name = Self.commonName(x509) { names = [name] }
        notBefore = Self.seconds(X509_get0_notBefore(x509)) ?? 0
        notAfter = Self.seconds(X509_get0_notAfter(x509)) ?? 0
        if let key = X509_get0_pubkey(x509) {
            keyKind = KeyKind(key)
            keyBits = Int(EVP_PKEY_get_bits(key))
        } else {
            keyKind = .other
            keyBits = 0
        }
        fingerprint = Self.fingerprint(x509)
        chain = .leafOnly
        chainCount = 1
    }

    static func fingerprint(_ x509: OpaquePointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 64) { room, count in
            count = weir_x509_fingerprint(x509, room.baseAddress) == 1 ? 32 : 0
        }
    }

    static func text(_ name: OpaquePointer?) -> String {
        guard let name, let bio = BIO_new(BIO_s_mem()) else { return "" }
        defer { BIO_free(bio) }
        // Control characters and bytes above 127 come out escaped: the text is safe in a header or log.
        X509_NAME_print_ex(bio, name, 0, weir_name_flags())
        var text: [UInt8] = []
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1_024) { room in
            while true {
                let count = BIO_read(bio, room.baseAddress, 1_024)
                if count <= 0 { return }
                text.append(contentsOf: room[0..<Int(count)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func serial(_ x509: OpaquePointer) -> String {
        guard let number = X509_get0_serialNumber(x509), let big = ASN1_INTEGER_to_BN(number, nil) else {
            return ""
        }
        defer { BN_free(big) }
        guard let text = BN_bn2hex(big) else { return "" }
        defer { CRYPTO_free(text, nil, 0) }
        return String(cString: text).lowercased()
    }

    private static func alternativeNames(_ x509: OpaquePointer) -> ([String], [String]) {
        var names: [String] = []
        var addresses: [String] = []
        eachAlternativeName(x509) { kind, value in
            if kind == GEN_DNS, let name = hostName(value) {
                names.append(name)
            } else if kind == GEN_IPADD, let address = address(value) {
                addresses.append(address)
            }
        }
        return (names, addresses)
    }

    /// Calls `body` with the kind (GEN_DNS, …) and the bytes of every subject alternative name.
    static func eachAlternativeName(
        _ x509: OpaquePointer, _ body: (Int32, UnsafeBufferPointer<UInt8>) -> Void
    ) {
        guard let raw = X509_get_ext_d2i(x509, NID_subject_alt_name, nil, nil) else { return }
        let list = OpaquePointer(raw)
        defer { weir_names_free(list) }
        for i in 0..<weir_names_count(list) {
            var bytes: UnsafePointer<UInt8>?
            var count: Int32 = 0
            let kind = weir_name_at(list, i, &bytes, &count)
            guard let bytes, count > 0 else { continue }
            body(kind, UnsafeBufferPointer(start: bytes, count: Int(count)))
        }
    }

    private static func commonName(_ x509: OpaquePointer) -> String? {
        guard let subject = X509_get_subject_name(x509) else { return nil }
        let at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
        guard at >= 0, let entry = X509_NAME_get_entry(subject, at),
            let value = X509_NAME_ENTRY_get_data(entry),
            let bytes = ASN1_STRING_get0_data(value)
        else { return nil }
        return hostName(UnsafeBufferPointer(start: bytes, count: Int(ASN1_STRING_length(value))))
    }

    /// A name in lower case; nil when it holds what no host name has (a NUL has fooled many).
    private static func hostName(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
        var text: [UInt8] = []
        for byte in bytes {
            switch byte {
            case 0x41...0x5a: text.append(byte | 0x20)
            case 0x61...0x7a, 0x30...0x39, 0x2d, 0x2e, 0x5f, 0x2a: text.append(byte)
            default: return nil
            }
        }
        return text.isEmpty ? nil : String(decoding: text, as: UTF8.self)
    }

    static func address(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
        if bytes.count == 4 { return bytes.map(String.init).joined(separator: ".") }
        guard bytes.count == 16 else { return nil }
        return stride(from: 0, to: 16, by: 2).map {
            String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16)
        }.joined(separator: ":")
    }

    /// Seconds since 1970.
    static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
        guard let time, let epoch = ASN1_TIME_set(nil, 0) else { return nil }
        defer { ASN1_TIME_free(epoch) }
        var days: Int32 = 0
        var seconds: Int32 = 0
        guard ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 else { return nil }
        return Int64(days) * 86_400 + Int64(seconds)
    }
}
