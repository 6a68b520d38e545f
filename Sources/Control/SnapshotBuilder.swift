// From a checked configuration to a snapshot: patterns, templates and rules are compiled here.
//
// What the configuration module cannot judge (whether a pattern or a template is well-formed, whether
// a route can ever win) is judged here and reported as errors of the same kind, at the same places.

import WeirBalancing
import WeirCompression
import Configuration
import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel
import Proxy
import Reactor
import WeirResilience
import WeirRouting
import Telemetry

/// Addresses known for names at this moment.
typealias NameTable = [String: [IPAddress]]

/// Routes compiled from a configuration, independent of any running process: what a snapshot, `weir
/// check` and `weir explain` share.
public struct CompiledRoutes: Sendable {
    public struct Compiled: Sendable {
        public var rule: RouteRule
        public var action: CompiledAction
        public var rewrite: Rewrite?
        public var location: LocationRule?
        public var cookies: CookieRule?
        public var requestRules: FieldRules?
        public var responseRules: FieldRules?
        public var errors: ErrorPlan?
    }
    public enum CompiledAction: Sendable {
        case service(String)
        case redirect(Template, UInt16)
        case respond(UInt16, StaticBytes, StaticBytes)
        case close
    }
    /// One per route of the configuration, in its order.
    public var routes: [Compiled] = []
    /// Per HTTP listener its router, and for each of its rules the index of the route. Listeners with the
    /// same routes share one.
    private var routers: [String: (router: Router, indexes: [Int32])] = [:]
    /// Per HTTP listener what is sent in place of errors, by its own word or that of the top level.
    private(set) var errors: [String: ErrorPlan] = [:]
    /// One of them stands for answers of endpoints, too.
    private(set) var listenersReplaceAnswers = false

    /// Compiles all routes; every error of every route is reported.
    public static func compile(_ configuration: Configuration, file: String) -> (
        CompiledRoutes, [ConfigurationError]
    ) {
        var errors: [ConfigurationError] = []
        var compiled = CompiledRoutes()
        var doubtful: Set<Int32> = []
        let pages = ErrorPageCompiler(file: file)
        for (index, route) in configuration.routes.enumerated() {
            let before = errors.count
            compiled.routes.append(RouteCompiler(route: route, file: file).compile(&errors))
            if route.isFaulty || errors.count > before { doubtful.insert(Int32(index)) }
            compiled.routes[index].errors = pages.compile(route.errors, &errors)
        }
        let top = pages.compile(configuration.errors, &errors)
        for listener in configuration.listeners where listener.protocol == .http {
            let own = pages.compile(listener.errors, &errors)
            compiled.errors[listener.name.value] =
                if let own, let top { ErrorPlan(own, before: top) } else { own ?? top }
        }
        compiled.listenersReplaceAnswers = compiled.errors.values.contains(where: \.replacesAnswers)
        for text in configuration.services.flatMap({ $0.files?.candidates ?? [] }) {
            _ = checked(text.asTemplate, file, &errors, FileCandidate.parse)
        }
        var shared: [[Int32]: Router] = [:]
        for (listener, indexes) in indexes(configuration, leavingOut: doubtful) {
            let router = shared[indexes] ?? Router(indexes.map { compiled.routes[Int($0)].rule })
            shared[indexes] = router
            compiled.routers[listener] = (router, indexes)
        }
        errors += compiled.unreachable(configuration, Array(shared), file: file)
        return (compiled, errors)
    }

    /// Per HTTP listener the indexes of its routes.
    private static func indexes(
        _ configuration: Configuration, leavingOut doubtful: Set<Int32>
    ) -> [String: [Int32]] {
        var lists: [String: [Int32]] = [:]
        for listener in configuration.listeners where listener.protocol == .http {
            lists[listener.name.value] = []
        }
        let all = Array(lists.keys)
        for (index, route) in configuration.routes.enumerated() where !doubtful.contains(Int32(index)) {
            for name in route.listeners.isEmpty ? all : Array(Set(route.listeners.map(\.value))) {
                lists[name]?.append(Int32(index))
            }
        }
        return lists
    }

    /// Routes that win on none of their listeners. By name: a route that inherits different things from its
    /// listeners stands here once for each.
    private func unreachable(
        _ configuration: Configuration, _ routers: [(key: [Int32], value: Router)], file: String
    ) -> [ConfigurationError] {
        var places: [String: Int] = [:]
        var lost: [String: (times: Int, route: Int32, by: Int32)] = [:]
        for (indexes, router) in routers {
            for index in indexes { places[configuration.routes[Int(index)].name.value, default: 0] += 1 }
            for found in router.unreachable {
                let name = configuration.routes[Int(indexes[found.route])].name.value
                lost[name, default: (0, indexes[found.route], indexes[found.shadowedBy])].times += 1
            }
        }
        return lost.filter { places[$0.key] == $0.value.times }.values.sorted { $0.route < $1.route }.map {
            let route = configuration.routes[Int($0.route)]
            let other = configuration.routes[Int($0.by)]
            return ConfigurationError(
                "route \"\(route.name.value)\" can never match", at: route.name.origin, file: file,
                expectation: "route \"\(other.name.value)\" before it matches everything it would")
        }
    }

    /// The router of an HTTP listener, and for each of its rules the index of the route.
    public func router(for listener: String) -> (Router, [Int32]) {
        routers[listener] ?? (Router([]), [])
    }
}

private struct RouteCompiler {
    let route: Route
    let file: String

    func compile(_ errors: inout [ConfigurationError]) -> CompiledRoutes.Compiled {
        var rule = RouteRule(name: route.name.value)
        for host in route.match.hosts {
            if let pattern = checked(host, &errors, HostPattern.parse) { rule.hosts.append(pattern) }
        }
        for path in route.match.paths {
            if let pattern = checked(path, &errors, PathPattern.parse) { rule.paths.append(pattern) }
        }
        rule.isBeforeExpressions = route.match.isBeforeExpressions
        rule.methods = route.match.methods.map { $0.value.uppercased() }
        // Whoever may GET may HEAD (RFC 9110 §9.3.2).
        if rule.methods.contains("GET") && !rule.methods.contains("HEAD") { rule.methods.append("HEAD") }
        for named in route.match.headers {
            condition(.field(named.name.value), named.condition, &rule, &errors)
        }
        for named in route.match.query {
            condition(.query(named.name.value), named.condition, &rule, &errors)
        }
        for named in route.match.cookies {
            condition(.cookie(named.name.value), named.condition, &rule, &errors)
        }
        for named in route.match.certificate {
            condition(.certificate(CertificatePart(named.part)), named.condition, &rule, &errors)
        }

        var compiled = CompiledRoutes.Compiled(rule: rule, action: .service(""))
        switch route.action {
        case .service(let name):
            compiled.action = .service(name.value)
        case .redirect(let redirect):
            if let template = template(redirect.to, &errors, Self.url) {
                compiled.action = .redirect(template, UInt16(redirect.status))
            }
        case .close:
            compiled.action = .close
        case .respond(let response):
            compiled.action = .respond(
                UInt16(response.status), StaticBytes(response.type.value), StaticBytes(response.body.value))
        }
        switch route.rewrite {
        case nil: break
        case .path(let text): compiled.rewrite = template(text, &errors, Self.target).map { .target($0) }
        case .prefix(let from, let to):
            compiled.rewrite = .prefix(PathPrefix(from: from.value, to: to.value))
        case .pattern(let pattern, let with):
            compiled.rewrite = substitution(pattern, with, isText: true, for: .target, &errors).map {
                .part($0)
            }
        }
        // What goes out of other rewrites is not known; the configuration has refused to ask for it.
        let prefix: PathPrefix? = if case .prefix(let prefix)? = compiled.rewrite { prefix } else { nil }
        if route.rewritesLocation { compiled.location = LocationRule(prefix: prefix) }
        if !route.cookies.isEmpty { compiled.cookies = CookieRule(route.cookies, prefix) }
        compiled.requestRules = rules(route.headers.request, .request, &errors)
        compiled.responseRules = rules(
            route.headers.response, .response, isCompressed: route.compression != nil, &errors)
        return compiled
    }

    private func condition(
        _ source: Condition.Source, _ wanted: Match.Condition, _ rule: inout RouteRule,
        _ errors: inout [ConfigurationError]
    ) {
        switch wanted {
        case .present(let wanted): rule.conditions.append(Condition(source, .present, isNegated: !wanted))
        case .equals(let text): rule.conditions.append(Condition(source, .equals(Self.value(text, source))))
        case .prefix(let text): rule.conditions.append(Condition(source, .prefix(Self.value(text, source))))
        case .regex(let text):
            if let expression = checked(
                text, &errors, { text throws(PatternError) in try RegularExpression(text) })
            {
                rule.conditions.append(Condition(source, .expression(expression)))
            }
        }
    }

    /// A text to compare with; DNS names in certificates are compared in lower case.
    private static func value(_ text: Text, _ source: Condition.Source) -> String {
        source == .certificate(.san) && text.value.hasPrefix("DNS:")
            ? "DNS:" + text.value.dropFirst(4).lowercased() : text.value
    }

    private func rules(
        _ changes: Route.Changes, _ direction: FieldRules.Direction, isCompressed: Bool = false,
        _ errors: inout [ConfigurationError]
    ) -> FieldRules? {
        if changes.isEmpty { return nil }
        func compile(_ fields: [Route.Changes.Field]) -> [FieldRules.Rule] {
            fields.compactMap { field in
                template(field.value, &errors, Self.isURL(field.name) ? Self.url : Self.text).map {
                    FieldRules.Rule(name: field.name.value, value: $0)
                }
            }
        }
        var added = compile(changes.add)
        // A rule for Vary does not know that responses are coded; caches have to.
        if isCompressed, changes.set.contains(where: { $0.name.value.lowercased() == "vary" }),
            let value = try? Template.parse("Accept-Encoding")
        {
            added.append(FieldRules.Rule(name: "Vary", value: value))
        }
        return FieldRules(
            replace: changes.replace.compactMap { field in
                // A value is the endpoint's or the client's own, and what is put into a URL is data.
                substitution(
                    field.pattern, field.with, isText: false, for: Self.isURL(field.name) ? .target : .text,
                    &errors
                ).map { FieldRules.Replacement(name: field.name.value, $0) }
            },
            set: compile(changes.set), add: added, remove: changes.remove.map(\.value),
            direction: direction)
    }

    private func substitution(
        _ pattern: Text, _ with: Text, isText: Bool, for place: Template.Place,
        _ errors: inout [ConfigurationError]
    ) -> Substitution? {
        guard
            let expression = checked(
                pattern, &errors, { text throws(PatternError) in try RegularExpression(text, isText: isText) }
            ),
            let template = template(
                with, &errors,
                { text throws(PatternError) in try Template.parse(text, for: place, of: expression) })
        else { return nil }
        return Substitution(expression, with: template)
    }

    private static func text(_ text: String) throws(PatternError) -> Template { try .parse(text) }
    private static func target(_ text: String) throws(PatternError) -> Template {
        try .parse(text, for: .target)
    }
    private static func url(_ text: String) throws(PatternError) -> Template { try .parse(text, for: .url) }

    /// Whether clients go where the field says.
    private static func isURL(_ name: Text) -> Bool { name.value.lowercased() == "location" }

    private func template(
        _ text: Text, _ errors: inout [ConfigurationError],
        _ parse: (String) throws(PatternError) -> Template
    ) -> Template? {
        checked(text.asTemplate, &errors, parse)
    }

    private func checked<Result>(
        _ text: Text, _ errors: inout [ConfigurationError], _ parse: (String) throws(PatternError) -> Result
    ) -> Result? {
        Control.checked(text, file, &errors, parse)
    }
}

extension Text {
    /// To be parsed as a template: what references stand for is text in it, not variables.
    fileprivate var asTemplate: Text { Text(template, at: origin) }
}

/// Parses a text, turning what is wrong with it into an error at its place.
func checked<Result>(
    _ text: Text, _ file: String, _ errors: inout [ConfigurationError],
    _ parse: (String) throws(PatternError) -> Result
) -> Result? {
    do throws(PatternError) {
        return try parse(text.value)
    } catch {
        let origin = text.origin
        if text.isSubstituted {
            errors.append(
                ConfigurationError(
                    "what \"\(text.shown)\" stands for cannot stand here", at: origin, file: file))
            return nil
        }
        let place = origin.place(at: error.position, in: text.value)
        errors.append(ConfigurationError(error.message, at: place, file: file))
        return nil
    }
}

/// Builds snapshots of one process.
struct SnapshotBuilder {
    let configuration: Configuration
    let compiled: CompiledRoutes
    let certificates: CertificateSet
    let metrics: MetricsRegistry
    let workerCount: Int
    /// The snapshot before, if it was built from this very configuration: only names' addresses and certificates
    /// may have changed, and what they do not touch is taken over from it.
    var previous: Snapshot?
    /// What the last one built is made of.
    private(set) var plans = PlanCounts()

    init(
        configuration: Configuration, compiled: CompiledRoutes, certificates: CertificateSet,
        metrics: MetricsRegistry, workerCount: Int, previous: Snapshot? = nil
    ) {
        self.configuration = configuration
        self.compiled = compiled
        self.certificates = certificates
        self.metrics = metrics
        self.workerCount = workerCount
        self.previous = previous
    }

    /// Builds the snapshot. Listening sockets must already exist in `objects`.
    mutating func build(generation: UInt64, names: NameTable, _ objects: inout LongLivedObjects) -> Snapshot {
        plans = PlanCounts()
        var keptEndpoints: Set<LongLivedObjects.EndpointKey> = []

        var services: [ServicePlan] = []
        for service in configuration.services {
            services.append(plan(service, names, &objects, &keptEndpoints))
        }
        let files = Dictionary(
            configuration.services.compactMap { service in service.files.map { (service.name.value, $0) } },
            uniquingKeysWith: { first, _ in first })
        // Nothing in a route knows of addresses or certificates: it names its service by id.
        let routes: [RoutePlan]
        if let previous {
            routes = previous.routes
            plans.routes.reused = UInt64(routes.count)
        } else {
            plans.routes.built = UInt64(compiled.routes.count)
            routes = zip(configuration.routes, compiled.routes).map { plan($0, $1, files, &objects) }
            objects.keepOnlyCodedBodiesInUse()
        }
        var listeners: [ListenerPlan] = []
        for listener in configuration.listeners { listeners.append(plan(listener, &objects)) }
        objects.keepOnly(
            endpoints: keptEndpoints, sockets: Set(ListenerSockets.wanted(configuration).map(\.key)))

        var listenersByID = [ListenerPlan?](repeating: nil, count: objects.listenerCount)
        for listener in listeners { listenersByID[listener.id] = listener }
        var servicesByID = [ServicePlan?](repeating: nil, count: objects.serviceCount)
        for service in services { servicesByID[service.id] = service }
        return Snapshot(
            generation: generation, listeners: listenersByID, routes: routes, services: servicesByID,
            trusted: configuration.trustedProxies.compactMap { AddressBlock($0.value) },
            forwarding: ForwardingPlan(
                xForwarded: configuration.forwarded.xForwarded, forwarded: configuration.forwarded.forwarded,
                via: configuration.forwarded.via))
    }

    private mutating func plan(
        _ service: Service, _ names: NameTable, _ objects: inout LongLivedObjects,
        _ kept: inout Set<LongLivedObjects.EndpointKey>
    ) -> ServicePlan {
        var endpoints: [Proxy.Endpoint] = []
        func add(_ address: SocketAddress, _ name: String, _ weight: Int) {
            let key = LongLivedObjects.EndpointKey(
                service: service.name.value, name: name, address: address)
            // The same address twice is one endpoint.
            guard kept.insert(key).inserted else { return }
            endpoints.append(objects.endpoint(key, weight: UInt32(weight), metrics: metrics))
        }
        for endpoint in service.endpoints {
            switch endpoint.address.kind {
            case .ip(let host, let port):
                if let ip = IPAddress(host) {
                    let address = SocketAddress.ip(ip, port: port)
                    add(address, address.description, endpoint.weight)
                }
            case .unix(let path):
                add(.unix(path: path), "unix:\(path)", endpoint.weight)
            case .name(let host, let port):
                let addresses = names[host] ?? []
                for ip in addresses {
                    let address = SocketAddress.ip(ip, port: port)
                    add(address, "\(host)/\(address)", endpoint.weight)
                }
            case .any:
                break
            }
        }
        let tls = certificates.context(service: service.name.value)
        // Rather nobody than in the clear: it cannot be missing, and if it were it would not show.
        if service.tls != nil && tls == nil { endpoints = [] }
        let id = objects.serviceID(service.name.value)
        if let last = previous?.services[id], last.tls === tls,
            last.endpoints.elementsEqual(endpoints, by: { $0 === $1 })
        {
            plans.services.reused += 1
            return last
        }
        plans.services.built += 1
        let proxyProtocol: ProxyProtocolVersion? =
            switch service.proxyProtocol {
            case .off: nil
            case .v1: .v1
            case .v2: .v2
            }
        return ServicePlan(
            id: id, name: service.name.value, balance: service.balance,
            endpoints: endpoints,
            connectTimeoutMs: UInt64(service.timeout.connectMs), idleConnectionsMax: service.connections.idle,
            idleTimeoutMs: UInt64(service.connections.idleTimeoutMs), connectionsMax: service.connections.max,
            proxyProtocol: proxyProtocol, tls: tls,
            streams: service.speaksHTTP2 ? HTTP2Streams(HTTP2Configuration()) : nil,
            // Every worker keeps its own bucket: the floor is shared out among them.
            retryBudget: RetryBudget(
                perMille: service.retryBudget.ratioPerMille,
                floorPerSecond: Double(service.retryBudget.floorPerSecond) / Double(workerCount)),
            quirks: service.quirks, files: service.files.map { FilesPlan($0) })
    }

    /// - Parameter files: what services serve that have no endpoints, by name.
    private func plan(
        _ route: Route, _ compiled: CompiledRoutes.Compiled, _ files: [String: ServedFiles],
        _ objects: inout LongLivedObjects
    ) -> RoutePlan {
        // Where rules say what Content-Encoding is, it is not ours to say.
        let isCodingRuled = compiled.responseRules?.governs("content-encoding") ?? false
        let compression = isCodingRuled ? nil : route.compression.map { CompressionRule($0) }
        let action: RouteAction
        var serviceName = "-"
        switch compiled.action {
        case .service(let name):
            serviceName = name
            let serviceID = objects.serviceID(name)
            if let files = files[name] {
                action = .files(serviceID: serviceID, otherwise: next(route, files, &objects))
            } else {
                action = .forward(serviceID: serviceID)
            }
        case .redirect(let template, let status):
            action = .redirect(to: template, status: status)
        case .close:
            action = .close
        case .respond(let status, let type, let body):
            action = .respond(
                status: status, contentType: type, body: body,
                coded: route.compression.map { objects.codedBodies(of: body, $0) })
        }
        var conditions: RetryConditions = []
        var statuses: [UInt16] = []
        for condition in route.retry.on {
            switch condition {
            case .connect: conditions.insert(.connect)
            case .reset: conditions.insert(.reset)
            case .timeout: conditions.insert(.timeout)
            case .status(let status): statuses.append(UInt16(status))
            }
        }
        return RoutePlan(
            name: route.name.value, action: action, rewrite: compiled.rewrite, location: compiled.location,
            cookies: compiled.cookies, requestRules: compiled.requestRules,
            responseRules: compiled.responseRules, headTimeoutMs: UInt64(route.timeout.headMs),
            idleTimeoutMs: UInt64(route.timeout.idleMs), totalTimeoutMs: UInt64(route.timeout.totalMs ?? 0),
            upgradedIdleMs: UInt64(route.timeout.upgradedMs),
            retry: RetryPolicy(
                attemptsMax: route.retry.attempts, on: conditions, statuses: StatusSet(statuses)),
            bodyBytesMax: Self.bodyBytesMax(route), holdBytes: route.holdBytes, upgrades: route.upgrades,
            refusesOtherUpgrades: route.refusesOtherUpgrades,
            pings: route.webSocket.pingMs.map {
                PingPlan(intervalMs: UInt64($0), patienceMs: UInt64(route.webSocket.pongTimeoutMs))
            },
            compression: compression, bridgesWeb: route.grpcWeb,
            decompression: route.decompression.map { DecoderLimits($0) },
            errors: errors(compiled.errors, coded: route.compression, &objects),
            mayReplaceAnswers: compiled.errors?.replacesAnswers ?? false
                || self.compiled.listenersReplaceAnswers,
            metrics: metrics.route(route.name.value, service: serviceName))
    }

    /// What is said about errors, with the services it names, and its fixed bodies coded where a route compresses.
    private func errors(
        _ plan: ErrorPlan?, coded compression: Route.Compression?, _ objects: inout LongLivedObjects
    ) -> ErrorPlan? {
        plan?.mapPages { page in
            var page = page
            switch page.source {
            case .bodies(let bodies):
                guard let compression else { break }
                page.source = .bodies(bodies.coded { objects.codedBodies(of: $0, compression) })
            case .service(var asked):
                asked.serviceID = objects.serviceID(asked.service)
                page.source = .service(asked)
            }
            return page
        }
    }

    /// The service that answers where `files` has none.
    private func next(_ route: Route, _ files: ServedFiles, _ objects: inout LongLivedObjects) -> NextService?
    {
        guard case .service(let name) = files.otherwise else { return nil }
        return NextService(
            serviceID: objects.serviceID(name.value),
            metrics: metrics.route(route.name.value, service: name.value))
    }

    private mutating func plan(_ listener: Listener, _ objects: inout LongLivedObjects) -> ListenerPlan {
        let name = listener.name.value
        let id = objects.listenerID(name)
        let tls = certificates.context(listener: name)
        if let last = previous?.listeners[id], last.tls === tls {
            plans.listeners.reused += 1
            return last
        }
        plans.listeners.built += 1
        let (router, indexes) = compiled.router(for: name)
        var sockets: [ListeningSockets] = []
        for address in listener.addresses {
            if let open = objects.sockets(at: ListenerSockets.key(address, of: listener)) {
                sockets.append(open)
            }
        }
        if listener.tls != nil && tls == nil { sockets = [] }
        return ListenerPlan(
            id: id, name: name, traffic: traffic(listener, &objects), sockets: sockets, router: router,
            routeIndexes: indexes, requiresProxyHeader: listener.proxyProtocol == .required, tls: tls,
            streams: HTTP2Streams(Self.http2(listener)),
            sessionAgeMaxMs: UInt64(listener.connectionAgeMaxMs ?? 0),
            headLimits: Self.headLimits(listener),
            headTimeoutMs: UInt64(listener.timeout.headMs), idleTimeoutMs: UInt64(listener.timeout.idleMs),
            bodyTimeoutMs: UInt64(listener.timeout.bodyMs), writeTimeoutMs: UInt64(listener.timeout.writeMs),
            bytesPerSecondMin: UInt64(listener.bodyRateMin),
            bodyBytesMax: listener.limits.bodyBytes.map { UInt64($0) } ?? .max,
            helloTimeoutMs: UInt64(listener.timeout.helloMs),
            connectionsMax: (listener.limits.connections + workerCount - 1) / workerCount,
            requestsPerConnectionMax: UInt32(clamping: listener.limits.requestsPerConnection),
            errors: errors(compiled.errors[name], coded: nil, &objects),
            metrics: metrics.listener(name),
            unrouted: metrics.route("-", service: listener.service?.value ?? "-"))
    }

    /// The bound of a route's request bodies; nil: the listener's.
    private static func bodyBytesMax(_ route: Route) -> UInt64? {
        switch route.bodyLimit {
        case .ofListener: nil
        case .none: .max
        case .bytes(let bytes): UInt64(bytes)
        }
    }

    /// The bounds of an HTTP/2 connection on a listener.
    private static func http2(_ listener: Listener) -> HTTP2Configuration {
        var result = HTTP2Configuration()
        result.head = headLimits(listener)
        result.streamsMax = UInt32(listener.limits.streams)
        return result
    }

    /// The bounds of a request head on a listener.
    static func headLimits(_ listener: Listener) -> HeadLimits {
        var limits = HeadLimits()
        limits.bytesMax = listener.limits.headBytes
        limits.fieldsMax = min(listener.limits.fields, Worker.fieldsMax)
        limits.targetBytesMax = listener.limits.targetBytes
        limits.refusesAmbiguousPaths = listener.paths == .refuse
        limits.underscores =
            switch listener.underscores {
            case .pass: .pass
            case .drop: .drop
            case .refuse: .refuse
            }
        return limits
    }
}

extension CookieRule {
    /// - Parameter prefix: what the route's rewrite exchanges.
    init(_ cookies: Route.Cookies, _ prefix: PathPrefix?) {
        let path: PathPrefix?
        switch cookies.path {
        case nil: path = nil
        case .rewrite?: path = prefix
        // Of a prefix outward is from the endpoint to the client, as the configuration has it.
        case .prefix(let from, let to)?: path = PathPrefix(from: to.value, to: from.value)
        }
        let domain: Domain?
        switch cookies.domain {
        case nil: domain = nil
        case .remove?: domain = .remove
        case .replace(let from, let to)?:
            domain = .replace(StaticBytes(from.value), with: StaticBytes(to.value))
        }
        self.init(
            path: path, domain: domain, secure: cookies.secure,
            sameSite: cookies.sameSite.flatMap { SameSite(rawValue: $0.rawValue) }, httpOnly: cookies.httpOnly
        )
    }
}

extension CertificatePart {
    init(_ part: Match.OfCertificate.Part) {
        switch part {
        case .present: self = .whole
        case .subject: self = .subject
        case .issuer: self = .issuer
        case .san: self = .san
        case .fingerprint: self = .fingerprint
        }
    }
}
