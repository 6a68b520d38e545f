// TLS with clients.
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

extension Listener.TLS {
    static let section = Section(
        "tls",
        { node in
            var tls = Listener.TLS()
            tls.origin = node.origin
            return tls
        }, dispensable: ["certificates"]
    ) {
        Key(
            "certificates", ListOf(Certificate.section), \.certificates, required: true,
            "What clients are shown. Of several the server name decides (exact name before wildcard), then the kind of key the client can use (ECDSA and RSA may stand side by side), then the newest that is valid. The first is for clients that name no known server. Changed files are noticed within ten seconds.",
            example: "certificates:\n  - { cert: /etc/weir/a.pem, key: /etc/weir/a.key }")
        Key(
            "profile", Choice(), \.profile,
            "Protocol versions and ciphers, by Mozilla's names. `modern` is TLS 1.3 only; `intermediate` adds TLS 1.2 with ECDHE and an AEAD cipher; `old` allows TLS 1.0 and later and is not secure.",
            example: "profile: modern")
        Key(
            "alpn", ListOf(TextRule.applicationProtocol), \.alpn, shown: .unlessEmpty,
            "Application protocols in order of preference (ALPN). A client that offers others only is refused with `no_application_protocol`. With `protocol: tcp` the default is none.",
            example: "alpn: [http/1.1]")
        Key(
            "client-certificates", ClientCertificates.section, \.clientCertificates,
            "Ask clients for a certificate.",
            example: "client-certificates: { ca: /etc/weir/clients.pem }")
        Key(
            "tickets", tickets.or("off", means: 0), \.ticketLifetimeMs,
            "Session tickets, with which a client that returns saves most of the handshake. The keys are made by Weir, shared by all workers and changed once per lifetime; they never leave the process.",
            example: "tickets: off")
    }

    private static let tickets = Section("tickets", { _ in Listener.TLS().ticketLifetimeMs }) {
        Key(
            "lifetime", Duration(60_000...604_800_000), \.self,
            "How long a session can be resumed, and how often the key changes.",
            example: "lifetime: 1h")
    }
}

extension Listener.TLS.Certificate {
    static let section = Section(
        "certificate", { _ in Listener.TLS.Certificate(cert: Text(""), key: Text("")) }
    ) {
        Key(
            "cert", TextRule.file, \.cert, required: true,
            "PEM file: the server's certificate, then its issuers in order.",
            example: "cert: /etc/weir/a.pem")
        Key(
            "key", TextRule.file, \.key, required: true,
            "PEM file of the private key, unencrypted. Refused when everybody on the machine can read it.",
            example: "key: /etc/weir/a.key")
        Key(
            "ocsp", StapleForm(), \.ocsp,
            "The OCSP response sent to clients that ask for one. `responder`: Weir asks the responder that the certificate names, over plain HTTP, verifies what it says against the issuer in `cert`, and asks again at half of the answer's life. A file holds a response (DER) that some other tool renews.",
            example: "ocsp: responder")
    }
}

/// `responder`, or a file.
private struct StapleForm: Form {
    typealias Value = Listener.TLS.Staple

    var kind: Kind { .either([.word("responder"), TextRule.file.kind]) }

    func read(_ node: Node) -> Listener.TLS.Staple? {
        node.text == "responder" ? .responder(node.origin) : TextRule.file.read(node).map { .file($0) }
    }

    func write(_ value: Listener.TLS.Staple, _ uses: Uses) -> Node? {
        switch value {
        case .responder: .plain("responder")
        case .file(let file): .text(file)
        }
    }
}

extension Listener.TLS.ClientCertificates {
    static let section = Section(
        "client-certificates", { _ in Listener.TLS.ClientCertificates(ca: Text("")) }
    ) {
        Key(
            "ca", TextRule.file, \.ca, required: true,
            "PEM file of the CAs that vouch for clients.",
            example: "ca: /etc/weir/clients.pem")
        Key(
            "require", Flag(), \.isRequired,
            "Refuse clients without a certificate. With `false` a client may have none; one that it shows must be valid.",
            example: "require: false")
    }
}
