// The whole file: what stands at its top level.

/// A whole configuration.
public struct Configuration: Sendable, Equatable {
    /// The pinned set of defaults, "2026-1".
    public var defaults = "2026-1"
    /// Number of worker threads; nil means one per core allowed by cpuset and cgroup quota.
    public var workers: Int?
    public var workersOrigin = Origin.none
    /// In file order; at least one.
    public var listeners: [Listener] = []
    /// In file order, which breaks ties between equally specific matches.
    public var routes: [Route] = []
    /// In file order.
    public var services: [Service] = []
    /// Address blocks ("10.0.0.0/8", "::1", "unix") whose word about the client's address is believed.
    public var trustedProxies: [Text] = []
    public var forwarded = Forwarded()
    public var resolver = Resolver()
    public var accessLog: AccessLog?
    /// What is sent in place of errors where neither listener nor route says.
    public var errors: [ErrorPage] = []
    /// Where the admin API listens; nil when switched off.
    public var admin: Admin? = Admin()
    /// Deadline for accepted requests after SIGTERM; connections still open then are closed.
    public var drainMs: Int64 = 30_000

    public init() {}
}

extension Configuration {
    static let section = Section(
        "the file", { _ in Configuration() }, dispensable: ["listeners"],
        later: ["cache", "cluster", "certificates", "tls", "includes", "expect"], hasExtensions: true
    ) {
        Key(
            "defaults", TextRule.defaultSet.string, \.defaults,
            "Pins the set of defaults, so that a later version of Weir does not change what this file means.",
            example: "defaults: \"2026-1\"")
        Key(
            "workers", Whole(1...1024).or("auto"), \.workers, origin: \Configuration.workersOrigin,
            "Number of worker threads, each with its own connections. `auto` is one per core that cpuset and cgroup quota allow.",
            example: "workers: 4")
        Key(
            "listeners", Listener.map, \.listeners, required: true,
            "The addresses and protocols Weir accepts traffic on, by name.",
            example: "listeners:\n  web: { address: \":8080\" }")
        Key(
            "routes", ListOf(Route.section), \.routes,
            "What to do with HTTP requests. The most specific match wins: exact host before wildcard, longer path before shorter, more conditions before fewer, then the order in the file.",
            example: "routes:\n  - { name: all, match: { path: /* }, service: web }")
        Key(
            "routes-defaults", passedOn: .section(RouteDefaults.shape),
            "What all routes have unless they say otherwise: everything of a route that is not about which requests it takes or who answers them. It may stand on a listener and on a service, too. Maps merge by key, everything else replaces. Precedence: the built-in default, this, the listener's `routes-defaults`, the service's, the route's `policies`, the route. A key a route has no use for (`retry` of a redirect) is not inherited.",
            example:
                "routes-defaults:\n  timeout: { head: 10s }\n  headers: { response: { set: { X-Frame-Options: DENY } } }"
        )
        Key(
            "policies", passedOn: .map(.section(Policies.shape), of: .name),
            "What several routes have in common, by name. A route names those it wants in `policies`, and so may each `routes-defaults`. Maps merge by key, everything else replaces.",
            example:
                "policies:\n  slow: { timeout: { head: 60s }, retry: { attempts: 1 } }\n  zip: { compression: on }"
        )
        Key("errors", ErrorPage.form, \.errors, ErrorPage.doc, example: ErrorPage.example)
        Key(
            "services", Service.map, \.services,
            "Named pools of endpoints, or folders of files.",
            example: "services:\n  web: { endpoints: [127.0.0.1:3000] }")
        Key(
            "client-address", group: clientAddress,
            "Whose word about the address of the client is believed. It is computed once and used everywhere.",
            example: "client-address: { trusted: [10.0.0.0/8] }")
        Key(
            "forwarded", Forwarded.section, \.forwarded,
            "Which fields tell an endpoint about the client, and both sides about Weir.",
            example: "forwarded: { forwarded: true }")
        Key(
            "resolver", Resolver.section, \.resolver,
            "How the names of endpoints become addresses. A failed answer never removes an endpoint.",
            example: "resolver: { servers: [127.0.0.53:53] }")
        Key(
            "telemetry", group: telemetry,
            "What Weir records.",
            example: "telemetry: { access-log: { path: stdout } }")
        Key(
            "admin", Admin.section.or("off"), \.admin,
            "The listener for metrics, health of Weir itself, and the admin API. It has no access control of its own: keep it on an address only operators reach.",
            example: "admin: { address: \"127.0.0.1:9900\" }")
        Key(
            "drain", Duration(0...86_400_000), \.drainMs,
            "Deadline after SIGTERM for the requests that were accepted; connections still open then are closed.",
            example: "drain: 1m")
    }

    private static let clientAddress = Section("client-address", { _ in Configuration() }) {
        Key(
            "trusted", OneOrMany(TextRule.cidr), \.trustedProxies,
            "Proxies in front of Weir. X-Forwarded-For is read from right to left as long as the addresses are in these blocks. `unix` is whoever connects to a Unix socket.",
            example: "trusted: [10.0.0.0/8, \"::1\", unix]")
    }

    private static let telemetry = Section(
        "telemetry", { _ in Configuration() }, later: ["traces", "metrics", "slo"]
    ) {
        Key(
            "access-log", AccessLog.section.or("off"), \.accessLog,
            "One line per request. Off costs nothing.",
            example: "access-log: { path: stdout, format: json }")
    }
}
