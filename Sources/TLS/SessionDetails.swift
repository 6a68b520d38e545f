// What was negotiated on a connection, and who the peer is.

import COpenSSL

/// The certificate a peer showed.
public struct PeerCertificate: Sendable, Equatable {
    public var info: CertificateInfo
    /// It led to a trusted CA and was valid. A server never sees an unverified one: such handshakes fail.
    public var isVerified: Bool
}

/// What ALPN agreed on.
public enum NegotiatedProtocol: UInt8, Sendable, BitwiseCopyable {
    /// ALPN was not spoken, or not by both.
    case none
    case http11
    case h2
    case other
}

extension TLSSession {
    public enum Version: UInt8, Sendable, CaseIterable, BitwiseCopyable {
        case unknown, tls10, tls11, tls12, tls13

        /// As access logs and `openssl` write it.
        public var name: StaticString {
            switch self {
            case .unknown: "-"
            case .tls10: "TLSv1"
            case .tls11: "TLSv1.1"
            case .tls12: "TLSv1.2"
            case .tls13: "TLSv1.3"
            }
        }
    }

    public var version: Version {
        switch SSL_version(state.pointee.ssl) {
        case TLS1_VERSION: .tls10
        case TLS1_1_VERSION: .tls11
        case TLS1_2_VERSION: .tls12
        case TLS1_3_VERSION: .tls13
        default: .unknown
        }
    }

    /// The cipher's name as OpenSSL writes it, such as "TLS_AES_128_GCM_SHA256"; static memory.
    public var cipher: UnsafePointer<CChar>? {
        SSL_get_current_cipher(state.pointee.ssl).flatMap { SSL_CIPHER_get_name($0) }
    }

    /// What ALPN agreed on.
    public var negotiatedProtocol: NegotiatedProtocol {
        var bytes: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(state.pointee.ssl, &bytes, &count)
        guard let bytes, count > 0 else { return .none }
        if count == 2, bytes[0] == 0x68, bytes[1] == 0x32 { return .h2 }
        let http11: StaticString = "http/1.1"
        if count == 8, (0..<8).allSatisfy({ bytes[$0] == http11.utf8Start[$0] }) { return .http11 }
        return .other
    }

    /// The name the client asked for, as it wrote it, valid as long as the session; nil: none.
    public var serverName: UnsafePointer<CChar>? {
        SSL_get_servername(state.pointee.ssl, weir_ssl_is_server_name_type())
    }

    /// Whether an earlier session was resumed: no certificate was sent.
    public var isResumed: Bool { SSL_session_reused(state.pointee.ssl) == 1 }

    /// The certificate the peer showed, now or in the session that was resumed. Allocates: ask once per
    /// connection.
    public var peerCertificate: PeerCertificate? {
        guard let x509 = weir_ssl_get_peer_certificate(state.pointee.ssl) else { return nil }
        defer { X509_free(x509) }
        let isVerified =
            SSL_get_verify_mode(state.pointee.ssl) & SSL_VERIFY_PEER != 0
            && SSL_get_verify_result(state.pointee.ssl) == X509_V_OK
        return PeerCertificate(info: CertificateInfo(leaf: x509), isVerified: isVerified)
    }
}
