// The tree → TLS in the model.

extension ConfigurationBuilder {
    func listenerTLS(_ node: Node, isHTTP: Bool) -> Listener.TLS {
        var result = Listener.TLS()
        result.origin = node.origin
        if !isHTTP { result.alpn = [] }
        for element in node["certificates"]?.elements ?? [] {
            guard let cert = element["cert"]?.asText, let key = element["key"]?.asText else { continue }
            let ocsp = element["ocsp"]?.asText.map { text -> Listener.TLS.Staple in
                text.value == "responder" ? .responder(text.origin) : .file(text)
            }
            result.certificates.append(.init(cert: cert, key: key, ocsp: ocsp))
        }
        node["profile"]?.store(&result.profile, TLSProfileName.init(rawValue:))
        if let alpn = node["alpn"] { result.alpn = alpn.texts }
        if let clients = node["client-certificates"], let ca = clients["ca"]?.asText {
            var wanted = Listener.TLS.ClientCertificates(ca: ca)
            clients["require"]?.bool.map { wanted.isRequired = $0 }
            result.clientCertificates = wanted
        }
        if let tickets = node["tickets"] {
            if tickets.text == "off" {
                result.ticketLifetimeMs = 0
            } else {
                tickets["lifetime"]?.store(&result.ticketLifetimeMs)
            }
        }
        return result
    }

    func serviceTLS(_ node: Node) -> Service.TLS {
        var result = Service.TLS()
        result.origin = node.origin
        node["verify"]?.bool.map { result.verifies = $0 }
        result.ca = node["ca"]?.asText
        result.serverName = node["server-name"]?.asText
        result.cert = node["cert"]?.asText
        result.key = node["key"]?.asText
        node["profile"]?.store(&result.profile, TLSProfileName.init(rawValue:))
        return result
    }
}
