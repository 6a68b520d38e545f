// What a client's certificate says, as routing and templates read it. Made by whoever speaks TLS, after
// the certificate was verified: nothing here decides whom to believe.

/// A piece of a certificate.
public enum CertificatePart: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// The certificate as such: is there one?
    case whole
    case subject, issuer, san, fingerprint, serial
}

/// The texts of a certificate. Plain pointers, valid as long as the client's connection; printable
/// ASCII throughout.
public struct CertificateView: BitwiseCopyable {
    public typealias Text = UnsafeBufferPointer<UInt8>

    /// RFC 4514; empty where the names are in `san` alone.
    public var subject = Text(start: nil, count: 0)
    /// RFC 4514.
    public var issuer = Text(start: nil, count: 0)
    /// "DNS:a.example, URI:spiffe://b": commas within a name are escaped, so ", " only stands between two.
    public var san = Text(start: nil, count: 0)
    /// SHA-256, in lower-case hexadecimal.
    public var fingerprint = Text(start: nil, count: 0)
    /// In lower-case hexadecimal.
    public var serial = Text(start: nil, count: 0)

    public init() {}

    subscript(part: CertificatePart) -> Text {
        switch part {
        case .whole: Text(start: nil, count: 0)
        case .subject: subject
        case .issuer: issuer
        case .san: san
        case .fingerprint: fingerprint
        case .serial: serial
        }
    }
}

/// Walks alternative names. No allocation.
struct AlternativeNames {
    private var rest: CertificateView.Text

    init(_ text: CertificateView.Text) { rest = text }

    mutating func next() -> CertificateView.Text? {
        if rest.isEmpty { return nil }
        var end = 0
        while end < rest.count, rest[end] != 0x2c { end += 1 }
        let name = CertificateView.Text(rebasing: rest[..<end])
        // Behind the comma and the space.
        rest = CertificateView.Text(rebasing: rest[min(end + 2, rest.count)...])
        return name
    }
}
