// The effective configuration as text: every value, in a fixed order. For tests, `weir check
// --effective` and diffs between two files.

import JSON

extension Configuration {
    /// One value per line, `path: value`, in a fixed order; ends in a newline.
    public func normalForm() -> String {
        var form = Form()
        form.put("defaults", defaults)
        form.put("workers", workers.map { "\($0)" } ?? "auto")
        form.put("drain", Units.duration(drainMs))
        form.list("client-address.trusted", trustedProxies.map(\.shown))
        form.put(
            "forwarded",
            "x-forwarded=\(forwarded.xForwarded) forwarded=\(forwarded.forwarded) via=\(forwarded.via)")
        form.list("resolver.servers", resolver.servers.map(\.normal))
        form.put(
            "resolver",
            "ttl-min=\(Units.duration(resolver.ttlMinMs)) ttl-max=\(Units.duration(resolver.ttlMaxMs)) timeout=\(Units.duration(resolver.timeoutMs))"
        )
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

private struct Form {
    var text = ""

    mutating func put(_ path: String, _ value: String) { text += "\(path): \(value)\n" }

    /// Nothing for an empty list.
    mutating func list(_ path: String, _ values: [String]) {
        if !values.isEmpty { put(path, values.joined(separator: " ")) }
    }

    mutating func listener(_ listener: Listener) {
        let at = "listener \(listener.name.value)"
        let timeout = listener.timeout
        put(at, "\(listener.protocol.rawValue) \(listener.addresses.map(\.normal).joined(separator: " "))")
        socketAccess(listener.socketAccess, at)
        if let service = listener.service { put("\(at) service", service.shown) }
        for name in listener.serverNames {
            put("\(at) sni \(name.pattern.value.lowercased())", name.service.shown)
        }
        if listener.serverNames.contains(where: { $0.pattern.value == "*" }) {
            put("\(at) timeout.hello", Units.duration(timeout.helloMs))
        }
        put("\(at) proxy-protocol", listener.proxyProtocol.rawValue)
        put("\(at) timeout.idle", Units.duration(timeout.idleMs))
        if listener.protocol == .udp {
            put(
                "\(at) udp",
                "per=\(listener.udp.per.rawValue) responses=\(listener.udp.responses.map { "\($0)" } ?? "any")"
            )
            put(
                "\(at) limits",
                "sessions=\(listener.limits.sessions) datagram=\(Units.size(Int64(listener.limits.datagramBytes)))"
            )
        } else {
            put("\(at) limits.connections", "\(listener.limits.connections)")
        }
        if let tls = listener.tls { listenerTLS(tls, at) }
        guard listener.protocol == .http else { return }
        put(
            "\(at) timeout",
            "head=\(Units.duration(timeout.headMs)) body=\(Units.duration(timeout.bodyMs)) write=\(Units.duration(timeout.writeMs))"
        )
        if listener.paths != .normalize { put("\(at) paths", listener.paths.rawValue) }
        if let age = listener.connectionAgeMaxMs {
            put("\(at) http2.max-connection-age", Units.duration(age))
        }
        put(
            "\(at) min-body-rate",
            listener.bodyRateMin == 0 ? "off" : "\(Units.size(Int64(listener.bodyRateMin)))/s")
        if listener.underscores != .pass { put("\(at) underscores", listener.underscores.rawValue) }
        put(
            "\(at) limits",
            "head=\(Units.size(Int64(listener.limits.headBytes))) fields=\(listener.limits.fields) target=\(Units.size(Int64(listener.limits.targetBytes))) requests-per-connection=\(listener.limits.requestsPerConnection) streams=\(listener.limits.streams)"
        )
        if let bytes = listener.limits.bodyBytes { put("\(at) limits.body", Units.size(bytes)) }
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
        put(
            "\(at) timeout",
            "head=\(Units.duration(route.timeout.headMs)) idle=\(Units.duration(route.timeout.idleMs)) total=\(route.timeout.totalMs.map(Units.duration) ?? "none") upgraded=\(Units.duration(route.timeout.upgradedMs))"
        )
        put(
            "\(at) retry",
            "attempts=\(route.retry.attempts) on=\(route.retry.on.map(\.text).joined(separator: ","))")
        put("\(at) upgrades", route.upgrades.isEmpty ? "none" : route.upgrades.joined(separator: " "))
        put("\(at) hold", Units.size(Int64(route.holdBytes)))
        if let ping = route.webSocket.pingMs {
            put(
                "\(at) websocket",
                "ping=\(Units.duration(ping)) pong-timeout=\(Units.duration(route.webSocket.pongTimeoutMs))")
        }
        if let compression = route.compression { put("\(at) compression", compression.text) }
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
        put("\(at) timeout.connect", Units.duration(service.timeout.connectMs))
        put(
            "\(at) connections",
            "idle=\(service.connections.idle) idle-timeout=\(Units.duration(service.connections.idleTimeoutMs)) max=\(service.connections.max)"
        )
        put(
            "\(at) retry-budget",
            "ratio=\(Units.percent(Int64(service.retryBudget.ratioPerMille))) floor=\(service.retryBudget.floorPerSecond)/s"
        )
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
