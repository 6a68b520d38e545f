// The keys of TLS.

extension Language {
    static let listenerTLS = Section(
        name: "tls",
        keys: [
            Key(
                "certificates", .list(.section(certificate)), required: true,
                "What clients are shown. Of several the server name decides (exact name before wildcard), then the kind of key the client can use (ECDSA and RSA may stand side by side), then the newest that is valid. The first is for clients that name no known server. Changed files are noticed within ten seconds.",
                example: "certificates:\n  - { cert: /etc/weir/a.pem, key: /etc/weir/a.key }"),
            Key(
                "profile", .choice(["modern", "intermediate", "old"]), default: "intermediate",
                "Protocol versions and ciphers, by Mozilla's names. `modern` is TLS 1.3 only; `intermediate` adds TLS 1.2 with ECDHE and an AEAD cipher; `old` allows TLS 1.0 and later and is not secure.",
                example: "profile: modern"),
            Key(
                "alpn", .list(.text(.applicationProtocol)), default: "[h2, http/1.1]",
                "Application protocols in order of preference (ALPN). A client that offers others only is refused with `no_application_protocol`. With `protocol: tcp` the default is none.",
                example: "alpn: [http/1.1]"),
            Key(
                "client-certificates", .section(clientCertificates),
                "Ask clients for a certificate.",
                example: "client-certificates: { ca: /etc/weir/clients.pem }"),
            Key(
                "tickets", .either([.word("off"), .section(tickets)]), default: "{ lifetime: 12h }",
                "Session tickets, with which a client that returns saves most of the handshake. The keys are made by Weir, shared by all workers and changed once per lifetime; they never leave the process.",
                example: "tickets: off"),
        ])

    static let certificate = Section(
        name: "certificate",
        keys: [
            Key(
                "cert", .text(.file), required: true,
                "PEM file: the server's certificate, then its issuers in order.",
                example: "cert: /etc/weir/a.pem"),
            Key(
                "key", .text(.file), required: true,
                "PEM file of the private key, unencrypted. Refused when everybody on the machine can read it.",
                example: "key: /etc/weir/a.key"),
            Key(
                "ocsp", .either([.word("responder"), .text(.file)]),
                "The OCSP response sent to clients that ask for one. `responder`: Weir asks the responder that the certificate names, over plain HTTP, verifies what it says against the issuer in `cert`, and asks again at half of the answer's life. A file holds a response (DER) that some other tool renews.",
                example: "ocsp: responder"),
        ])

    static let clientCertificates = Section(
        name: "client-certificates",
        keys: [
            Key(
                "ca", .text(.file), required: true, "PEM file of the CAs that vouch for clients.",
                example: "ca: /etc/weir/clients.pem"),
            Key(
                "require", .bool, default: "true",
                "Refuse clients without a certificate. With `false` a client may have none; one that it shows must be valid.",
                example: "require: false"),
        ])

    static let tickets = Section(
        name: "tickets",
        keys: [
            Key(
                "lifetime", .duration(60_000...604_800_000), default: "12h",
                "How long a session can be resumed, and how often the key changes.",
                example: "lifetime: 1h")
        ])

    static let serviceTLS = Section(
        name: "tls",
        keys: [
            Key(
                "verify", .bool, default: "true",
                "Check that the endpoint's certificate leads to a trusted CA, is valid and is for its name. Without it anybody on the way can read and change the traffic.",
                example: "verify: true"),
            Key(
                "ca", .text(.file), default: "the system's CAs",
                "PEM file of the CAs to trust, instead of the system's.",
                example: "ca: /etc/weir/internal-ca.pem"),
            Key(
                "server-name", .text(.serverName), default: "the endpoint's name or address",
                "The name to ask for (SNI) and to find in the certificate.",
                example: "server-name: api.internal"),
            Key(
                "cert", .text(.file), "PEM file of a certificate to show to endpoints that ask for one.",
                example: "cert: /etc/weir/client.pem"),
            Key(
                "key", .text(.file), "PEM file of its private key. As for listeners.",
                example: "key: /etc/weir/client.key"),
            Key(
                "profile", .choice(["modern", "intermediate", "old"]), default: "intermediate",
                "Protocol versions and ciphers, as for listeners.", example: "profile: old"),
        ])
}
