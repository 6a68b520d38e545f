// What a TLS listener shows its clients: certificates by name, versions, ALPN, tickets, client certificates.
//
// Made by the control plane, immutable, shared by all workers; a change makes a new one. One OpenSSL
// context per distinct set of certificates (ECDSA and RSA beside each other), chosen by server name
// (RFC 6066 §3) when the ClientHello has come. The choice between certificates is CertificateSelection's.

import COpenSSL
import Glibc

/// The TLS side of a listener.
public final class TLSServerContext: @unchecked Sendable {
    /// How clients show who they are.
    public struct ClientCertificates: Sendable {
        public var authorities: CertificateAuthorities
        /// Refuse clients without one; otherwise none is allowed, and one that is shown must be valid.
        public var isRequired: Bool

        public init(authorities: CertificateAuthorities, isRequired: Bool) {
            self.authorities = authorities
            self.isRequired = isRequired
        }
    }

    public struct Settings: Sendable {
        public var profile = TLSProfile.intermediate
        /// Names in order of preference; empty: ALPN is not spoken.
        public var alpn = ["h2", "http/1.1"]
        public var clientCertificates: ClientCertificates?
        /// nil: no session resumption.
        public var ticketKeys: TicketKeyRing?
        /// How long a session may be resumed, in seconds.
        public var ticketLifetimeSeconds = 86_400
        /// Sessions are resumed only where they were made: the listener's name.
        public var scope = ""

        public init() {}
    }

    /// Certificates given, in order.
    public let certificates: [ServerCertificate]
    public let settings: Settings
    /// The first moment (seconds since 1970) at which the certificates' times would make another choice
    /// than the one built in: build a new context then. nil: never.
    public let nextChangeSeconds: Int64?

    /// One per set of certificates, with the places of these in `certificates`.
    private let shown: [OpaquePointer: [Int]]
    let defaultContext: OpaquePointer
    private let byName: [String: OpaquePointer]
    /// "example.com" for "*.example.com".
    private let byParent: [String: OpaquePointer]
    /// Our protocols in wire form.
    let alpn: [UInt8]

    /// Builds the contexts.
    /// - Parameters:
    ///   - certificates: at least one; the first is for clients that name no known server.
    ///   - nowSeconds: wall clock, decides which certificates are valid.
    public init(_ certificates: [ServerCertificate], _ settings: Settings, nowSeconds: Int64)
        throws(TLSSetupError)
    {
        guard !certificates.isEmpty else { throw TLSSetupError("no certificate") }
        self.certificates = certificates
        self.settings = settings
        alpn = ContextSetup.wireForm(settings.alpn)
        let selection = CertificateSelection(
            candidates: certificates.map {
                .init(
                    names: $0.info.names, keyKind: $0.info.keyKind, notBefore: $0.info.notBefore,
                    notAfter: $0.info.notAfter)
            }, nowSeconds: nowSeconds)
        nextChangeSeconds = selection.nextChangeSeconds

        var made: [[Int]: OpaquePointer] = [:]
        func context(_ indexes: [Int]) throws(TLSSetupError) -> OpaquePointer {
            if let known = made[indexes] { return known }
            let new = try Self.makeContext(indexes.map { certificates[$0] }, settings)
            made[indexes] = new
            return new
        }
        var byName: [String: OpaquePointer] = [:]
        var byParent: [String: OpaquePointer] = [:]
        do {
            defaultContext = try context(selection.defaultCertificates)
            for certificate in certificates {
                for name in certificate.info.names {
                    if name.hasPrefix("*.") {
                        byParent[String(name.dropFirst(2))] = try context(
                            selection.certificates(forPattern: name))
                    } else {
                        byName[name] = try context(selection.certificates(forName: name))
                    }
                }
            }
        } catch {
            for context in made.values { SSL_CTX_free(context) }
            throw error
        }
        self.byName = byName
        self.byParent = byParent
        shown = Dictionary(uniqueKeysWithValues: made.map { ($0.value, $0.key) })
        for context in made.values { install(context) }
    }

    deinit { for context in shown.keys { SSL_CTX_free(context) } }

    private static func makeContext(_ certificates: [ServerCertificate], _ settings: Settings)
        throws(TLSSetupError) -> OpaquePointer
    {
        let context = try ContextSetup.make(TLS_server_method(), settings.profile)
        do throws(TLSSetupError) {
            for certificate in certificates { try ContextSetup.use(certificate, in: context) }
            // Sessions live in tickets alone: nothing to bound, nothing to share between workers.
            weir_ctx_set_session_cache_mode(context, Int(SSL_SESS_CACHE_OFF))
            if settings.ticketKeys == nil {
                SSL_CTX_set_options(context, weir_op_no_ticket())
                SSL_CTX_set_num_tickets(context, 0)
            } else {
                // Clients that open several connections at once resume one of them; each ticket costs.
                SSL_CTX_set_num_tickets(context, 1)
                SSL_CTX_set_timeout(context, settings.ticketLifetimeSeconds)
            }
            var scope = Array(settings.scope.utf8)
            if let clients = settings.clientCertificates {
                // Another bundle, another scope: whoever was trusted before is verified again.
                scope += clients.authorities.digest + [clients.isRequired ? 1 : 0]
                guard clients.authorities.install(in: context), let names = weir_name_stack_new() else {
                    throw TLSSetupError("client CAs")
                }
                for authority in clients.authorities.certificates {
                    if let name = X509_NAME_dup(X509_get_subject_name(authority.x509)) {
                        weir_name_stack_push(names, name)
                    }
                }
                SSL_CTX_set_client_CA_list(context, names)
                SSL_CTX_set_verify(
                    context,
                    SSL_VERIFY_PEER | (clients.isRequired ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nil)
            }
            let id = sha256(scope)
            if SSL_CTX_set_session_id_context(context, id, UInt32(id.count)) != 1 {
                throw TLSSetupError("session scope")
            }
        } catch {
            SSL_CTX_free(context)
            throw error
        }
        return context
    }

    /// Callbacks that need this object. Connections retain it, so it outlives every call.
    private func install(_ context: OpaquePointer) {
        let unretained = Unmanaged.passUnretained(self).toOpaque()
        weir_ctx_set_server_name_arg(context, unretained)
        weir_ctx_set_server_name_callback(context) { ssl, _, argument in
            guard let ssl, let argument else { return SSL_TLSEXT_ERR_NOACK }
            return Unmanaged<TLSServerContext>.fromOpaque(argument).takeUnretainedValue().select(ssl)
        }
        if !alpn.isEmpty {
            SSL_CTX_set_alpn_select_cb(
                context,
                { _, chosen, chosenCount, offered, offeredCount, argument in
                    guard let argument, let offered else { return SSL_TLSEXT_ERR_NOACK }
                    return Unmanaged<TLSServerContext>.fromOpaque(argument).takeUnretainedValue()
                        .selectProtocol(
                            offered, Int(offeredCount), chosen, chosenCount)
                }, unretained)
        }
        if certificates.contains(where: { $0.staple != nil }) {
            weir_ctx_set_status_arg(context, unretained)
            weir_ctx_set_status_callback(context) { ssl, argument in
                guard let ssl, let argument else { return SSL_TLSEXT_ERR_NOACK }
                return Unmanaged<TLSServerContext>.fromOpaque(argument).takeUnretainedValue().staple(ssl)
            }
        }
        if settings.ticketKeys != nil {
            SSL_CTX_set_tlsext_ticket_key_evp_cb(context) { ssl, name, vector, cipher, mac, isSealing in
                guard let ssl, let name, let vector, let cipher, let mac,
                    let data = weir_ssl_get_app_data(ssl)
                else { return -1 }
                let state = data.assumingMemoryBound(to: SessionState.self)
                let owner = state.pointee.context._withUnsafeGuaranteedRef { $0 as? TLSServerContext }
                guard let ring = owner?.settings.ticketKeys else { return 0 }
                let result = ring.prepare(name, vector, cipher, mac, isSealing: isSealing == 1)
                // Clients use a ticket of TLS 1.3 once, and without "renew" they would get no other.
                return result == 1 && isSealing == 0 && SSL_version(ssl) >= TLS1_3_VERSION ? 2 : result
            }
        }
    }

    // MARK: during a handshake

    /// Changes to the certificates of the name the client asked for.
    private func select(_ ssl: OpaquePointer) -> Int32 {
        guard let text = SSL_get_servername(ssl, weir_ssl_is_server_name_type()) else {
            return SSL_TLSEXT_ERR_NOACK
        }
        guard let context = context(forName: String(cString: text)) else { return SSL_TLSEXT_ERR_NOACK }
        if context != defaultContext { SSL_set_SSL_CTX(ssl, context) }
        return SSL_TLSEXT_ERR_OK
    }

    private func context(forName text: String) -> OpaquePointer? {
        var name = text.lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        if let exact = byName[name] { return exact }
        guard let dot = name.firstIndex(of: "."), dot != name.startIndex else { return nil }
        return byParent[String(name[name.index(after: dot)...])]
    }

    /// The certificates a client asking for a name is shown, one per kind of key; unknown names and none
    /// get the default. For views and tests.
    public func certificates(forName name: String?) -> [ServerCertificate] {
        let chosen = name.flatMap { self.context(forName: $0) } ?? defaultContext
        return (shown[chosen] ?? []).map { certificates[$0] }
    }

    /// Our order decides. No common name: the alert RFC 7301 §3.2 asks for.
    private func selectProtocol(
        _ offered: UnsafePointer<UInt8>, _ offeredCount: Int,
        _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ chosenCount: UnsafeMutablePointer<UInt8>?
    ) -> Int32 {
        var ours = 0
        while ours < alpn.count {
            let length = Int(alpn[ours])
            var theirs = 0
            while theirs < offeredCount, theirs + 1 + Int(offered[theirs]) <= offeredCount {
                if Int(offered[theirs]) == length,
                    alpn.withUnsafeBufferPointer({ ourBytes in
                        ourBytes.baseAddress.map { memcmp($0 + ours + 1, offered + theirs + 1, length) == 0 }
                            ?? false
                    })
                {
                    // Points into the client's message, which outlives the choice.
                    chosen?.pointee = offered + theirs + 1
                    chosenCount?.pointee = UInt8(length)
                    return SSL_TLSEXT_ERR_OK
                }
                theirs += 1 + Int(offered[theirs])
            }
            ours += 1 + length
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }

    /// Adds the OCSP response of the certificate in use (RFC 6066 §8).
    private func staple(_ ssl: OpaquePointer) -> Int32 {
        guard let shown = SSL_get_certificate(ssl),
            let certificate = certificates.first(where: { $0.chain[0].x509 == shown }),
            let slot = certificate.staple
        else { return SSL_TLSEXT_ERR_NOACK }
        return slot.staple(ssl)
    }
}
