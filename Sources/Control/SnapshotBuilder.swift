// From a checked configuration to a snapshot: plans of its services, routes and listeners.
//
// A plan whose inputs are those of the plan before is that plan: workers, who compare by identity, then know that
// nothing has changed, and nothing is made again. Its inputs are the values of its section, and what they name: the
// contents of certificates and pages, the folder behind a service, endpoints, sockets, the routes of a listener.

import Configuration
import Proxy
import Reactor
import Telemetry
import WeirBalancing
import WeirCompression
import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel
import WeirResilience
import WeirRouting

/// Addresses known for names at this moment.
typealias NameTable = [String: [IPAddress]]

/// Builds snapshots of one process.
struct SnapshotBuilder {
    let configuration: Configuration
    let compiled: CompiledRoutes
    let certificates: CertificateSet
    let metrics: MetricsRegistry
    let workerCount: Int
    /// Clients in these blocks are believed about whom they speak for (law 9).
    private let trusted: [AddressBlock]
    private var previous: Previous?
    /// Of the configuration before, by name; empty if it is the same one.
    private var servicesBefore: [String: Service] = [:]
    private var listenersBefore: [String: Listener] = [:]
    private var filesBefore: [String: ServedFiles] = [:]
    /// Policies that stand before ours, made anew for each route.
    var further: @Sendable (Route) -> [Policy] = { _ in [] }
    /// What the last one built is made of.
    private(set) var plans = PlanCounts()

    /// The snapshot before: what is not touched by what has changed since is taken over from it.
    struct Previous {
        var snapshot: Snapshot
        /// What it was built from; nil: the configuration is still the same, and only names' addresses and
        /// certificates may be others.
        var known: CompiledRoutes.Known?
    }

    /// - Parameter compiled: keeping `previous.known`, if that is not nil.
    init(
        configuration: Configuration, compiled: CompiledRoutes, certificates: CertificateSet,
        metrics: MetricsRegistry, workerCount: Int, previous: Previous? = nil
    ) {
        self.configuration = configuration
        self.compiled = compiled
        self.certificates = certificates
        self.metrics = metrics
        self.workerCount = workerCount
        trusted = configuration.trustedProxies.compactMap { AddressBlock($0.value) }
        self.previous = previous
        guard let before = previous?.known?.configuration else { return }
        for service in before.services {
            servicesBefore[service.name.value] = service
            filesBefore[service.name.value] = service.files
        }
        for listener in before.listeners { listenersBefore[listener.name.value] = listener }
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
        let routes = routes(files, &objects)
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
            forwarding: ForwardingPlan(
                xForwarded: configuration.forwarded.xForwarded, forwarded: configuration.forwarded.forwarded,
                via: configuration.forwarded.via))
    }

    private mutating func routes(
        _ files: [String: ServedFiles], _ objects: inout LongLivedObjects
    ) -> [RoutePlan] {
        // Nothing in a route knows of addresses or certificates: it names its service by id.
        if let previous, previous.known == nil {
            plans.routes.reused = UInt64(previous.snapshot.routes.count)
            return previous.snapshot.routes
        }
        var routes: [RoutePlan] = []
        routes.reserveCapacity(compiled.routes.count)
        for (index, route) in configuration.routes.enumerated() {
            if let same = routeBefore(index, files) {
                routes.append(same)
                plans.routes.reused += 1
            } else {
                routes.append(plan(route, compiled.routes[index], files, &objects))
                plans.routes.built += 1
            }
        }
        return routes
    }

    /// The plan a route had, if nothing it was made from is another.
    private func routeBefore(_ index: Int, _ files: [String: ServedFiles]) -> RoutePlan? {
        guard let previous, let known = previous.known, compiled.kept[index] >= 0,
            compiled.listenersReplaceAnswers == known.compiled.listenersReplaceAnswers,
            configuration.trustedProxies == known.configuration.trustedProxies
        else { return nil }
        if case .service(let name) = compiled.routes[index].action, files[name] != filesBefore[name] {
            return nil
        }
        return previous.snapshot.routes[Int(compiled.kept[index])]
    }

    /// The plan an object had, if there is one and its section is the same.
    private func before<Plan, Section: Equatable>(
        _ plans: (Snapshot) -> [Plan?], _ id: Int, _ section: Section, _ sections: [String: Section],
        _ name: String
    ) -> Plan? {
        guard let previous else { return nil }
        let known = plans(previous.snapshot)
        guard id < known.count, previous.known == nil || sections[name] == section else { return nil }
        return known[id]
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
        if let last = before(\.services, id, service, servicesBefore, service.name.value), last.tls === tls,
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
        let input = PolicyInput(
            route: route, compiled: compiled, trusted: trusted, files: files[serviceName])
        return RoutePlan(
            name: route.name.value, action: action, policies: further(route) + RoutePolicies.of(input),
            rewrite: compiled.rewrite, headTimeoutMs: UInt64(route.timeout.headMs),
            idleTimeoutMs: UInt64(route.timeout.idleMs), totalTimeoutMs: UInt64(route.timeout.totalMs ?? 0),
            upgradedIdleMs: UInt64(route.timeout.upgradedMs),
            retry: RetryPolicy(
                attemptsMax: route.retry.attempts, on: conditions, statuses: StatusSet(statuses)),
            host: compiled.requestRules?.replacement(for: "host"), compression: input.compressionRule,
            decompression: route.decompression.map { DecoderLimits($0) },
            rulesContentType: compiled.responseRules?.governs("content-type") ?? false,
            pings: route.webSocket.pingMs.map {
                PingPlan(intervalMs: UInt64($0), patienceMs: UInt64(route.webSocket.pongTimeoutMs))
            },
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
        let (router, indexes) = compiled.router(for: name)
        var sockets: [ListeningSockets] = []
        for address in listener.addresses {
            if let open = objects.sockets(at: ListenerSockets.key(address, of: listener)) {
                sockets.append(open)
            }
        }
        if listener.tls != nil && tls == nil { sockets = [] }
        if let last = before(\.listeners, id, listener, listenersBefore, name), last.tls === tls,
            previous?.known.map({ $0.compiled.errors[name] === compiled.errors[name] }) ?? true,
            last.router === router, last.routeIndexes == indexes,
            !router.asksForContext
                || previous?.known.map({ $0.configuration.trustedProxies == configuration.trustedProxies })
                    ?? true,
            last.sockets.elementsEqual(sockets, by: { $0 === $1 })
        {
            plans.listeners.reused += 1
            return last
        }
        plans.listeners.built += 1
        return ListenerPlan(
            id: id, name: name, traffic: traffic(listener, &objects), sockets: sockets, router: router,
            routeIndexes: indexes,
            clientAddress: router.asksForContext && !trusted.isEmpty
                ? ClientAddressPolicy(trusted: trusted) : nil,
            requiresProxyHeader: listener.proxyProtocol == .required, tls: tls,
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
