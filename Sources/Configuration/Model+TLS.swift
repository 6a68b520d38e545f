// TLS in the model: what listeners show their clients, and how services are connected to.
//
// Files are named, not read: the control plane reads them, and reports what is wrong with one at the
// place where it is named.

/// Which protocol versions and ciphers are allowed, by Mozilla's names.
public enum TLSProfileName: String, Sendable, CaseIterable {
    case modern, intermediate, old
}

extension Listener {
    /// How clients are spoken to over TLS.
    public struct TLS: Sendable, Equatable {
        public struct Certificate: Sendable, Equatable {
            /// PEM: the server's certificate, then those of its issuers.
            public var cert: Text
            /// PEM of the private key.
            public var key: Text
            /// What is stapled; nil: nothing.
            public var ocsp: Staple?

            public init(cert: Text, key: Text, ocsp: Staple? = nil) {
                self.cert = cert
                self.key = key
                self.ocsp = ocsp
            }
        }
        /// Where the OCSP response for a certificate comes from.
        public enum Staple: Sendable, Equatable {
            /// DER.
            case file(Text)
            /// The responder the certificate names.
            case responder(Origin)
        }
        public struct ClientCertificates: Sendable, Equatable {
            /// PEM of the CAs that vouch for clients.
            public var ca: Text
            public var isRequired = true

            public init(ca: Text) { self.ca = ca }
        }

        /// At least one; the first is for clients that name no known server.
        public var certificates: [Certificate] = []
        public var profile = TLSProfileName.intermediate
        /// In order of preference; empty: ALPN is not spoken.
        public var alpn: [Text] = [Text("h2"), Text("http/1.1")]
        public var clientCertificates: ClientCertificates?
        /// How long a session can be resumed; 0: not at all.
        public var ticketLifetimeMs: Int64 = 43_200_000
        public var origin = Origin.none

        public init() {}
    }
}

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
