// Why a TLS connection ended: one closed set of reasons.
//
// OpenSSL reports failures as a queue of packed codes; operators need a word to count and alert by.
// Everything the library can report becomes one of these reasons, together with what was observed
// (alert number, errno, verification result), so that the text for a log can be made later. Alerts:
// RFC 8446 §6, RFC 7301 §3.2. It does not decide what happens next.

import COpenSSL
import Glibc

/// Why a handshake or an established TLS connection failed. Plain data: making one allocates nothing.
public struct TLSFailure: Error, Sendable, Equatable, BitwiseCopyable {
    public enum Reason: UInt8, Sendable, CaseIterable, BitwiseCopyable {
        /// No cipher, group or signature algorithm that both sides accept.
        case noSharedCipher
        /// The peer offers only protocol versions below (or above) what the profile allows.
        case versionUnsupported
        /// None of the peer's ALPN protocols is served here (RFC 7301 §3.2).
        case noApplicationProtocol
        /// The client was asked for a certificate and sent none.
        case clientCertificateMissing
        /// The client's certificate does not lead to a trusted CA, or is not for this use.
        case clientCertificateUntrusted
        /// The client's certificate is expired or not valid yet.
        case clientCertificateExpired
        /// The server's certificate does not lead to a trusted CA, or is not for this use.
        case serverCertificateUntrusted
        /// The server's certificate is for other names.
        case serverCertificateNameMismatch
        /// The server's certificate is expired or not valid yet.
        case serverCertificateExpired
        /// The peer refused the certificate we sent (its alert says why).
        case certificateRefused
        /// The peer ended the handshake or connection with an alert not named elsewhere here.
        case alertReceived
        /// What arrived during the handshake is not a TLS handshake.
        case handshakeMalformed
        /// A client spoke HTTP without TLS. Nothing was sent: an answer in plain HTTP is possible.
        case plainHTTPReceived
        /// A record that does not decrypt or is not allowed where it stands.
        case badRecord
        /// The connection ended without close_notify: data may be missing.
        case truncated
        /// The peer closed the connection before the handshake was done.
        case closedDuringHandshake
        /// The socket failed; `systemError` says how.
        case socketFailed
        /// More key updates than any honest peer needs.
        case tooManyKeyUpdates
        /// Memory ran out or OpenSSL failed within itself.
        case internalError

        /// The word used in logs and metric labels.
        public var name: StaticString {
            switch self {
            case .noSharedCipher: "no-shared-cipher"
            case .versionUnsupported: "version-unsupported"
            case .noApplicationProtocol: "no-application-protocol"
            case .clientCertificateMissing: "client-certificate-missing"
            case .clientCertificateUntrusted: "client-certificate-untrusted"
            case .clientCertificateExpired: "client-certificate-expired"
            case .serverCertificateUntrusted: "server-certificate-untrusted"
            case .serverCertificateNameMismatch: "server-certificate-name-mismatch"
            case .serverCertificateExpired: "server-certificate-expired"
            case .certificateRefused: "certificate-refused"
            case .alertReceived: "alert-received"
            case .handshakeMalformed: "handshake-malformed"
            case .plainHTTPReceived: "plain-http-received"
            case .badRecord: "bad-record"
            case .truncated: "truncated"
            case .closedDuringHandshake: "closed-during-handshake"
            case .socketFailed: "socket-failed"
            case .tooManyKeyUpdates: "too-many-key-updates"
            case .internalError: "internal-error"
            }
        }
    }

    public var reason: Reason
    /// The number of the alert that ended the connection, sent or received; -1: none.
    public var alert: Int16
    public var isAlertReceived: Bool
    /// errno of the socket call that failed; 0: none did.
    public var systemError: Int32
    /// OpenSSL's result of verifying the peer's certificate (X509_V_…); 0: nothing wrong with it.
    public var verifyResult: Int32
    /// OpenSSL's packed error code; 0: none.
    public var code: UInt

    public init(
        _ reason: Reason, alert: Int16 = -1, isAlertReceived: Bool = false, systemError: Int32 = 0,
        verifyResult: Int32 = 0, code: UInt = 0
    ) {
        self.reason = reason
        self.alert = alert
        self.isAlertReceived = isAlertReceived
        self.systemError = systemError
        self.verifyResult = verifyResult
        self.code = code
    }

    /// Whether the peer has been told why: by an alert of ours, or, where it spoke HTTP, by an answer in that.
    public var isTold: Bool {
        switch reason {
        case .plainHTTPReceived: true
        // An alert may have been made, and there was nobody to send it to.
        case .truncated, .closedDuringHandshake, .socketFailed: false
        default: alert >= 0 && !isAlertReceived
        }
    }

    /// The details in words, for a log line: "no shared cipher, sent alert 40". Allocates.
    public var detail: String {
        var parts: [String] = []
        if verifyResult != 0 {
            parts.append(String(cString: X509_verify_cert_error_string(Int(verifyResult))))
        }
        if code != 0, let text = ERR_reason_error_string(code) { parts.append(String(cString: text)) }
        if systemError != 0 { parts.append(String(cString: strerror(systemError))) }
        if alert >= 0 { parts.append("\(isAlertReceived ? "received" : "sent") alert \(alert)") }
        return parts.joined(separator: ", ")
    }
}

extension TLSFailure {
    /// Reads and empties this thread's error queue. The first error is the cause; what follows it is
    /// how the failure travelled up.
    static func drainErrorQueue() -> UInt {
        let first = ERR_get_error()
        if first != 0 { ERR_clear_error() }
        return first
    }

    /// The reason for OpenSSL's code.
    static func reason(code: UInt, isHandshake: Bool, isServer: Bool, verifyResult: Int32) -> Reason {
        guard weir_err_lib(code) == ERR_LIB_SSL else {
            return isHandshake ? .handshakeMalformed : .badRecord
        }
        let value = weir_err_reason(code)
        if value >= SSL_AD_REASON_OFFSET { return reason(receivedAlert: value - SSL_AD_REASON_OFFSET) }
        switch value {
        case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SHARED_GROUPS,
            SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
            SSL_R_NO_CIPHERS_AVAILABLE, SSL_R_NO_CIPHERS_SPECIFIED:
            return .noSharedCipher
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_VERSION_TOO_HIGH,
            SSL_R_NO_PROTOCOLS_AVAILABLE, SSL_R_INAPPROPRIATE_FALLBACK, SSL_R_WRONG_SSL_VERSION,
            SSL_R_UNSUPPORTED_SSL_VERSION:
            return .versionUnsupported
        case SSL_R_NO_APPLICATION_PROTOCOL:
            return .noApplicationProtocol
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return .clientCertificateMissing
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            return reason(verifyResult: verifyResult, isServer: isServer)
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
            return isServer ? .plainHTTPReceived : .handshakeMalformed
        case SSL_R_UNEXPECTED_EOF_WHILE_READING:
            return isHandshake ? .closedDuringHandshake : .truncated
        default:
            return isHandshake ? .handshakeMalformed : .badRecord
        }
    }

    private static func reason(receivedAlert alert: Int32) -> Reason {
        switch alert {
        // bad_certificate, unsupported_, _revoked, _expired, _unknown, unknown_ca, certificate_required
        case 42, 43, 44, 45, 46, 48, 116: .certificateRefused
        case 70: .versionUnsupported
        case 120: .noApplicationProtocol
        case 40: .noSharedCipher
        default: .alertReceived
        }
    }

    private static func reason(verifyResult: Int32, isServer: Bool) -> Reason {
        switch verifyResult {
        case X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID:
            isServer ? .clientCertificateExpired : .serverCertificateExpired
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
            isServer ? .clientCertificateUntrusted : .serverCertificateNameMismatch
        default:
            isServer ? .clientCertificateUntrusted : .serverCertificateUntrusted
        }
    }
}
