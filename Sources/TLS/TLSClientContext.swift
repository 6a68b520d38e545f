// How Weir connects to upstream servers over TLS: whom it trusts, what it shows, what it speaks.
//
// Verification is on unless it is switched off by name, and then every connection checks the chain and
// the name or address (RFC 9525). Immutable, shared by all workers. Sessions are saved per endpoint and
// thread (TLSThread), and only for the context they were made with.

import COpenSSL
import Glibc
import Synchronization

/// The TLS side of a service.
public final class TLSClientContext: @unchecked Sendable {
    public struct Settings: Sendable {
        /// Check the server's certificate and name.
        public var verifies = true
        /// Whom to trust; nil: the system's CAs.
        public var authorities: CertificateAuthorities?
        /// The name (or IP address) to ask for and to verify; nil: that of each connection.
        public var serverName: String?
        /// Shown to servers that ask for it.
        public var certificate: ServerCertificate?
        /// Names in order of preference; empty: ALPN is not spoken.
        public var alpn: [String] = []
        public var profile = TLSProfile.intermediate

        public init() {}
    }

    public let settings: Settings
    /// Different for every context of the process.
    let id: UInt64
    let sslContext: OpaquePointer

    private static let nextID = Atomic<UInt64>(1)

    public init(_ settings: Settings) throws(TLSSetupError) {
        self.settings = settings
        id = Self.nextID.add(1, ordering: .relaxed).newValue
        let context = try ContextSetup.make(TLS_client_method(), settings.profile)
        do throws(TLSSetupError) {
            if let certificate = settings.certificate { try ContextSetup.use(certificate, in: context) }
            if settings.verifies {
                SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
                let hasCAs =
                    settings.authorities.map { $0.install(in: context) }
                    ?? (SSL_CTX_set_default_verify_paths(context) == 1)
                if !hasCAs { throw TLSSetupError("trusted CAs") }
            } else {
                SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
            }
            let alpn = ContextSetup.wireForm(settings.alpn)
            // This one returns 0 for success.
            if !alpn.isEmpty, SSL_CTX_set_alpn_protos(context, alpn, UInt32(alpn.count)) != 0 {
                throw TLSSetupError("ALPN")
            }
        } catch {
            SSL_CTX_free(context)
            throw error
        }
        // Otherwise OpenSSL takes an end without close_notify for a fatal error, and the session that was just
        // saved can no longer be resumed. Many servers end that way; what it means for the bytes that came
        // is decided in TLSSession, and says nothing about the session's keys (RFC 5246 §7.2.1).
        SSL_CTX_set_options(context, weir_op_ignore_unexpected_eof())
        weir_ctx_set_session_cache_mode(
            context, Int(SSL_SESS_CACHE_CLIENT) | Int(SSL_SESS_CACHE_NO_INTERNAL))
        SSL_CTX_sess_set_new_cb(context) { ssl, session in
            guard let ssl, let session, let data = weir_ssl_get_app_data(ssl) else { return 0 }
            let state = data.assumingMemoryBound(to: SessionState.self)
            guard state.pointee.endpoint >= 0, SSL_SESSION_is_resumable(session) == 1 else { return 0 }
            state.pointee.thread.takeUnretainedValue().save(
                session, endpoint: state.pointee.endpoint, contextID: state.pointee.contextID)
            // The reference is the store's now.
            return 1
        }
        sslContext = context
    }

    deinit { SSL_CTX_free(sslContext) }

    /// Sets whom a connection asks for and what it verifies. False when it would verify nothing.
    func prepare(_ ssl: OpaquePointer, host: String?) -> Bool {
        guard let name = settings.serverName ?? host, !name.isEmpty else { return !settings.verifies }
        var address = in6_addr()
        let isAddress = inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1
        // A server name is never an address (RFC 6066 §3).
        if !isAddress, weir_ssl_set_host_name(ssl, name) != 1 { return false }
        guard settings.verifies else { return true }
        guard let parameters = SSL_get0_param(ssl) else { return false }
        X509_VERIFY_PARAM_set_hostflags(parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        return isAddress
            ? X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1
            : X509_VERIFY_PARAM_set1_host(parameters, name, 0) == 1
    }
}
