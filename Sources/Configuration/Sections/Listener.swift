// Listeners: the addresses and protocols traffic is accepted on.

/// An address and protocol traffic is accepted on.
public struct Listener: Sendable, Equatable {
    public enum `Protocol`: String, Sendable, CaseIterable {
        case http, tcp, udp
    }
    public enum ProxyProtocol: String, Sendable, CaseIterable {
        /// Connections start with the client's own bytes.
        case off
        /// Every connection starts with a PROXY header, version 1 or 2; others are closed.
        case required
    }
    public enum Underscores: String, Sendable, CaseIterable {
        /// They go on, but for those that read like a field Weir writes or strips for trust.
        case pass
        /// None goes on.
        case drop
        /// The request is refused.
        case refuse
    }

    /// A server name and whose it is.
    public struct ServerName: Sendable, Equatable {
        /// "api.example.com", "*.example.com" (any name below it), or "*" (whatever is left).
        public var pattern: Text
        public var service: Text

        public init(pattern: Text, service: Text) {
            self.pattern = pattern
            self.service = service
        }
    }

    /// Paths that are not plain.
    public enum Paths: String, Sendable, CaseIterable {
        /// Dot segments are resolved; other readings are refused where they lead to another route.
        case normalize
        /// Dot segments, two slashes in a row, encoded slashes and backslashes are refused.
        case refuse
    }

    public var name: Text
    public var addresses: [Address] = []
    /// Of the Unix sockets among them.
    public var socketAccess = SocketAccess()
    public var `protocol` = Protocol.http
    /// The service connections or datagrams go to: set if `protocol` is udp, or tcp without `serverNames`.
    public var service: Text?
    /// TCP: the services of connections by the server name their ClientHello asks for; TLS is passed on.
    public var serverNames: [ServerName] = []
    public var proxyProtocol = ProxyProtocol.off
    public var timeout = Timeout()
    /// Least average rate of a request body, in bytes per second, once it is 10 s old; 0 is no minimum.
    public var bodyRateMin = 240
    public var limits = Limits()
    public var paths = Paths.normalize
    /// Age at which a client's HTTP/2 connection is asked to end; nil is no limit.
    public var connectionAgeMaxMs: Int64?
    /// nil: connections are not encrypted.
    public var tls: TLS?
    public var udp = UDP()

    /// What becomes of request fields with `_` in their names.
    public var underscores = Underscores.pass
    /// What is sent in place of errors where the route does not say.
    public var errors: [ErrorPage] = []

    public init(name: Text) { self.name = name }
}

extension Listener {
    /// Listeners by name.
    static let map = MapOf(
        .name, section,
        { name, listener in
            var listener = listener
            listener.name = name
            return listener
        }, { ($0.name, $0) })

    static let section = Section(
        "listener", { _ in Listener(name: Text("")) }, later: ["http3", "acme"],
        finish: { node, listener in
            if node["timeout"]?["idle"] == nil {
                listener.timeout.idleMs = Timeout.idleMs(listener.protocol)
            }
            // ALPN names what is read here; what TCP carries is not known.
            if listener.protocol != .http, node["tls"]?["alpn"] == nil { listener.tls?.alpn = [] }
        }, uses: { $0.uses }
    ) {
        Key(
            "address", OneOrMany(AddressForm(.listen)), \.addresses, required: true,
            "Where to listen. `:8080` is every IPv4 and IPv6 address of the machine; `unix:/path` is a Unix socket, `unix:@name` one in the abstract namespace, which has no file; a link-local address names its interface, `[fe80::1%eth0]:8080`.",
            example: "address: [\"127.0.0.1:8080\", \"[::1]:8080\"]")
        SocketAccess.keys.map { $0.of(\Listener.socketAccess) }
        Key(
            "protocol", Choice(later: ["dns", "redis", "postgres"]), \.protocol,
            "`http` reads HTTP/1.1 requests and routes each; `tcp` passes bytes to one service (or, with `sni`, to one of several), `udp` datagrams.",
            example: "protocol: tcp")
        Key(
            "service", TextRule.name, \.service, for: [.tcp, .udp],
            "The service connections or datagrams go to. Required with `protocol: udp`, and with `tcp` unless there is `sni`; not allowed with `http`.",
            example: "service: postgres")
        Key(
            "sni",
            MapOf(
                .serverNamePattern, TextRule.name, { ServerName(pattern: $0, service: $1) },
                { ($0.pattern, $0.service) }), \.serverNames, for: .tcp,
            "Chooses the service of each TLS connection by the server name its ClientHello asks for, and passes its bytes on as they are: Weir needs no certificate. The most specific name wins: exact, then the longest wildcard (`*.example.com` is any name below example.com), then `*`, which also takes clients that name no server, bytes that are no TLS, and after `timeout.hello` clients that say nothing. Other connections are refused. TCP only, instead of `service`.",
            example: "sni: { api.example.com: api, \"*.shop.example.com\": shop, \"*\": web }")
        Key(
            "proxy-protocol", Choice(), \.proxyProtocol,
            "With `required` every connection has to start with a PROXY protocol header (version 1 or 2), which then gives the address of the client; other connections are closed. Anybody who can connect can claim any address: use it only behind a balancer. Not for UDP.",
            example: "proxy-protocol: required")
        Key(
            "timeout", Timeout.section, \.timeout,
            "Deadlines towards the client. They measure progress, not totals.",
            example: "timeout: { head: 5s }")
        Key(
            "min-body-rate", ByteRate(1...1_000_000_000).or("off", means: 0), \.bodyRateMin, for: .http,
            "Least average rate of a request body that nobody has answered yet; a slower client is cut off. Not for gRPC calls, nor for bodies without a length where the route says `hold: 0B`. HTTP only.",
            example: "min-body-rate: 1KiB/s")
        Key(
            "underscores", Choice(), \.underscores, for: .http,
            "What becomes of request fields with `_` in their names, which applications behind CGI, WSGI or PHP cannot tell from those with `-`. `pass`: they go on, but for those that read like `X-Forwarded-…`, `X-Real-IP`, a field a rule of the route sets or removes, or one that frames the message. `drop`: none goes on. `refuse`: 400. HTTP only.",
            example: "underscores: drop")
        Key(
            "limits", Limits.section, \.limits,
            "Bounds on what clients can ask for.",
            example: "limits: { head: 16KiB }")
        Key(
            "paths", Choice(), \.paths, for: .http,
            "What becomes of paths that servers read differently. `normalize` resolves dot segments (`/a/../b`), and answers 400 to two slashes in a row and encoded slashes or backslashes where reading them as one slash would lead to another route. `refuse` answers 400 to all of them. Both refuse paths above the root and dot segments in any other spelling. HTTP only.",
            example: "paths: refuse")
        Key(
            "tls", TLS.section, \.tls,
            "Speak TLS with clients. Certificates and keys are files; see `weir cert`.",
            example: "tls:\n  certificates:\n    - { cert: /etc/weir/a.pem, key: /etc/weir/a.key }")
        Key(
            "http2", group: http2, for: .http,
            "HTTP/2 connections of clients. HTTP only.",
            example: "http2: { max-connection-age: 1h }")
        Key(
            "routes-defaults", passedOn: .section(RouteDefaults.shape), for: .http,
            "What routes have on this listener unless they or their service say otherwise; stands before the `routes-defaults` at the top level. HTTP only.",
            example: "routes-defaults: { timeout: { head: 5s } }")
        Key("errors", ErrorPage.form, \.errors, for: .http, ErrorPage.doc, example: ErrorPage.example)
        Key(
            "udp", UDP.section, \.udp, for: .udp,
            "How datagrams become sessions. UDP only.",
            example: "udp: { responses: 1 }")
    }

    private static let http2 = Section("http2", { _ in Listener(name: Text("")) }) {
        Key(
            "max-connection-age", Duration(1_000...604_800_000).or("none"), \.connectionAgeMaxMs,
            "Age, give or take 10 %, at which a connection is asked to end: the client is told to open no more streams on it, those open are finished, and its next request comes on a new connection, perhaps to another machine.",
            example: "max-connection-age: 1h")
    }

    var uses: Uses {
        switch self.protocol {
        case .http: return .http
        case .udp: return .udp
        case .tcp:
            var uses = Uses.tcp
            if proxyProtocol == .required || tls != nil || !serverNames.isEmpty { uses.insert(.awaitedHead) }
            if serverNames.contains(where: { $0.pattern.value == "*" }) { uses.insert(.silentClients) }
            return uses
        }
    }
}
