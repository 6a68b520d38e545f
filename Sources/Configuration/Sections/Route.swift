// Routes: what to do with the requests that match.

/// What to do with the requests that match.
public struct Route: Sendable, Equatable {
    public enum Action: Sendable, Equatable {
        case service(Text)
        case redirect(Redirect)
        case respond(Response)
        /// `respond: close`: no answer at all.
        case close
    }

    public var name: Text
    /// Names of HTTP listeners; empty is all of them.
    public var listeners: [Text] = []
    public var match = Match()
    public var action: Action
    public var rewrite: Rewrite?
    /// Where endpoints send clients is turned back to what clients see.
    public var rewritesLocation = false
    public var cookies = Cookies()
    public var headers = Headers()
    public var timeout = Timeout()
    public var retry = Retry()
    /// Bytes of a request body.
    public enum BodyLimit: Sendable, Equatable {
        /// What the listener says.
        case ofListener
        case none
        case bytes(Int64)
    }
    public var bodyLimit = BodyLimit.ofListener
    /// Bytes of a request body held before an endpoint is chosen, so that it can be sent again.
    public var holdBytes = 65_536
    /// Protocols a client may upgrade to, lower case; "connect" is the CONNECT method.
    public var upgrades = ["websocket"]
    /// Requests for other protocols are refused instead of served without the change.
    public var refusesOtherUpgrades = false
    public var webSocket = WebSocket()
    /// gRPC-Web requests are forwarded as gRPC.
    public var grpcWeb = false
    /// What policies say that have a type of their own for it.
    public var settings = PolicySettings()
    /// What is sent in place of errors.
    public var errors: [ErrorPage] = []
    /// Something in it is wrong and was left out: it says nothing about which requests it would take.
    public var isFaulty = false

    public init(name: Text, action: Action) {
        self.name = name
        self.action = action
    }
}

extension Route {
    /// Keys that are `inherited` say something about requests whoever answers them: they may stand in policies and
    /// `routes-defaults` as well (Inheritance.swift).
    static let section = Section(
        "route",
        { node in
            var route = Route(name: Text("", at: node.origin), action: .close)
            route.isFaulty = node.isFaulty
            return route
        }, exactlyOne: [["service", "redirect", "respond"]], dispensable: ["name"],
        later: ["cache", "auth", "rate-limit", "cors", "files", "waf", "mirror", "split", "priority"],
        finish: { _, route in
            // Without WebSockets there is nothing to ping, whatever was inherited.
            if !route.upgrades.contains("websocket") { route.webSocket = WebSocket() }
        }, uses: { $0.uses }
    ) {
        Key(
            "name", TextRule.name, \.name, required: true,
            "What logs, metrics and `weir explain` call the route. Unique among the routes of a listener.",
            example: "name: api")
        Key(
            "listeners", OneOrMany(TextRule.name), \.listeners, default: "all HTTP listeners",
            "The listeners the route is for.",
            example: "listeners: [web]")
        Key(
            "match", Match.section, \.match, default: "{} (every request)",
            "Which requests the route is for. All parts given have to agree.",
            example: "match: { host: api.example.com, path: /v1/*, method: [GET, POST] }")
        Key(
            "service",
            TextRule.name.mapped(
                to: { Action.service($0) }, from: { if case .service(let name) = $0 { name } else { nil } }),
            \.action,
            "The service the request goes to.",
            example: "service: api")
        Key(
            "redirect",
            Redirect.section.mapped(
                to: { Action.redirect($0) }, from: { if case .redirect(let to) = $0 { to } else { nil } }),
            \.action,
            "Answers with a redirect.",
            example: "redirect: { to: \"https://{request.host}{request.uri}\" }")
        Key(
            "respond",
            Response.section.mapped(
                to: { Action.respond($0) },
                from: { if case .respond(let response) = $0 { response } else { nil } }
            ).or("close", means: .close), \.action,
            "Answers with a fixed response. `close`: with none; the connection is closed, and of an HTTP/2 connection the request's stream is reset.",
            example: "respond: { status: 404, body: nothing here }")
        Key(
            "policies", passedOn: .oneOrMany(TextRule.name.kind),
            "Policies of the top level, by name. Of several a later one counts before an earlier one; what is written beside `policies` counts before all of them, and they count before the `routes-defaults` of farther places.",
            example: "policies: [slow, zip]"
        ).inherited(in: .defaults)
        Key(
            "rewrite", Rewrite.form, \.rewrite, for: .forward,
            "Changes the path before it goes to the service.",
            example: "rewrite: { prefix: { from: /v1, to: / } }")
        Key(
            "location", Choice([("rewrite", true), ("off", false)]), \.rewritesLocation, for: .forward,
            "Where an endpoint sends a client. `rewrite`: an address of the endpoint in `Location`, `Content-Location` or `Refresh` becomes the one the client used, and paths get back what the route's `rewrite: { prefix: … }` took off.",
            example: "location: rewrite"
        ).inherited()
        Key(
            "cookies", Cookies.section, \.cookies, for: .forward, shown: .ifChanged,
            "Changes of cookies that endpoints set, each `Set-Cookie` line on its own. They run before `headers`.",
            example: "cookies: { path: rewrite, secure: on, same-site: lax }"
        ).inherited()
        Key(
            "headers", Headers.section, \.headers,
            "Changes of fields, in the order remove, replace, set, add.",
            example: "headers:\n  request: { set: { X-Tenant: blue }, remove: [X-Debug] }"
        ).inherited()
        Key("errors", ErrorPage.form, \.errors, ErrorPage.doc, example: ErrorPage.example)
            .inherited(in: .policies)
        Key(
            "timeout", Timeout.section, \.timeout, for: .forward,
            "Deadlines for the answer of an endpoint.",
            example: "timeout: { head: 10s }"
        ).inherited()
        Key(
            "retry", Retry.section, \.retry, for: .forward,
            "When a request is tried again, on another endpoint if there is one. Only requests that are safe to repeat are, and never after the first byte of a response went to the client.",
            example: "retry: { attempts: 3, on: [connect, reset, 503] }"
        ).inherited()
        Key(
            "limits", group: limits,
            "Bounds on what a request may bring.",
            example: "limits: { body: 10MiB }"
        ).inherited()
        Key(
            "hold", Size(0...16_777_216), \.holdBytes, for: .forward,
            "Bytes of a request body held before an endpoint is chosen, so that the request can be tried again. Larger bodies stream. `0B`: all bodies stream, and one without a length may be silent for as long as `timeout.idle`.",
            example: "hold: 256KiB"
        ).inherited()
        Key(
            "upgrades", OneOrMany(TextRule.name.mapped(to: { $0.value.lowercased() }, from: { Text($0) })),
            \.upgrades,
            "Protocols a client may change to (the `Upgrade` field); `[]` allows none. `connect` stands for the CONNECT method: Weir connects to the service's endpoint and carries bytes both ways. HTTP/2's upgrade (`h2c`) is never passed on.",
            example: "upgrades: [websocket, connect]"
        ).inherited()
        Key(
            "other-upgrades", Choice([("ignore", false), ("refuse", true)]), \.refusesOtherUpgrades,
            "What becomes of a request for a protocol that is not among `upgrades`. `ignore`: it is served as if it had not asked (RFC 9110 §7.8). `refuse`: 403.",
            example: "other-upgrades: refuse"
        ).inherited()
        Key(
            "websocket", WebSocket.section, \.webSocket, for: .forward, shown: .ifChanged,
            "Pings of Weir's own on WebSockets.",
            example: "websocket: { ping: 30s, pong-timeout: 10s }"
        ).inherited()
        Compression.key
        Key(
            "grpc-web", Flag(), \.grpcWeb, for: .forward,
            "Forwards gRPC-Web requests of browsers (`application/grpc-web` and `application/grpc-web-text`) as gRPC, and brings the answers back in the form that was asked for. Other requests of the route are not touched. The service needs `protocol: h2`. CORS is the route's own business: `headers`, and a route for OPTIONS.",
            example: "grpc-web: true"
        ).inherited()
        Decompression.key
    }

    private static let limits = Section("limits", { _ in Route(name: Text(""), action: .close) }) {
        Key(
            "body",
            Size<Int64>(0...1_125_899_906_842_624).mapped(
                to: { BodyLimit.bytes($0) }, from: { if case .bytes(let bytes) = $0 { bytes } else { nil } }
            ).or("none", means: .none), \.bodyLimit, default: "what the listener says",
            "Bytes of a request body, as they come on the wire without their framing. More is a 413: before a byte of the body is read when its length says so, else when it passes the limit. `none`: no limit, whatever the listener says.",
            example: "body: 10MiB")
    }

    private var uses: Uses {
        switch action {
        case .service: .forward
        case .redirect: .redirect
        case .respond, .close: .respond
        }
    }

    /// What a route is for as it is written.
    static func uses(_ node: Node) -> Uses {
        node["service"] != nil ? .forward : node["redirect"] != nil ? .redirect : .respond
    }
}
