// Services: named pools of endpoints, or folders of files.

import WeirBalancing
import WeirHTTPModel

/// A named pool of endpoints.
public struct Service: Sendable, Equatable {
    public enum ProxyProtocol: String, Sendable, CaseIterable {
        case off, v1, v2
    }

    public var name: Text
    /// The folder that answers instead of endpoints; nil for a service with endpoints.
    public var files: ServedFiles?
    public var balance = BalancingMethodName.leastRequest
    /// Endpoints speak HTTP/2.
    public var speaksHTTP2 = false
    /// At least one unless `files` is set; `Address.Kind.any` does not occur.
    public var endpoints: [Endpoint] = []
    public var timeout = Timeout()
    public var connections = Connections()
    public var retryBudget = RetryBudget()
    /// PROXY header sent at the start of each connection to an endpoint.
    public var proxyProtocol = ProxyProtocol.off
    /// nil: connections to endpoints are not encrypted.
    public var tls: TLS?
    /// In what its endpoints may break the standard.
    public var quirks: Quirks = []

    public init(name: Text) { self.name = name }
}

extension Service {
    /// Services by name.
    static let map = MapOf(
        .name, section,
        { name, service in
            var service = service
            service.name = name
            return service
        }, { ($0.name, $0) })

    static let section = Section(
        "service", { _ in Service(name: Text("")) }, exactlyOne: [["endpoints", "files"]],
        dispensable: ["endpoints", "files"],
        later: ["health", "outliers", "limits", "discovery", "sticky", "breaker", "panic", "zone", "http2"],
        uses: { $0.files == nil ? .endpoints : .files }
    ) {
        Key(
            "balance", Choice(later: ["peak-ewma", "ip-hash", "ring-hash", "rendezvous", "maglev"]),
            \.balance, for: .endpoints,
            "How the endpoint of a request is chosen. `least-request` compares two endpoints picked at random by their requests in flight; all three observe weights.",
            example: "balance: round-robin")
        Key(
            "endpoints", ListOf(Endpoint.form), \.endpoints, for: .endpoints,
            "The addresses traffic can be sent to. Names are resolved again when their TTL ends.",
            example: "endpoints:\n  - 10.0.0.11:8080\n  - { address: app.internal:8080, weight: 2 }")
        Key(
            "files", Short(TextRule.folder, { ServedFiles(root: $0) }, in: ServedFiles.section), \.files,
            "The folder of files the service answers from, instead of endpoints: its path, or a map.",
            example: "files: { root: /srv/www, index: index.html }")
        Key(
            "timeout", Timeout.section, \.timeout, for: .endpoints,
            "Deadlines towards endpoints.",
            example: "timeout: { connect: 500ms }")
        Key(
            "connections", Connections.section, \.connections, for: .endpoints,
            "The pool of connections each worker keeps per endpoint.",
            example: "connections: { idle: 16 }")
        Key(
            "retry-budget", RetryBudget.section, \.retryBudget, for: .endpoints,
            "Bounds the retries of the whole service, so that they never multiply an overload. Tokens come from requests completed in the last 10 s.",
            example: "retry-budget: { ratio: 10%, floor: 1/s }")
        Key(
            "protocol", Choice([("http/1.1", false), ("h2", true)]), \.speaksHTTP2, for: .endpoints,
            "The version of HTTP its endpoints speak. `h2` needs endpoints that take HTTP/2 at once: agreed on in the TLS handshake where the service has `tls`, else with prior knowledge. gRPC needs `h2`.",
            example: "protocol: h2")
        Key(
            "proxy-protocol", Choice(), \.proxyProtocol, for: .endpoints,
            "PROXY protocol header sent at the start of each connection to an endpoint. Connections are then not shared between clients.",
            example: "proxy-protocol: v2")
        Key(
            "tls", TLS.section, \.tls, for: .endpoints,
            "Speak TLS with endpoints. `tls: {}` is enough for endpoints whose names are in certificates of a public CA.",
            example: "tls: { ca: /etc/weir/internal-ca.pem, server-name: api.internal }")
        Key(
            "quirks",
            OneOrMany(Choice(Quirk.allCases.map { ($0.name.description, $0) })).mapped(
                to: Quirks.init(of:), from: \.list), \.quirks, for: .endpoints,
            "Ways in which responses of its endpoints break the standard and are read all the same: spaces behind a chunk's size, the same Content-Length several times, `Transfer-Encoding: identity`. The strict reading comes first, what goes to clients is framed afresh, and each use is counted. HTTP/1.1 only.",
            example: "quirks: [padded-chunk-size]")
        Key(
            "routes-defaults", passedOn: .section(RouteDefaults.shape),
            "What routes to this service have unless they say otherwise; stands before the `routes-defaults` of listeners and of the top level.",
            example: "routes-defaults: { timeout: { head: 2m } }")
    }
}

extension Quirks {
    fileprivate init(of quirks: [Quirk]) {
        self = []
        for quirk in quirks { insert(Quirks(quirk)) }
    }
}

extension Service {
    public struct Timeout: Sendable, Equatable {
        public var connectMs: Int64 = 2_000

        public init() {}
    }
}

extension Service.Timeout {
    static let section = Section("timeout", { _ in Service.Timeout() }, later: ["handshake"]) {
        Key(
            "connect", Duration(1...600_000), \.connectMs,
            "Deadline for a connection to an endpoint.",
            example: "connect: 500ms")
    }
}
