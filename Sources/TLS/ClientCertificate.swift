// What a client's certificate says, as text: for routing, header fields and logs.
//
// These texts go into header fields that endpoints believe, so nothing in a certificate may end a field
// or make one name look like two: control characters, bytes that are not ASCII and, in alternative
// names, commas, quotes and backslashes come out as a backslash and two hexadecimal digits (the form of
// RFC 4514 §2.4), and a NUL ends nothing. Read from OpenSSL once per connection, when first asked for;
// connections whose listener asks for no certificates pay nothing. Names that are no text (X.400,
// directory names, other names) are left out.

import COpenSSL

/// The texts of a certificate that was verified. Plain memory, which belongs to the session.
public struct ClientCertificate: BitwiseCopyable {
    public typealias Text = UnsafeBufferPointer<UInt8>

    /// RFC 4514: "CN=Ann,O=Example"; empty where the names are in `san` alone.
    public let subject: Text
    /// RFC 4514.
    public let issuer: Text
    /// "DNS:ann.example, URI:spiffe://example/ann": `DNS:` (in lower case), `email:`, `URI:`, `IP:`.
    public let san: Text
    /// SHA-256, in lower-case hexadecimal.
    public let fingerprint: Text
    /// In lower-case hexadecimal.
    public let serial: Text

    private let memory: UnsafeMutablePointer<UInt8>

    init(_ x509: OpaquePointer) {
        let texts = [
            Array(CertificateInfo.text(X509_get_subject_name(x509)).utf8),
            Array(CertificateInfo.text(X509_get_issuer_name(x509)).utf8), Self.alternativeNames(x509),
            Array(CertificateInfo.hexadecimal(CertificateInfo.fingerprint(x509)).utf8),
            Array(CertificateInfo.serial(x509).utf8),
        ].map { Self.printable($0) }
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, texts.reduce(0) { $0 + $1.count }))
        var count = 0
        func place(_ text: [UInt8]) -> Text {
            let start = memory + count
            start.initialize(from: text, count: text.count)
            count += text.count
            return Text(start: start, count: text.count)
        }
        self.memory = memory
        subject = place(texts[0])
        issuer = place(texts[1])
        san = place(texts[2])
        fingerprint = place(texts[3])
        serial = place(texts[4])
    }

    func deallocate() { memory.deallocate() }

    /// OpenSSL escapes names itself; should it ever let something through, it ends here.
    private static func printable(_ text: [UInt8]) -> [UInt8] {
        if text.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) { return text }
        var safe: [UInt8] = []
        for byte in text { append(byte, isSafe: byte >= 0x20 && byte < 0x7f, &safe) }
        return safe
    }

    private static func append(_ byte: UInt8, isSafe: Bool, _ text: inout [UInt8]) {
        if isSafe {
            text.append(byte)
            return
        }
        let digits: StaticString = "0123456789ABCDEF"
        text += [0x5c, digits.utf8Start[Int(byte >> 4)], digits.utf8Start[Int(byte & 15)]]
    }

    private static func alternativeNames(_ x509: OpaquePointer) -> [UInt8] {
        var text: [UInt8] = []
        CertificateInfo.eachAlternativeName(x509) { kind, value in
            let label: StaticString
            var name = Array(value)
            switch kind {
            case GEN_DNS:
                label = "DNS:"
                name = name.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }
            case GEN_EMAIL: label = "email:"
            case GEN_URI: label = "URI:"
            case GEN_IPADD:
                guard let address = CertificateInfo.address(value) else { return }
                label = "IP:"
                name = Array(address.utf8)
            default: return
            }
            if !text.isEmpty { text += [0x2c, 0x20] }
            text += UnsafeBufferPointer(start: label.utf8Start, count: label.utf8CodeUnitCount)
            for byte in name {
                let isSafe = byte >= 0x20 && byte < 0x7f && byte != 0x22 && byte != 0x2c && byte != 0x5c
                append(byte, isSafe: isSafe, &text)
            }
        }
        return text
    }
}

extension TLSSession {
    /// The certificate the client showed, now or in the session that was resumed; nil without one, and
    /// where none is asked for. It was verified: with another one the handshake fails. Valid as long as
    /// the session.
    @inline(__always)
    public var clientCertificate: UnsafePointer<ClientCertificate>? {
        state.pointee.mayHaveCertificate ? readClientCertificate() : nil
    }

    private func readClientCertificate() -> UnsafePointer<ClientCertificate>? {
        if let known = state.pointee.certificate { return UnsafePointer(known) }
        guard state.pointee.isEstablished else { return nil }
        guard let x509 = SSL_get0_peer_certificate(state.pointee.ssl),
            SSL_get_verify_result(state.pointee.ssl) == X509_V_OK
        else {
            state.pointee.mayHaveCertificate = false
            return nil
        }
        let certificate = UnsafeMutablePointer<ClientCertificate>.allocate(capacity: 1)
        certificate.initialize(to: ClientCertificate(x509))
        state.pointee.certificate = certificate
        return UnsafePointer(certificate)
    }
}
