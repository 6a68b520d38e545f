// The tree → the model. Runs on trees with errors too, so that cross references can be checked in the
// same run; what could not be read keeps its default.

import Balancing
import HTTPModel

struct ConfigurationBuilder {
    let root: Node

    func configuration() -> Configuration {
        var result = Configuration()
        root["workers"]?.store(&result.workers, Int.init)
        result.workersOrigin = root["workers"]?.origin ?? .none
        result.listeners = (root["listeners"]?.entries ?? []).map { listener($0) }
        result.services = (root["services"]?.entries ?? []).map { service($0) }
        if case .list(let routes)? = root["routes"]?.content {
            result.routes = routes.compactMap { route($0) }
        }
        result.trustedProxies = root["client-address"]?["trusted"]?.texts ?? []
        Forwarded.definition.fill(&result.forwarded, from: root["forwarded"])
        Resolver.definition.fill(&result.resolver, from: root["resolver"])
        if let node = root["telemetry"]?["access-log"], case .map = node.content {
            result.accessLog = accessLog(node)
        }
        if let node = root["admin"] {
            if node.text == "off" {
                result.admin = nil
            } else {
                if let addresses = node["address"]?.addresses(.listen) { result.admin?.addresses = addresses }
                result.admin?.hosts = (node["hosts"]?.texts ?? []).map {
                    // "example.com." is the same name.
                    let name = $0.value.lowercased()
                    return name.hasSuffix(".") ? String(name.dropLast()) : name
                }
                result.admin?.socketAccess = socketAccess(node)
            }
        }
        root["drain"]?.store(&result.drainMs)
        result.errors = errorPages(root["errors"])
        return result
    }

    private func accessLog(_ node: Node) -> AccessLog {
        var log = AccessLog()
        log.origin = node["path"]?.origin ?? node.origin
        switch node["path"]?.text {
        case "stdout"?, nil: log.destination = .stdout
        case "stderr"?: log.destination = .stderr
        case let path?: log.destination = .file(path)
        }
        node["format"]?.store(&log.format, AccessLog.Format.init(rawValue:))
        return log
    }

    private func socketAccess(_ node: Node) -> SocketAccess {
        var result = SocketAccess()
        result.mode = node["mode"]?.text.flatMap { SocketAccess.mode($0) }
        result.owner = node["owner"]?.asText
        result.group = node["group"]?.asText
        return result
    }

    private func listener(_ entry: Node.Entry) -> Listener {
        let node = entry.value
        var result = Listener(name: entry.key)
        result.addresses = node["address"]?.addresses(.listen) ?? []
        result.socketAccess = socketAccess(node)
        node["protocol"]?.store(&result.protocol) { .init(rawValue: $0) }
        result.service = node["service"]?.asText
        for name in node["sni"]?.entries ?? [] {
            guard let service = name.value.asText else { continue }
            result.serverNames.append(.init(pattern: name.key, service: service))
        }
        node["proxy-protocol"]?.store(&result.proxyProtocol, Listener.ProxyProtocol.init(rawValue:))
        if result.protocol == .tcp { result.timeout.idleMs = 3_600_000 }
        if result.protocol == .udp { result.timeout.idleMs = 60_000 }
        Listener.Timeout.definition.fill(&result.timeout, from: node["timeout"])
        node["underscores"]?.store(&result.underscores, Listener.Underscores.init(rawValue:))
        if let rate = node["min-body-rate"]?.text {
            if rate == "off" {
                result.bodyRateMin = 0
            } else if let value = try? Values.byteRate(rate) {
                result.bodyRateMin = Int(value)
            }
        }
        node["paths"]?.store(&result.paths, Listener.Paths.init(rawValue:))
        Listener.Limits.definition.fill(&result.limits, from: node["limits"])
        if let text = node["http2"]?["max-connection-age"]?.text {
            result.connectionAgeMaxMs = try? Values.duration(text)
        }
        Listener.UDP.definition.fill(&result.udp, from: node["udp"])
        if let tls = node["tls"], case .map = tls.content {
            result.tls = listenerTLS(tls, isHTTP: result.protocol == .http)
        }
        result.errors = errorPages(node["errors"])
        return result
    }

    private func service(_ entry: Node.Entry) -> Service {
        let node = entry.value
        var result = Service(name: entry.key)
        result.files = node["files"].flatMap { files($0) }
        node["balance"]?.store(&result.balance, BalancingMethodName.init(rawValue:))
        if case .list(let endpoints)? = node["endpoints"]?.content {
            result.endpoints = endpoints.compactMap { element in
                guard let text = element.asText ?? element["address"]?.asText,
                    let address = try? Address(text, role: .endpoint)
                else { return nil }
                var endpoint = Endpoint(address: address)
                element["weight"]?.store(&endpoint.weight, Int.init)
                return endpoint
            }
        }
        Service.Timeout.definition.fill(&result.timeout, from: node["timeout"])
        result.speaksHTTP2 = node["protocol"]?.text == "h2"
        Service.Connections.definition.fill(&result.connections, from: node["connections"])
        Service.RetryBudget.definition.fill(&result.retryBudget, from: node["retry-budget"])
        node["proxy-protocol"]?.store(&result.proxyProtocol, Service.ProxyProtocol.init(rawValue:))
        if let tls = node["tls"], case .map = tls.content { result.tls = serviceTLS(tls) }
        for text in node["quirks"]?.texts ?? [] {
            for quirk in Quirk.allCases where quirk.name.description == text.value {
                result.quirks.insert(Quirks(quirk))
            }
        }
        return result
    }

    /// Nil without a root: the file is refused then anyway.
    private func files(_ node: Node) -> ServedFiles? {
        if let root = node.asText { return ServedFiles(root: root) }
        guard let root = node["root"]?.asText else { return nil }
        var result = ServedFiles(root: root)
        if let index = node["index"] { result.index = index.texts }
        result.fallback = node["fallback"]?.asText
        if let entries = node["try"]?.elements {
            result.candidates = entries.compactMap(\.asText)
            if let service = entries.last?["service"]?.asText {
                result.otherwise = .service(service)
            } else if let status = entries.last?["status"]?.text.flatMap({ Int($0) }) {
                result.otherwise = .status(status)
            }
        }
        node["hidden"]?.bool.map { result.hidden = $0 }
        node["symlinks"]?.store(&result.links, ServedFiles.Links.init(rawValue:))
        for text in node["precompressed"]?.texts ?? [] {
            guard let coding = ServedFiles.Precompressed(rawValue: text.value),
                !result.precompressed.contains(coding)
            else { continue }
            result.precompressed.append(coding)
        }
        for rule in node["cache"]?.elements ?? [] {
            let paths = rule["path"]?.texts ?? []
            if let control = rule["control"]?.asText {
                result.cache.append(.init(paths: paths, action: .control(control)))
            } else if let text = rule["expires"]?.text, let ms = try? Values.duration(text) {
                result.cache.append(.init(paths: paths, action: .expires(seconds: ms / 1000)))
            }
        }
        for entry in node["types"]?.entries ?? [] {
            guard let type = entry.value.asText else { continue }
            result.types.append(.init(fileExtension: entry.key, type: type))
        }
        return result
    }

    /// Nil without an action: the file is refused then anyway.
    private func route(_ node: Node) -> Route? {
        guard let action = action(node) else { return nil }
        var result = Route(name: node["name"]?.asText ?? Text("", at: node.origin), action: action)
        result.isFaulty = node.isFaulty
        result.listeners = node["listeners"]?.texts ?? []
        if let match = node["match"] {
            result.match.hosts = match["host"]?.texts ?? []
            result.match.paths = match["path"]?.texts ?? []
            result.match.isBeforeExpressions = match["before"]?.text == "expressions"
            result.match.methods = match["method"]?.texts ?? []
            result.match.headers = conditions(match["headers"])
            result.match.query = conditions(match["query"])
            result.match.cookies = conditions(match["cookies"])
            result.match.certificate = certificate(match["client-certificate"])
        }
        if let path = node["rewrite"]?["path"]?.asText {
            result.rewrite = .path(path)
        } else if let prefix = node["rewrite"]?["prefix"], let from = prefix["from"]?.asText {
            result.rewrite = .prefix(from: from, to: prefix["to"]?.asText ?? Text("/"))
        } else if let pattern = node["rewrite"]?["pattern"]?.asText {
            // Without its other half the file is refused.
            result.rewrite = node["rewrite"]?["with"]?.asText.map { .pattern(pattern, with: $0) }
        }
        result.rewritesLocation = node["location"]?.text == "rewrite"
        result.cookies = cookies(node["cookies"])
        result.headers.request = changes(node["headers"]?["request"])
        result.headers.response = changes(node["headers"]?["response"])
        Route.Timeout.definition.fill(&result.timeout, from: node["timeout"])
        Route.Retry.definition.fill(&result.retry, from: node["retry"])
        Route.WebSocket.definition.fill(&result.webSocket, from: node["websocket"])
        if let text = node["limits"]?["body"]?.text {
            result.bodyLimit = (try? Values.size(text)).map { .bytes($0) } ?? .none
        }
        node["hold"]?.storeSize(&result.holdBytes)
        result.compression = compression(node["compression"])
        node["grpc-web"]?.bool.map { result.grpcWeb = $0 }
        result.decompression = decompression(node["decompress-requests"])
        result.errors = errorPages(node["errors"])
        result.refusesOtherUpgrades = node["other-upgrades"]?.text == "refuse"
        if let upgrades = node["upgrades"] { result.upgrades = upgrades.texts.map { $0.value.lowercased() } }
        return result
    }

    private func action(_ node: Node) -> Route.Action? {
        if let service = node["service"]?.asText { return .service(service) }
        if let redirect = node["redirect"], let to = redirect["to"]?.asText {
            var result = Route.Redirect(to: to)
            redirect["status"]?.store(&result.status, Int.init)
            return .redirect(result)
        }
        if node["respond"]?.text == "close" { return .close }
        if let respond = node["respond"], case .map = respond.content {
            var result = Route.Response()
            respond["status"]?.store(&result.status, Int.init)
            if let body = respond["body"]?.asText { result.body = body }
            if let type = respond["type"]?.asText { result.type = type }
            return .respond(result)
        }
        return nil
    }

    private func conditions(_ node: Node?) -> [Match.Named] {
        (node?.entries ?? []).compactMap { entry in
            condition(entry.value).map { Match.Named(name: entry.key, condition: $0) }
        }
    }

    private func condition(_ value: Node) -> Match.Condition? {
        if let text = value.asText { return .equals(text) }
        if let text = value["prefix"]?.asText { return .prefix(text) }
        if let text = value["regex"]?.asText { return .regex(text) }
        return value["present"]?.bool.map { .present($0) }
    }

    private func certificate(_ node: Node?) -> [Match.OfCertificate] {
        (node?.entries ?? []).compactMap { entry in
            guard let part = Match.OfCertificate.Part(rawValue: entry.key.value) else { return nil }
            switch part {
            case .present:
                return entry.value.bool.map { .init(part: part, condition: .present($0)) }
            case .fingerprint:
                return entry.value.asText.map {
                    let digits = $0.value.lowercased().filter { $0 != ":" }
                    return .init(part: part, condition: .equals(Text(digits, at: $0.origin)))
                }
            case .subject, .issuer, .san:
                return condition(entry.value).map { .init(part: part, condition: $0) }
            }
        }
    }

    private func changes(_ node: Node?) -> Route.Changes {
        var result = Route.Changes()
        guard let node else { return result }
        func fields(_ node: Node?) -> [Route.Changes.Field] {
            (node?.entries ?? []).compactMap { entry in
                entry.value.asText.map { .init(name: entry.key, value: $0) }
            }
        }
        result.replace = (node["replace"]?.entries ?? []).compactMap { entry in
            guard let pattern = entry.value["pattern"]?.asText, let with = entry.value["with"]?.asText
            else { return nil }
            return .init(name: entry.key, pattern: pattern, with: with)
        }
        result.set = fields(node["set"])
        result.add = fields(node["add"])
        result.remove = node["remove"]?.texts ?? []
        return result
    }
}

extension Node {
    var asText: Text? { text.map { Text($0, at: origin) } }

    var texts: [Text] { elements.compactMap(\.asText) }

    func addresses(_ role: Address.Role) -> [Address] {
        texts.compactMap { try? Address($0, role: role) }
    }

    /// Stores what the text reads as; leaves the place alone when it cannot be read.
    func store<Value>(_ place: inout Value, _ read: (String) -> Value?) {
        if let text, let value = read(text) { place = value }
    }

    func store(_ place: inout Int?, _ read: (String) -> Int?) {
        if let text, let value = read(text) { place = value }
    }

    /// Stores a duration.
    func store(_ place: inout Int64) {
        if let text, let value = try? Values.duration(text) { place = value }
    }

    func storeSize(_ place: inout Int) {
        if let text, let value = try? Values.size(text) { place = Int(value) }
    }
}
