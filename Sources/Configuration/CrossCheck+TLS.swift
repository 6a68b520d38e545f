// Keys of TLS that make no sense together.

extension CrossCheck {
    func tls(_ check: inout SchemaCheck) {
        for (listener, entry) in zip(configuration.listeners, root["listeners"]?.entries ?? []) {
            guard let node = entry.value["tls"], case .map = node.content else { continue }
            listenerTLS(node, entry, "listeners.\(listener.name.value.clipped(64)).tls", &check)
        }
        for (service, entry) in zip(configuration.services, root["services"]?.entries ?? []) {
            if service.speaksHTTP2, service.proxyProtocol != .off, let node = entry.value["proxy-protocol"] {
                check.report(
                    "services.\(service.name.value.clipped(64)) shares connections between clients (protocol: h2), and a PROXY header speaks for one",
                    node.origin, "tell endpoints about the client with forwarded or x-forwarded fields")
            }
            guard let node = entry.value["tls"], case .map = node.content else { continue }
            serviceTLS(node, "services.\(service.name.value.clipped(64)).tls", &check)
        }
    }

    private func listenerTLS(_ node: Node, _ entry: Node.Entry, _ place: String, _ check: inout SchemaCheck) {
        if entry.value["protocol"]?.text == "udp" {
            let key = entry.value.entries.first { $0.key.value == "tls" }?.key
            check.report(
                "\(place) needs a stream: a listener with protocol: udp has none", key?.origin ?? node.origin,
                "TLS over datagrams (DTLS) is not spoken")
        }
        if let list = node["certificates"], case .list(let elements) = list.content, elements.isEmpty {
            check.report("\(place) has no certificate", list.origin, "expected at least one")
        }
        if let alpn = node["alpn"], case .list(let elements) = alpn.content {
            if elements.isEmpty {
                check.report("\(place) has no protocol", alpn.origin, "expected at least one, or no \"alpn\"")
            }
            var seen: Set<String> = []
            for element in elements {
                guard let name = element.text, !seen.insert(name).inserted else { continue }
                check.report(
                    "\"\(name.clipped(32))\" stands in alpn twice", element.origin,
                    "expected each protocol once")
            }
        }
        // The same file twice is a slip; the same names in two files are a renewal.
        var files: [String: Int] = [:]
        for element in node["certificates"]?.elements ?? [] {
            guard let cert = element["cert"], let path = cert.text else { continue }
            if let line = files[path] {
                check.report(
                    "\(path.clipped(64)) is in \(place) twice", cert.origin, "it is on line \(line) already")
            } else {
                files[path] = cert.origin.line
            }
        }
    }

    private func serviceTLS(_ node: Node, _ place: String, _ check: inout SchemaCheck) {
        for (one, other) in [("cert", "key"), ("key", "cert")] {
            if let given = node[one], node[other] == nil {
                check.report(
                    "\"\(one)\" in \(place) needs \"\(other)\"", given.origin,
                    "expected a certificate and its key")
            }
        }
        if node["verify"]?.bool == false {
            if let ca = node["ca"] {
                check.report(
                    "\"ca\" has no effect with verify: false", ca.origin,
                    "leave out one of them; verifying is the default")
            } else if let verify = node["verify"] {
                check.report(
                    "\(place) does not check who answers", verify.origin,
                    "give the CA of the endpoints in \"ca\" instead", severity: .warning)
            }
        }
    }
}
