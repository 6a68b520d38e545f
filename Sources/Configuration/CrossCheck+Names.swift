// Server names that lead nowhere, and conditions on certificates nobody is asked for.

extension CrossCheck {
    /// A TCP listener with `sni`.
    func serverNames(_ listener: Listener, _ node: Node, _ place: String, _ check: inout SchemaCheck) {
        if let key = node.key("service") {
            check.report(
                "\"service\" besides \"sni\" in \(place)", key,
                "expected one of them; \"*\" in sni is the service of everything else")
        }
        if let key = node.key("tls") {
            check.report(
                "\"tls\" besides \"sni\" in \(place)", key,
                "sni passes TLS on as it is, tls ends it here: expected one of them")
        }
        if let names = node["sni"], case .map(let entries) = names.content, entries.isEmpty {
            check.report("\(place).sni has no names", names.origin, "expected at least one")
        }
        let services = configuration.services.map(\.name.value)
        var seen: [String: Int] = [:]
        for name in listener.serverNames {
            let pattern = name.pattern.value.lowercased()
            if let line = seen[pattern] {
                check.report(
                    "\"\(pattern.clipped(64))\" is in \(place).sni twice", name.pattern.origin,
                    "case does not matter, and it is on line \(line) already")
            } else {
                seen[pattern] = name.pattern.origin.line
            }
            guard let service = service(name.service.value) else {
                check.dangling(name.service, "service", services)
                continue
            }
            if service.files != nil {
                check.report(
                    "service \"\(service.name.value.clipped(64))\" serves files", name.service.origin,
                    "a listener with protocol: tcp needs a service with endpoints")
            }
            if service.tls != nil {
                check.report(
                    "service \"\(service.name.value.clipped(64))\" begins TLS, and \(place) passes on TLS that clients have begun",
                    name.service.origin, "expected a service without tls")
            }
        }
    }

    /// Routes that look at certificates.
    func clientCertificates(_ check: inout SchemaCheck) {
        for node in root["routes"]?.elements ?? [] {
            guard let conditions = node["match"]?["client-certificate"],
                case .map(let all) = conditions.content
            else { continue }
            if all.isEmpty {
                check.report(
                    "client-certificate has no condition", conditions.origin,
                    "expected at least one, such as present: true")
            }
            if conditions["present"]?.bool == false, all.count > 1, let key = conditions.key("present") {
                check.report(
                    "no certificate, and conditions on it", key,
                    "expected present: false alone, or without it")
            }
            if let san = conditions["san"] { alternativeName(san, &check) }
        }
        let asking = Set(
            configuration.listeners.filter { $0.tls?.clientCertificates != nil }.map(\.name.value))
        let http = configuration.listeners.filter { $0.protocol == .http }.map(\.name.value)
        for route in configuration.routes where route.match.certificate.contains(where: \.needsOne) {
            let names = route.listeners.isEmpty ? http : route.listeners.map(\.value)
            if asking.isDisjoint(with: names) {
                check.report(
                    "route \"\(route.name.value.clipped(64))\" can never match", route.name.origin,
                    "it wants a client certificate, and no listener of it has tls: { client-certificates: … }"
                )
            }
        }
    }

    private static let kinds = ["DNS:", "email:", "URI:", "IP:"]

    /// A name without its kind would never agree.
    private func alternativeName(_ node: Node, _ check: inout SchemaCheck) {
        let isWhole = node.text != nil
        guard let value = isWhole ? node : node["prefix"], let text = value.text else { return }
        let fits = Self.kinds.contains {
            isWhole ? text.hasPrefix($0) && text != $0 : text.hasPrefix($0) || $0.hasPrefix(text)
        }
        if fits { return }
        let suggestion =
            text.contains("://")
            ? "URI:" : text.contains("@") ? "email:" : text.contains(":") || text.isEmpty ? nil : "DNS:"
        check.report(
            "\"\(text.clipped(60))\" is no alternative name", value.origin,
            "expected its kind in front: \(Self.kinds.joined(separator: ", "))",
            suggestion: suggestion.map { $0 + text })
    }
}

extension Match.OfCertificate {
    /// Whether only a client with a certificate can fulfil it.
    fileprivate var needsOne: Bool { condition != .present(false) }
}

extension Node {
    /// Where a key of a map is written.
    func key(_ name: String) -> Origin? { entries.first { $0.key.value == name }?.key.origin }
}
