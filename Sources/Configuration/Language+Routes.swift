// The configuration language, continued: routes.

extension Language {
    static let route = Section(
        name: "route",
        keys: [
            Key(
                "name", .text(.name), required: true,
                "What logs, metrics and `weir explain` call the route. Unique in the file.",
                example: "name: api"),
            Key(
                "listeners", .oneOrMany(.text(.name)), default: "all HTTP listeners",
                "The listeners the route is for.", example: "listeners: [web]"),
            Key(
                "match", .section(match), default: "{} (every request)",
                "Which requests the route is for. All parts given have to agree.",
                example: "match: { host: api.example.com, path: /v1/*, method: [GET, POST] }"),
            Key("service", .text(.name), "The service the request goes to.", example: "service: api"),
            Key(
                "redirect", .section(redirect), "Answers with a redirect.",
                example: "redirect: { to: \"https://{request.host}{request.uri}\" }"),
            Key(
                "respond", .either([.word("close"), .section(respond)]),
                "Answers with a fixed response. `close`: with none; the connection is closed, and of an HTTP/2 connection the request's stream is reset.",
                example: "respond: { status: 404, body: nothing here }"),
            Key(
                "policies", .oneOrMany(.text(.name)), default: "[]",
                "Policies of the top level, by name. Of several a later one counts before an earlier one; what is written beside `policies` counts before all of them, and they count before the `routes-defaults` of farther places.",
                example: "policies: [slow, zip]"),
            Key(
                "rewrite", .section(rewrite),
                "Changes the path before it goes to the service.",
                example: "rewrite: { prefix: { from: /v1, to: / } }"),
            Key(
                "location", .choice(["rewrite", "off"]), default: "off",
                "Where an endpoint sends a client. `rewrite`: an address of the endpoint in `Location`, `Content-Location` or `Refresh` becomes the one the client used, and paths get back what the route's `rewrite: { prefix: … }` took off.",
                example: "location: rewrite"),
            Key(
                "cookies", .section(cookies),
                "Changes of cookies that endpoints set, each `Set-Cookie` line on its own. They run before `headers`.",
                example: "cookies: { path: rewrite, secure: on, same-site: lax }"),
            Key(
                "headers", .section(headers),
                "Changes of fields, in the order remove, replace, set, add.",
                example: "headers:\n  request: { set: { X-Tenant: blue }, remove: [X-Debug] }"),
            errors,
            Key(
                "timeout", .section(Route.Timeout.definition.section),
                "Deadlines for the answer of an endpoint.",
                example: "timeout: { head: 10s }"),
            Key(
                "retry", .section(Route.Retry.definition.section),
                "When a request is tried again, on another endpoint if there is one. Only requests that are safe to repeat are, and never after the first byte of a response went to the client.",
                example: "retry: { attempts: 3, on: [connect, reset, 503] }"),
            Key(
                "limits", .section(routeLimits), "Bounds on what a request may bring.",
                example: "limits: { body: 10MiB }"),
            Key(
                "hold", .size(0...16_777_216), default: "64KiB",
                "Bytes of a request body held before an endpoint is chosen, so that the request can be tried again. Larger bodies stream. `0B`: all bodies stream, and one without a length may be silent for as long as `timeout.idle`.",
                example: "hold: 256KiB"),
            Key(
                "upgrades", .oneOrMany(.text(.name)), default: "[websocket]",
                "Protocols a client may change to (the `Upgrade` field); `[]` allows none. `connect` stands for the CONNECT method: Weir connects to the service's endpoint and carries bytes both ways. HTTP/2's upgrade (`h2c`) is never passed on.",
                example: "upgrades: [websocket, connect]"),
            Key(
                "other-upgrades", .choice(["ignore", "refuse"]), default: "ignore",
                "What becomes of a request for a protocol that is not among `upgrades`. `ignore`: it is served as if it had not asked (RFC 9110 §7.8). `refuse`: 403.",
                example: "other-upgrades: refuse"),
            Key(
                "websocket", .section(Route.WebSocket.definition.section),
                "Pings of Weir's own on WebSockets.",
                example: "websocket: { ping: 30s, pong-timeout: 10s }"),
            Key(
                "compression",
                .either([.word("on"), .word("off"), .section(Route.Compression.definition.section)]),
                default: "off",
                "Compresses responses for clients that take it: of endpoints, of files, and of `respond`. `on` is all defaults.",
                example: "compression: { encodings: [zstd, gzip], min-size: 2KiB }"),
            Key(
                "grpc-web", .bool, default: "false",
                "Forwards gRPC-Web requests of browsers (`application/grpc-web` and `application/grpc-web-text`) as gRPC, and brings the answers back in the form that was asked for. Other requests of the route are not touched. The service needs `protocol: h2`. CORS is the route's own business: `headers`, and a route for OPTIONS.",
                example: "grpc-web: true"),
            Key(
                "decompress-requests", .section(decompression),
                "Decodes request bodies in gzip, br, zstd or deflate before they go to the service; other codings are refused with 415. Without it they go as they are.",
                example: "decompress-requests: { max-size: 16MiB }"),
        ],
        exactlyOne: [["service", "redirect", "respond"]],
        later: [
            "cache", "auth", "rate-limit", "cors", "files", "waf", "mirror", "split", "priority",
        ])

    /// Keys that say which requests a route takes and who answers them.
    private static let ownRouteKeys: Set<String> = [
        "name", "listeners", "match", "service", "redirect", "respond", "rewrite", "errors",
    ]

    /// Keys that say something about requests to a service, and nothing about other answers.
    static let serviceRouteKeys: Set<String> = [
        "rewrite", "location", "cookies", "retry", "timeout", "hold", "websocket", "decompress-requests",
        "grpc-web",
    ]

    /// What routes can inherit: all of a route that is a policy.
    static let routeDefaults = Section(
        name: "routes-defaults",
        keys: route.keys.filter { !ownRouteKeys.contains($0.name) }, later: route.later, excerptOf: "routes[]"
    )

    /// What a policy can say: what routes can inherit, and pages of errors. Policies name no policies.
    static let policy = Section(
        name: "policy",
        keys: route.keys.filter {
            $0.name == errors.name || !ownRouteKeys.contains($0.name) && $0.name != "policies"
        }, later: route.later, excerptOf: "routes[]")

    static let match = Section(
        name: "match",
        keys: [
            Key(
                "host", .oneOrMany(.text(.host)), default: "any",
                "Hosts, in any case and without the port. `*.example.com` is any name below example.com.",
                example: "host: [example.com, \"*.example.com\"]"),
            Key(
                "path", .oneOrMany(.text(.path)), default: "any",
                "Paths: `/a/b` exact, `/v1/*` whole segments at the start, `/users/{id}` with a captured segment, `~^/x/(?<n>[0-9]+)$` a regular expression.",
                example: "path: [/v1/*, /health]"),
            Key(
                "before", .choice(["expressions"]),
                "Tries the prefixes in `path` (`/static/*`) before the regular expressions of other routes. Without it they come after them; exact paths and those with `{names}` come first anyway.",
                example: "before: expressions"),
            Key(
                "method", .oneOrMany(.text(.method)), default: "any",
                "Methods, in upper case as they are sent.", example: "method: [GET, HEAD]"),
            Key(
                "headers", .map(condition, of: .fieldName),
                "Conditions on request fields; names in any case.",
                example: "headers: { X-Beta: \"1\", Authorization: { present: false } }"),
            Key(
                "query", .map(condition, of: .free),
                "Conditions on query parameters.", example: "query: { version: { prefix: \"2.\" } }"),
            Key(
                "cookies", .map(condition, of: .free), "Conditions on cookies.",
                example: "cookies: { group: { regex: \"^(a|b)$\" } }"),
            Key(
                "client-certificate", .section(clientCertificate),
                "Conditions on the certificate the client showed, which is verified by then. Only a listener with `tls: { client-certificates: … }` asks for one.",
                example: "client-certificate: { san: \"URI:spiffe://example.org/batch\" }"),
        ])

    static let clientCertificate = Section(
        name: "client-certificate",
        keys: [
            Key(
                "present", .bool, "Whether there has to be one at all. `false`: the client showed none.",
                example: "present: true"),
            Key(
                "subject", condition, "Its subject, in the form of RFC 4514: `CN=Ann,OU=Ops,O=Example`.",
                example: "subject: { regex: \"(^|,)OU=Ops(,|$)\" }"),
            Key(
                "issuer", condition, "The subject of the CA that issued it.",
                example: "issuer: \"CN=Example Clients CA\""),
            Key(
                "san", condition,
                "Its alternative names, of which one has to agree: `DNS:`, `email:`, `URI:` or `IP:` and the name. DNS names are in lower case; control characters, commas, quotes, backslashes and what is not ASCII are written `\\2C`.",
                example: "san: { prefix: \"URI:spiffe://example.org/\" }"),
            Key(
                "fingerprint", .text(.fingerprint),
                "SHA-256 of the certificate: 64 hexadecimal digits, with or without colons.",
                example:
                    "fingerprint: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        ])

    static let condition = Kind.either([
        .text(.fieldValue),
        .section(
            Section(
                name: "condition",
                keys: [
                    Key("present", .bool, "Whether it has to be there at all.", example: "present: true"),
                    Key(
                        "prefix", .text(.fieldValue), "How the value starts.", example: "prefix: \"Bearer \""),
                    Key(
                        "regex", .text(.regex), "A regular expression (PCRE2) found in the value.",
                        example: "regex: \"^v[0-9]+$\""),
                ],
                exactlyOne: [["present", "prefix", "regex"]])),
    ])

    static let redirect = Section(
        name: "redirect",
        keys: [
            Key(
                "to", .text(.template), required: true, "The Location to send.",
                example: "to: \"https://{request.host}{request.uri}\""),
            Key(
                "status", .choice(["301", "302", "303", "307", "308"]), default: "308", "The status to send.",
                example: "status: 302"),
        ])

    static let respond = Section(
        name: "respond",
        keys: [
            Key("status", .integer(200...599), default: "200", "The status to send.", example: "status: 404"),
            Key(
                "body", .text(.free), default: "\"\"", "The body to send, at most 1 MiB.",
                example: "body: nothing here"),
            Key(
                "type", .text(.fieldValue), default: "text/plain; charset=utf-8", "Content-Type of the body.",
                example: "type: application/json"),
        ])

    static let rewrite = Section(
        name: "rewrite",
        keys: [
            Key(
                "path", .text(.template),
                "The whole new path. The query is kept unless the template has one.",
                example: "path: \"/users/{path.id}\""),
            Key(
                "prefix", .section(prefixRewrite), "Exchanges whole segments at the start of the path.",
                example: "prefix: { from: /v1, to: / }"),
            Key(
                "pattern", .text(.regex),
                "A regular expression (PCRE2) looked for in the path, which it sees as routes do; what it finds first is exchanged for `with`. Other paths are left alone.",
                example: "pattern: \"^/user/([0-9]+)\"\nwith: \"/u/{match.1}\""),
            Key(
                "with", .text(.template),
                "What takes the place of what `pattern` finds. `{match.1}` and `{match.NAME}` are its groups, `{match.0}` is all of it.",
                example: "with: \"/u/{match.1}\""),
        ],
        exactlyOne: [["path", "prefix", "pattern"]])

    static let prefixRewrite = Section(
        name: "prefix",
        keys: [
            Key(
                "from", .text(.prefix), required: true,
                "What the path starts with; other paths are left alone.", example: "from: /v1"),
            Key("to", .text(.prefix), default: "/", "What it starts with afterwards.", example: "to: /api"),
        ])

    static let headers = Section(
        name: "headers",
        keys: [
            Key(
                "request", .section(changes), "Changes of the request sent to the service.",
                example: "request: { remove: [X-Debug] }"),
            Key(
                "response", .section(changes), "Changes of the response sent to the client.",
                example: "response: { set: { X-Frame-Options: DENY } }"),
        ])

    static let changes = Section(
        name: "changes",
        keys: [
            Key(
                "replace", .map(.section(replacement), of: .fieldName),
                "Fields in whose values a part is exchanged, in every line of that name.",
                example: "replace: { Destination: { pattern: \"^https:\", with: \"http:\" } }"),
            Key(
                "set", .map(.text(.template), of: .fieldName),
                "Fields to have exactly this value, whatever was there.",
                example: "set: { X-Client: \"{client.ip}\" }"),
            Key(
                "add", .map(.text(.template), of: .fieldName), "Fields to add to what is there.",
                example: "add: { Vary: Origin }"),
            Key(
                "remove", .oneOrMany(.text(.fieldName)), default: "[]", "Fields to take out.",
                example: "remove: [Server, X-Powered-By]"),
        ])

    static let replacement = Section(
        name: "replacement",
        keys: [
            Key(
                "pattern", .text(.regex), required: true,
                "A regular expression (PCRE2) looked for in the value; what it finds first is exchanged.",
                example: "pattern: \"^https:\""),
            Key(
                "with", .text(.template), required: true,
                "What takes its place. `{match.1}` and `{match.NAME}` are groups of the expression, `{match.0}` is all that was found.",
                example: "with: \"http:\""),
        ])

    static let routeLimits = Section(
        name: "limits",
        keys: [
            Key(
                "body", .either([.word("none"), .size(0...1_125_899_906_842_624)]),
                default: "what the listener says",
                "Bytes of a request body, as they come on the wire without their framing. More is a 413: before a byte of the body is read when its length says so, else when it passes the limit. `none`: no limit, whatever the listener says.",
                example: "body: 10MiB")
        ])

}
