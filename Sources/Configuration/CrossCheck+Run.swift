// What no single value shows: names that lead nowhere, things given twice, keys that make no sense
// together. Works on the model, and on the tree where it matters whether a key was written.

extension CrossCheck {
    func run(_ check: inout SchemaCheck) {
        listeners(&check)
        addresses(&check)
        unixSockets(&check)
        routes(&check)
        policies(&check)
        services(&check)
        tls(&check)
        clientCertificates(&check)
        errorPages(&check)
        resolver(&check)
    }

    private func listeners(_ check: inout SchemaCheck) {
        if let node = root["listeners"], case .map(let entries) = node.content, entries.isEmpty {
            check.report(
                "there is no listener", node.origin,
                "expected at least one, such as web: { address: \":8080\" }")
        }
        let services = configuration.services.map(\.name.value)
        // The builder makes one listener of each entry, in order.
        for (listener, entry) in zip(configuration.listeners, root["listeners"]?.entries ?? []) {
            let node = entry.value
            let place = "listeners.\(listener.name.value.clipped(64))"
            if let address = node["address"], case .list(let list) = address.content, list.isEmpty {
                check.report("\(place) has no address", address.origin, "expected at least one address")
            }
            if listener.protocol == .tcp, node["sni"] != nil {
                serverNames(listener, node, place, &check)
            } else if listener.protocol != .http {
                if let service = listener.service {
                    let named = self.service(service.value)
                    if named == nil { check.dangling(service, "service", services) }
                    if named?.files != nil {
                        check.report(
                            "service \"\(service.value)\" serves files", service.origin,
                            "a listener with protocol: tcp needs a service with endpoints")
                    }
                } else if node["service"] == nil, case .map = node.content {
                    check.report(
                        "\"service\" is missing in \(place)", listener.name.origin,
                        "a listener with protocol: \(listener.protocol.rawValue) needs service: NAME\(listener.protocol == .tcp ? ", or sni: { HOST: NAME }" : "")",
                        suggestion: services.count == 1 ? "service: \(services[0])" : nil)
                }
            }
            if listener.protocol == .udp { datagrams(listener, node, place, &check) }
            for (key, name, path) in Listener.section.shape.unfit(node, listener.uses) {
                unfit(key, name, ([place] + path).joined(separator: "."), place, listener.protocol, &check)
            }
        }
    }

    /// A key that says nothing on a listener of this protocol.
    private func unfit(
        _ key: KeyShape, _ name: Text, _ section: String, _ place: String, _ protocol: Listener.`Protocol`,
        _ check: inout SchemaCheck
    ) {
        switch key.uses {
        case [.tcp, .udp]:
            check.report(
                "\"\(key.name)\" in \(section) needs protocol: tcp or udp", name.origin,
                "requests on an HTTP listener are sent to services by routes")
        case .tcp:
            check.report(
                "\"\(key.name)\" in \(section) needs protocol: tcp", name.origin,
                `protocol` == .http
                    ? "routes choose by host, and certificates by server name"
                    : "a listener with protocol: udp has no ClientHello to read")
        case .silentClients:
            check.report(
                "\"\(key.name)\" in \(section) has no effect", name.origin,
                "expected \"*\" in sni: there go clients that say nothing")
        case .udp:
            check.report(
                "\"\(key.name)\" in \(place) needs protocol: udp", name.origin,
                "other listeners have connections, not datagrams")
        case [.http, .tcp]:
            check.report(
                "\"\(key.name)\" in \(section) is not for UDP", name.origin,
                "a listener with protocol: udp has sessions", suggestion: "sessions")
        default:
            check.report(
                "\"\(key.name)\" in \(section) is for HTTP listeners only", name.origin,
                "a listener with protocol: \(`protocol`.rawValue) does not read requests")
        }
    }

    /// What UDP cannot do: Unix sockets, PROXY headers, connections.
    private func datagrams(_ listener: Listener, _ node: Node, _ place: String, _ check: inout SchemaCheck) {
        for address in listener.addresses {
            if case .ip(let host, _) = address.kind, host.contains("%") {
                check.report(
                    "\(place) cannot listen in a zone", address.text.origin,
                    "a listener with protocol: udp needs an address without an interface")
            }
            guard case .unix = address.kind else { continue }
            check.report(
                "\(place) cannot listen on a Unix socket", address.text.origin,
                "a listener with protocol: udp needs an IP address and port")
        }
        if listener.proxyProtocol == .required, let written = node["proxy-protocol"] {
            check.report(
                "\(place) cannot require PROXY headers", written.origin,
                "a listener with protocol: udp has no connections for them to start")
        }
        guard let name = listener.service?.value, let service = service(name) else { return }
        for endpoint in service.endpoints {
            guard case .unix = endpoint.address.kind else { continue }
            check.report(
                "endpoint \(endpoint.address.text.value) of service \"\(name.clipped(64))\" cannot take datagrams",
                endpoint.address.text.origin,
                "\(place) has protocol: udp: its endpoints need an IP address or name, and a port")
        }
        if service.proxyProtocol != .off, let origin = listener.service?.origin {
            check.report(
                "service \"\(name.clipped(64))\" sends PROXY headers, which \(place) cannot", origin,
                "expected a service with proxy-protocol: off for protocol: udp")
        }
    }

    /// The same address twice, and a single address beside ":port" for all of them.
    private func addresses(_ check: inout SchemaCheck) {
        let all = configuration.listeners.flatMap { listener in
            listener.addresses.map {
                (
                    name: "listener \(listener.name.value.clipped(64))", address: $0,
                    isDatagram: listener.protocol == .udp
                )
            }
        }
        let admin = (configuration.admin?.addresses ?? []).map { (name: "admin", address: $0) }
        addresses(all.filter { !$0.isDatagram }.map { ($0.name, $0.address) } + admin, &check)
        // UDP has ports of its own: DNS listens on 53 of both.
        addresses(all.filter(\.isDatagram).map { ($0.name, $0.address) }, &check)
    }

    private func addresses(_ all: [(name: String, address: Address)], _ check: inout SchemaCheck) {
        var seen: [Address.Kind: (name: String, origin: Origin)] = [:]
        // ":80" and "[::]:80" are one and the same; "0.0.0.0:80" is part of it and takes every IPv4 address.
        var anyPorts: [UInt16: (name: String, origin: Origin)] = [:]
        var anyV4Ports: [UInt16: (name: String, origin: Origin)] = [:]
        for (name, address) in all {
            switch address.kind {
            case .any(let port), .ip("::", let port):
                if anyPorts[port] == nil { anyPorts[port] = (name, address.text.origin) }
            case .ip("0.0.0.0", let port):
                if anyV4Ports[port] == nil { anyV4Ports[port] = (name, address.text.origin) }
            default: break
            }
        }
        for (name, address) in all {
            let origin = address.text.origin
            var other = seen[address.kind]
            if other == nil, case .ip(let host, let port) = address.kind {
                if host != "::" { other = anyPorts[port] }
                if other == nil, host != "0.0.0.0", !host.contains(":") { other = anyV4Ports[port] }
            }
            if other == nil, case .any(let port) = address.kind { other = seen[.ip(host: "::", port: port)] }
            if other == nil, case .ip("::", let port) = address.kind { other = seen[.any(port: port)] }
            if seen[address.kind] == nil { seen[address.kind] = (name, origin) }
            guard let other else { continue }
            // The default address of admin is written nowhere: point at what collides with it.
            let isWritten = origin.line > 0
            let line = isWritten && other.origin.line > 0 ? " (line \(other.origin.line))" : ""
            check.report(
                "\(address.text.value) is \(isWritten ? "taken by \(other.name)\(line) already" : "the default address of \(name)")",
                isWritten ? origin : other.origin,
                isWritten
                    ? "expected an address of its own for \(name)"
                    : "give \(name) another address, or switch it off")
        }
    }

    /// Rights that nothing can have, and accounts nobody knows.
    private func unixSockets(_ check: inout SchemaCheck) {
        func look(_ node: Node?, _ addresses: [Address], _ access: SocketAccess, _ place: String) {
            let files = addresses.filter {
                if case .unix(let path) = $0.kind { path.hasPrefix("/") } else { false }
            }
            for entry in node?.entries ?? [] where ["mode", "owner", "group"].contains(entry.key.value) {
                guard files.isEmpty else { continue }
                check.report(
                    "\"\(entry.key.value)\" has no effect on \(place)", entry.key.origin,
                    "expected it where an address is a Unix socket with a path")
            }
            if let owner = access.owner, Accounts.user(owner.value) == nil {
                check.report("there is no user \"\(owner.value)\" on this machine", owner.origin)
            }
            if let group = access.group, Accounts.group(group.value) == nil {
                check.report("there is no group \"\(group.value)\" on this machine", group.origin)
            }
        }
        for (listener, entry) in zip(configuration.listeners, root["listeners"]?.entries ?? []) {
            look(
                entry.value, listener.addresses, listener.socketAccess,
                "listeners.\(listener.name.value.clipped(64))")
        }
        if let admin = configuration.admin {
            look(root["admin"], admin.addresses, admin.socketAccess, "admin")
        }
    }

    private func withoutEffect(
        _ key: String, of node: Node, _ why: String, _ expectation: String, _ check: inout SchemaCheck
    ) {
        let origin = node.entries.first { $0.key.value == key }?.key.origin ?? node.origin
        check.report("\"\(key)\" has no effect \(why)", origin, expectation)
    }

    private func routes(_ check: inout SchemaCheck) {
        let services = configuration.services.map(\.name.value)
        let http = configuration.listeners.filter { $0.protocol == .http }.map(\.name.value)
        let httpNames = Set(http)
        let others = Dictionary(
            configuration.listeners.filter { $0.protocol != .http }.map { ($0.name.value, $0) },
            uniquingKeysWith: { first, _ in first })
        writtenRoutes(&check)
        if case .list(let nodes)? = root["routes"]?.content {
            for node in nodes {
                compression(node, &check)
                grpcWeb(node, &check)
                pings(node, &check)
                before(node, &check)
                rewrite(node["rewrite"], &check)
                wayBack(node, &check)
                fieldRules(node["headers"], &check)
            }
        }
        for route in configuration.routes {
            if case .service(let name) = route.action, service(name.value) == nil {
                check.dangling(name, "service", services)
            }
            for listener in route.listeners where !httpNames.contains(listener.value) {
                if let other = others[listener.value] {
                    let word = other.protocol.rawValue
                    check.report(
                        "listener \"\(listener.value)\" has protocol: \(word)", listener.origin,
                        "routes are for HTTP listeners: a \(word) listener names its service itself")
                } else {
                    check.dangling(listener, "listener", http)
                }
            }
        }
        if !configuration.routes.isEmpty, http.isEmpty, !others.isEmpty, let node = root["routes"] {
            check.report("routes without an HTTP listener are never used", node.origin, severity: .warning)
        }
        if root["routes"]?.elements.isEmpty ?? true,
            let first = configuration.listeners.first(where: { $0.protocol == .http })
        {
            check.report(
                "listener \"\(first.name.value.clipped(64))\" answers every request with 404: there are no routes",
                first.name.origin, severity: .warning)
        }
    }

    /// What a route says itself: what it inherits has an effect or not, and is no mistake.
    private func writtenRoutes(_ check: inout SchemaCheck) {
        guard case .list(let nodes)? = written["routes"]?.content else { return }
        // Names from the tree: a route whose action is wrong still takes its name.
        // A route may be written once for each listener; without listeners it is for all.
        var names: [String: [(line: Int, listeners: Set<String>)]] = [:]
        for node in nodes {
            if let name = node["name"], let text = name.text {
                let listeners = Set(node["listeners"]?.texts.map(\.value) ?? [])
                let first = names[text]?.first {
                    $0.listeners.isEmpty || listeners.isEmpty || !$0.listeners.isDisjoint(with: listeners)
                }
                if let first {
                    check.report(
                        "a second route named \"\(text.clipped(64))\"", name.origin,
                        "the first is on line \(first.line)")
                } else {
                    names[text, default: []].append((name.origin.line, listeners))
                }
            }
            for (key, _, _) in Route.section.shape.unfit(node, Route.uses(node)) {
                let isForBodies = key.uses.contains(.respond)
                withoutEffect(
                    key.name, of: node, isForBodies ? "on a redirect" : "without \"service\"",
                    isForBodies
                        ? "expected it on routes whose responses have a body"
                        : "expected it on routes that send requests to a service", &check)
            }
            if node["service"] != nil, node["rewrite"] == nil, node["cookies"]?["path"]?.text == "rewrite",
                let cookies = node["cookies"]
            {
                withoutEffect(
                    "path", of: cookies, "without \"rewrite\"",
                    "expected it on a route that changes the path: rewrite: { prefix: … }", &check)
            }
            if let name = node["service"]?.text, service(name)?.answersAlone == true {
                let why = "on files"
                let expectation =
                    "expected it on routes to endpoints: what Weir says itself is the client's view"
                if node["location"]?.text == "rewrite" {
                    withoutEffect("location", of: node, why, expectation, &check)
                }
                if node["cookies"] != nil { withoutEffect("cookies", of: node, why, expectation, &check) }
            }
            if node["websocket"] != nil, let upgrades = node["upgrades"],
                !upgrades.texts.contains(where: { $0.value.lowercased() == "websocket" })
            {
                withoutEffect(
                    "websocket", of: node, "without WebSockets",
                    "expected \"websocket\" among the route's upgrades", &check)
            }
        }
    }

    /// gRPC needs HTTP/2 all the way: the bridge is between forms, not between versions.
    private func grpcWeb(_ route: Node, _ check: inout SchemaCheck) {
        guard route["grpc-web"]?.bool == true, var name = route["service"]?.text,
            var service = service(name)
        else { return }
        // Calls are none for files: the service behind them gets them.
        if case .service(let next)? = service.files?.otherwise, let other = self.service(next.value) {
            (name, service) = (next.value, other)
        }
        if service.speaksHTTP2 { return }
        let origin = route.entries.first { $0.key.value == "grpc-web" }?.key.origin ?? route.origin
        check.report(
            "\"grpc-web\" needs a service that speaks HTTP/2, and \"\(name.clipped(64))\" does not", origin,
            service.files == nil
                ? "set protocol: h2 in services.\(name.clipped(64))" : "files are not called with gRPC")
    }

    /// A pattern and what takes its place belong together.
    private func rewrite(_ node: Node?, _ check: inout SchemaCheck) {
        guard let node else { return }
        if node["pattern"] != nil, node["with"] == nil {
            check.report(
                "\"with\" is missing beside \"pattern\"", node["pattern"]?.origin ?? node.origin,
                "expected what takes the place of what the pattern finds")
        }
        if node["with"] != nil, node["pattern"] == nil {
            withoutEffect(
                "with", of: node, "without \"pattern\"", "expected a pattern to look for in the path", &check)
        }
    }

    /// A priority among paths that have none.
    private func before(_ route: Node, _ check: inout SchemaCheck) {
        guard let match = route["match"], match["before"] != nil else { return }
        let paths = match["path"]?.texts ?? []
        if paths.contains(where: { $0.value.hasSuffix("/*") || $0.value.hasSuffix("*}") }) { return }
        withoutEffect(
            "before", of: match, "without a prefix",
            "expected a path that ends in /*: others have their rank",
            &check)
    }

    /// Pings that could never be sent.
    private func pings(_ node: Node, _ check: inout SchemaCheck) {
        guard let section = node["websocket"] else { return }
        let upgraded =
            node["timeout"]?["upgraded"]?.text.flatMap { try? Values.duration($0) }
            ?? Route.Timeout().upgradedMs
        if let ping = section["ping"], let ms = ping.text.flatMap({ try? Values.duration($0) }),
            ms >= upgraded
        {
            check.report(
                "a connection silent for so long is closed, not pinged", ping.origin,
                "expected less than timeout.upgraded, \(Units.duration(upgraded))")
        }
    }

    /// Keys that are about endpoints, on a service that has none.
    private func withoutEndpoints(_ node: Node, _ name: String, _ check: inout SchemaCheck) {
        for (key, written, path) in Service.section.shape.unfit(node, .files) where path.isEmpty {
            check.report(
                "\"\(key.name)\" has no effect on service \"\(name.clipped(64))\"", written.origin,
                "expected it on a service with endpoints: this one serves files")
        }
        candidates(node["files"], name, &check)
        if let cache = node["files"]?["cache"] {
            for (i, rule) in cache.elements.enumerated() where rule["path"]?.elements.isEmpty ?? false {
                check.report(
                    "services.\(name.clipped(64)).files.cache[\(i)] has no path", rule.origin,
                    "expected at least one pattern")
            }
        }
    }

    /// `try`: places to look at first, and at most one who answers, behind them.
    private func candidates(_ files: Node?, _ service: String, _ check: inout SchemaCheck) {
        guard let files, let node = files["try"], case .list(let entries) = node.content else { return }
        let place = "services.\(service.clipped(64)).files.try"
        if let key = files.key("fallback") {
            check.report(
                "\"fallback\" besides \"try\" in services.\(service.clipped(64)).files", key,
                "expected the page among the candidates of \"try\"",
                suggestion: files["fallback"]?.text.map { "/\($0)" })
        }
        if !entries.contains(where: { $0.text != nil }) {
            check.report(
                "\(place) has no path", node.origin, "expected at least one, such as \"{path}\"")
        }
        for entry in entries.dropLast() where entry.text == nil {
            check.report(
                "only the last entry of \(place) can be a service or a status", entry.origin,
                "expected a path such as \"{path}\" here")
        }
        guard let name = entries.last?["service"]?.asText else { return }
        guard let other = self.service(name.value) else {
            check.dangling(name, "service", configuration.services.map(\.name.value))
            return
        }
        if other.files != nil {
            check.report(
                "service \"\(name.value.clipped(64))\" serves files", name.origin,
                "expected a service with endpoints")
        }
    }

    private func services(_ check: inout SchemaCheck) {
        var used: Set<String> = []
        for entry in root["services"]?.entries ?? [] {
            entry.value["files"]?["try"]?.elements.last?["service"]?.text.map { _ = used.insert($0) }
        }
        for listener in configuration.listeners {
            listener.service.map { _ = used.insert($0.value) }
            for name in listener.serverNames { used.insert(name.service.value) }
        }
        for node in root["routes"]?.elements ?? [] { node["service"]?.text.map { _ = used.insert($0) } }
        for page in configuration.servicePages { used.insert(page.name.value) }
        for (service, entry) in zip(configuration.services, root["services"]?.entries ?? []) {
            let name = service.name.value
            if entry.value["files"] != nil, entry.value["endpoints"] == nil {
                withoutEndpoints(entry.value, name, &check)
            }
            if service.speaksHTTP2, let key = entry.value.key("quirks") {
                check.report(
                    "\"quirks\" has no effect on service \"\(name.clipped(64))\"", key,
                    "expected it on a service with protocol: http/1.1")
            }
            if let endpoints = entry.value["endpoints"], case .list(let list) = endpoints.content,
                list.isEmpty
            {
                check.report(
                    "service \"\(name.clipped(64))\" has no endpoints", endpoints.origin,
                    "expected at least one address")
            }
            if !used.contains(name) {
                check.report(
                    "service \"\(name.clipped(64))\" is not used", service.name.origin, severity: .warning)
            }
            var seen: [Address.Kind: Int] = [:]
            for endpoint in service.endpoints {
                let origin = endpoint.address.text.origin
                if let line = seen[endpoint.address.kind] {
                    check.report(
                        "endpoint \(endpoint.address.text.value) is in service \"\(name.clipped(64))\" twice",
                        origin,
                        "it is on line \(line) already; give it a weight instead")
                } else {
                    seen[endpoint.address.kind] = origin.line
                }
            }
        }
    }
}

extension Service {
    /// It has files, and no endpoints behind them.
    fileprivate var answersAlone: Bool {
        guard let files else { return false }
        if case .service = files.otherwise { return false }
        return true
    }
}
