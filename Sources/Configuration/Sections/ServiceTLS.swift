// TLS with endpoints.

extension Service {
    /// How endpoints are spoken to over TLS.
    public struct TLS: Sendable, Equatable {
        /// Check the certificate and the name of the endpoint.
        public var verifies = true
        /// PEM of the CAs to trust; nil: the system's.
        public var ca: Text?
        /// The name to ask for and to verify; nil: the endpoint's own name or address.
        public var serverName: Text?
        /// Shown to endpoints that ask for a certificate; both or none.
        public var cert: Text?
        public var key: Text?
        public var profile = TLSProfileName.intermediate
        public var origin = Origin.none

        public init() {}
    }
}

extension Service.TLS {
    static let section = Section(
        "tls",
        { node in
            var tls = Service.TLS()
            tls.origin = node.origin
            return tls
        }
    ) {
        Key(
            "verify", Flag(), \.verifies,
            "Check that the endpoint's certificate leads to a trusted CA, is valid and is for its name. Without it anybody on the way can read and change the traffic.",
            example: "verify: false")
        Key(
            "ca", TextRule.file, \.ca, default: "the system's CAs",
            "PEM file of the CAs to trust, instead of the system's.",
            example: "ca: /etc/weir/internal-ca.pem")
        Key(
            "server-name", TextRule.serverName, \.serverName, default: "the endpoint's name or address",
            "The name to ask for (SNI) and to find in the certificate.",
            example: "server-name: api.internal")
        Key(
            "cert", TextRule.file, \.cert,
            "PEM file of a certificate to show to endpoints that ask for one.",
            example: "cert: /etc/weir/client.pem")
        Key(
            "key", TextRule.file, \.key,
            "PEM file of its private key. As for listeners.",
            example: "key: /etc/weir/client.key")
        Key(
            "profile", Choice(), \.profile,
            "Protocol versions and ciphers, as for listeners.",
            example: "profile: old")
    }
}
