// Which protocol versions and ciphers are used: Mozilla's three server-side profiles, by their names.
//
// https://wiki.mozilla.org/Security/Server_Side_TLS, without finite-field Diffie-Hellman and 3DES. Within
// what a profile allows the server's order decides, except that a client that puts ChaCha20 first (a
// machine without AES instructions) gets it.

import COpenSSL

/// A named set of protocol versions and ciphers.
public enum TLSProfile: String, Sendable, CaseIterable {
    /// TLS 1.3 only.
    case modern
    /// TLS 1.2 with ECDHE and an AEAD cipher, and TLS 1.3.
    case intermediate
    /// TLS 1.0 and later, with CBC ciphers and RSA key exchange. Insecure: for clients that cannot be replaced.
    case old

    var minVersion: Int32 {
        switch self {
        case .modern: TLS1_3_VERSION
        case .intermediate: TLS1_2_VERSION
        case .old: TLS1_VERSION
        }
    }

    /// TLS 1.2 and below.
    var cipherList: String {
        let aead =
            "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
            + ":ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
        switch self {
        case .modern, .intermediate: return aead + ":@SECLEVEL=2"
        case .old:
            return aead
                + ":ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"
                + ":ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384"
                + ":ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:AES128-GCM-SHA256:AES256-GCM-SHA384"
                + ":AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA:@SECLEVEL=0"
        }
    }

    /// TLS 1.3, in Mozilla's order: AES-128 is the cheapest and strong enough.
    static let cipherSuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    static let groups = "X25519:P-256:P-384"
}

/// Why a context could not be made of checked certificates. OpenSSL's text.
public struct TLSSetupError: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String

    /// From this thread's error queue, which is emptied.
    init(_ what: String) {
        let code = TLSFailure.drainErrorQueue()
        if code != 0, let text = ERR_reason_error_string(code) {
            description = "\(what): \(String(cString: text))"
        } else {
            description = what
        }
    }
}

/// What server and client contexts have in common.
enum ContextSetup {
    static func make(_ method: OpaquePointer?, _ profile: TLSProfile) throws(TLSSetupError) -> OpaquePointer {
        ERR_clear_error()
        guard let context = SSL_CTX_new(method) else { throw TLSSetupError("no TLS context") }
        let options =
            weir_op_no_compression() | weir_op_no_renegotiation() | weir_op_cipher_server_preference()
            | weir_op_prioritize_chacha()
        // What the system's openssl.cnf forbids or allows is not asked: the profile is the whole truth.
        SSL_CTX_clear_options(context, weir_op_no_versions())
        SSL_CTX_set_options(context, options)
        weir_ctx_set_mode(
            context,
            Int(SSL_MODE_RELEASE_BUFFERS) | Int(SSL_MODE_ENABLE_PARTIAL_WRITE)
                | Int(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
        weir_ctx_set_read_ahead(context)
        guard weir_ctx_set_min_version(context, profile.minVersion) == 1,
            weir_ctx_set_max_version(context, 0) == 1,
            SSL_CTX_set_cipher_list(context, profile.cipherList) == 1,
            SSL_CTX_set_ciphersuites(context, TLSProfile.cipherSuites) == 1,
            weir_ctx_set_groups(context, TLSProfile.groups) == 1
        else {
            let error = TLSSetupError("profile \(profile.rawValue)")
            SSL_CTX_free(context)
            throw error
        }
        SSL_CTX_set_info_callback(context) { ssl, place, value in
            guard let ssl, let data = weir_ssl_get_app_data(ssl) else { return }
            let state = data.assumingMemoryBound(to: SessionState.self)
            if place & SSL_CB_ALERT != 0 {
                // close_notify is no failure.
                if value & 0xff == 0 { return }
                state.pointee.alert = Int16(value & 0xff)
                state.pointee.isAlertReceived = place & SSL_CB_READ != 0
            } else if place & SSL_CB_LOOP != 0, state.pointee.isEstablished {
                state.pointee.lateMessages &+= 1
            }
        }
        return context
    }

    /// Adds a certificate with its chain and key.
    static func use(_ certificate: ServerCertificate, in context: OpaquePointer) throws(TLSSetupError) {
        guard let issuers = weir_x509_stack_new() else { throw TLSSetupError("out of memory") }
        defer { weir_x509_stack_free(issuers) }
        for issuer in certificate.chain.dropFirst() where !issuer.isSelfIssued {
            weir_x509_stack_push(issuers, issuer.x509)
        }
        if SSL_CTX_use_cert_and_key(context, certificate.chain[0].x509, certificate.key, issuers, 1) != 1 {
            throw TLSSetupError("certificate \(certificate.info.subject)")
        }
    }

    /// ALPN names in the form of the extension (RFC 7301 §3.1).
    static func wireForm(_ protocols: [String]) -> [UInt8] {
        var wire: [UInt8] = []
        for name in protocols where !name.isEmpty && name.utf8.count <= 255 {
            wire.append(UInt8(name.utf8.count))
            wire += Array(name.utf8)
        }
        return wire
    }
}
