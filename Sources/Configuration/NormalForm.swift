// The effective configuration as text: every value, in a fixed order. For tests, `weir check
// --effective` and diffs between two files.

import JSON

extension Configuration {
    /// One value per line, `path: value`, in a fixed order; ends in a newline.
    public func normalForm() -> String {
        var form = Lines()
        form.put("defaults", defaults)
        form.put("workers", workers.map { "\($0)" } ?? "auto")
        form.put("drain", Units.duration(drainMs))
        form.list("client-address.trusted", trustedProxies.map(\.shown))
        form.put("forwarded", Forwarded.definition.text(forwarded))
        form.put("resolver", Resolver.definition.text(resolver))
        form.put(
            "access-log",
            accessLog.map {
                "\($0.origin.substitution?.shown ?? $0.destination.normal) \($0.format.rawValue)"
            } ?? "off")
        form.put("admin", admin.map { $0.addresses.map(\.normal).joined(separator: " ") } ?? "off")
        if let admin {
            form.list("admin.hosts", admin.hosts)
            form.socketAccess(admin.socketAccess, "admin")
        }
        form.errors(errors, "errors")
        for listener in listeners { form.listener(listener) }
        for route in routes { form.route(route) }
        for service in services { form.service(service) }
        return form.text
    }
}

extension AccessLog.Destination {
    fileprivate var normal: String {
        switch self {
        case .stdout: "stdout"
        case .stderr: "stderr"
        case .file(let path): path
        }
    }
}

extension Address {
    fileprivate var normal: String {
        if text.isSubstituted { return text.shown }
        return switch kind {
        case .any(let port): "any:\(port)"
        case .ip(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .name(let host, let port): "name:\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}

private struct Lines {
    var text = ""

    mutating func put(_ path: String, _ value: String) { text += "\(path): \(value)\n" }

    /// Nothing for an empty list.
    mutating func list(_ path: String, _ values: [String]) {
        if !values.isEmpty { put(path, values.joined(separator: " ")) }
    }

    mutating func listener(_ listener: Listener) {
        let at = "listener \(listener.name.value)"
        put(at, "\(listener.protocol.rawValue) \(listener.addresses.map(\.normal).joined(separator: " "))")
        socketAccess(listener.socketAccess, at)
        if let service = listener.service { put("\(at) service", service.shown) }
        for name in listener.serverNames {
            put("\(at) sni \(name.pattern.value.lowercased())", name.service.shown)
        }
        put("\(at) proxy-protocol", listener.proxyProtocol.rawValue)
        put("\(at) timeout", Listener.Timeout.definition.text(listener.timeout, for: listener.uses))
        put("\(at) limits", Listener.Limits.definition.text(listener.limits, for: listener.uses))
        if listener.protocol == .udp { put("\(at) udp", Listener.UDP.definition.text(listener.udp)) }
        if let tls = listener.tls { listenerTLS(tls, at) }
        guard listener.protocol == .http else { return }
        if listener.paths != .normalize { put("\(at) paths", listener.paths.rawValue) }
        if let age = listener.connectionAgeMaxMs {
            put("\(at) http2.max-connection-age", Units.duration(age))
        }
        put(
            "\(at) min-body-rate",
            listener.bodyRateMin == 0 ? "off" : "\(Units.size(Int64(listener.bodyRateMin)))/s")
        if listener.underscores != .pass { put("\(at) underscores", listener.underscores.rawValue) }
        errors(listener.errors, "\(at) errors")
    }

    mutating func socketAccess(_ access: SocketAccess, _ at: String) {
        if let mode = access.mode { put("\(at) mode", String(mode, radix: 8)) }
        if let owner = access.owner { put("\(at) owner", owner.value) }
        if let group = access.group { put("\(at) group", group.value) }
    }

    mutating func route(_ route: Route) {
        let at = "route \(route.name.value)"
        switch route.action {
        case .service(let name): put(at, "service \(name.shown)")
        case .redirect(let redirect):
            put(at, "redirect \(redirect.status) \(JSONWriter.quoted(redirect.to.shown))")
        case .close: put(at, "respond close")
        case .respond(let response):
            put(
                at,
                "respond \(response.status) \(JSONWriter.quoted(response.type.shown)) \(JSONWriter.quoted(response.body.shown))"
            )
        }
        list("\(at) listeners", route.listeners.map(\.shown))
        list("\(at) host", route.match.hosts.map(\.shown))
        list("\(at) path", route.match.paths.map(\.shown))
        if route.match.isBeforeExpressions { put("\(at) before", "expressions") }
        list("\(at) method", route.match.methods.map(\.shown))
        for (kind, conditions) in [
            ("header", route.match.headers), ("query", route.match.query), ("cookie", route.match.cookies),
        ] {
            for named in conditions { put("\(at) \(kind) \(named.name.value)", named.condition.normal) }
        }
        for named in route.match.certificate {
            put("\(at) client-certificate \(named.part.rawValue)", named.condition.normal)
        }
        switch route.rewrite {
        case .path(let path)?: put("\(at) rewrite", "path \(JSONWriter.quoted(path.shown))")
        case .prefix(let from, let to)?: put("\(at) rewrite", "prefix \(from.shown) -> \(to.shown)")
        case .pattern(let pattern, let with)?:
            put(
                "\(at) rewrite",
                "pattern \(JSONWriter.quoted(pattern.shown)) with \(JSONWriter.quoted(with.shown))")
        case nil: break
        }
        if route.rewritesLocation { put("\(at) location", "rewrite") }
        if !route.cookies.isEmpty { put("\(at) cookies", route.cookies.text) }
        for (side, changes) in [("request", route.headers.request), ("response", route.headers.response)] {
            list("\(at) \(side) remove", changes.remove.map(\.shown))
            for field in changes.replace {
                put(
                    "\(at) \(side) replace \(field.name.value)",
                    "\(JSONWriter.quoted(field.pattern.shown)) with \(JSONWriter.quoted(field.with.shown))")
            }
            for field in changes.set {
                put("\(at) \(side) set \(field.name.value)", JSONWriter.quoted(field.value.shown))
            }
            for field in changes.add {
                put("\(at) \(side) add \(field.name.value)", JSONWriter.quoted(field.value.shown))
            }
        }
        switch route.bodyLimit {
        case .ofListener: break
        case .none: put("\(at) limits.body", "none")
        case .bytes(let bytes): put("\(at) limits.body", Units.size(bytes))
        }
        errors(route.errors, "\(at) errors")
        guard case .service = route.action else { return }
        if route.refusesOtherUpgrades { put("\(at) other-upgrades", "refuse") }
        put("\(at) timeout", Route.Timeout.definition.text(route.timeout))
        put("\(at) retry", Route.Retry.definition.text(route.retry))
        put("\(at) upgrades", route.upgrades.isEmpty ? "none" : route.upgrades.joined(separator: " "))
        put("\(at) hold", Units.size(Int64(route.holdBytes)))
        if route.webSocket.pingMs != nil {
            put("\(at) websocket", Route.WebSocket.definition.text(route.webSocket))
        }
        if let compression = route.compression {
            put("\(at) compression", Route.Compression.definition.text(compression))
        }
        if route.grpcWeb { put("\(at) grpc-web", "true") }
        if let decompression = route.decompression { put("\(at) decompress-requests", decompression.text) }
    }

    mutating func errors(_ pages: [ErrorPage], _ at: String) {
        for page in pages {
            let scope = page.replacesAnswers ? " of-endpoints" : ""
            switch page.source {
            case .service(let asked):
                put(
                    "\(at) \(page.statuses.text)",
                    "service \(asked.name.shown) \(asked.path.shown) timeout=\(Units.duration(asked.timeoutMs))"
                        + scope)
            case .bodies(let bodies):
                for body in bodies {
                    let content =
                        switch body.content {
                        case .text(let text): "respond \(JSONWriter.quoted(text.shown))"
                        case .file(let file): "file \(file.shown)"
                        }
                    put(
                        "\(at) \(page.statuses.text)\(body.form.map { " \($0)" } ?? "")",
                        content + (body.type.map { " as \(JSONWriter.quoted($0.shown))" } ?? "") + scope)
                }
            }
        }
    }

    mutating func files(_ files: ServedFiles, _ at: String) {
        put(at, "files \(files.root.shown)")
        list("\(at) index", files.index.map(\.shown))
        if let fallback = files.fallback { put("\(at) fallback", fallback.shown) }
        list("\(at) try", files.candidates.map(\.shown))
        switch files.otherwise {
        case .service(let name): put("\(at) otherwise", "service \(name.shown)")
        case .status(let status): put("\(at) otherwise", "status \(status)")
        }
        put("\(at) hidden", "\(files.hidden)")
        put("\(at) symlinks", files.links.rawValue)
        list("\(at) precompressed", files.precompressed.map(\.rawValue))
        for rule in files.cache {
            let action =
                switch rule.action {
                case .control(let text): "control \(JSONWriter.quoted(text.shown))"
                case .expires(let seconds): "expires \(Units.duration(seconds * 1000))"
                }
            put("\(at) cache", "\(rule.paths.map(\.shown).joined(separator: " ")) \(action)")
        }
        for type in files.types {
            put("\(at) type \(type.fileExtension.value)", JSONWriter.quoted(type.type.shown))
        }
    }

    mutating func service(_ service: Service) {
        let at = "service \(service.name.value)"
        if let files = service.files {
            self.files(files, at)
            return
        }
        put(at, service.balance.rawValue)
        for endpoint in service.endpoints {
            put("\(at) endpoint", "\(endpoint.address.normal) weight=\(endpoint.weight)")
        }
        put("\(at) timeout", Service.Timeout.definition.text(service.timeout))
        put("\(at) connections", Service.Connections.definition.text(service.connections))
        put("\(at) retry-budget", Service.RetryBudget.definition.text(service.retryBudget))
        put("\(at) protocol", service.speaksHTTP2 ? "h2" : "http/1.1")
        put("\(at) proxy-protocol", service.proxyProtocol.rawValue)
        if !service.quirks.isEmpty { list("\(at) quirks", service.quirks.list.map(\.name.description)) }
        if let tls = service.tls {
            put("\(at) tls", "\(tls.profile.rawValue) verify=\(tls.verifies)")
            if let ca = tls.ca { put("\(at) tls.ca", ca.shown) }
            if let name = tls.serverName { put("\(at) tls.server-name", name.shown) }
            if let cert = tls.cert, let key = tls.key {
                put("\(at) tls.cert", "\(cert.shown) key=\(key.shown)")
            }
        }
    }

    private mutating func listenerTLS(_ tls: Listener.TLS, _ at: String) {
        let tickets = tls.ticketLifetimeMs == 0 ? "off" : Units.duration(tls.ticketLifetimeMs)
        put("\(at) tls", "\(tls.profile.rawValue) tickets=\(tickets)")
        for certificate in tls.certificates {
            let ocsp =
                switch certificate.ocsp {
                case .file(let file): " ocsp=\(file.shown)"
                case .responder: " ocsp=responder"
                case nil: ""
                }
            put("\(at) tls.certificate", "\(certificate.cert.shown) key=\(certificate.key.shown)\(ocsp)")
        }
        list("\(at) tls.alpn", tls.alpn.map(\.shown))
        if let clients = tls.clientCertificates {
            put("\(at) tls.client-certificates", "\(clients.ca.shown) require=\(clients.isRequired)")
        }
    }
}

extension Match.Condition {
    fileprivate var normal: String {
        switch self {
        case .equals(let text): "= \(JSONWriter.quoted(text.shown))"
        case .prefix(let text): "prefix \(JSONWriter.quoted(text.shown))"
        case .regex(let text): "regex \(JSONWriter.quoted(text.shown))"
        case .present(let present): present ? "present" : "absent"
        }
    }
}
