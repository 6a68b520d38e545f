// The configuration language: keys with their kinds, ranges, defaults, meanings and examples, of the sections that are
// not in Sections/.
//
// The checks, the JSON Schema and docs/reference.md come from them; the defaults are
// compared with those of the model by a test.

import Balancing
import HTTPModel

enum Language {
    static let file = Section(
        name: "the file",
        keys: [
            Key(
                "defaults", .text(.defaultSet), default: "\"2026-1\"",
                "Pins the set of defaults, so that a later version of Weir does not change what this file means.",
                example: "defaults: \"2026-1\""),
            Key(
                "workers", .either([.word("auto"), .integer(1...1024)]), default: "auto",
                "Number of worker threads, each with its own connections. `auto` is one per core that cpuset and cgroup quota allow.",
                example: "workers: 4"),
            Key(
                "listeners", .map(.section(listener), of: .name), required: true,
                "The addresses and protocols Weir accepts traffic on, by name.",
                example: "listeners:\n  web: { address: \":8080\" }"),
            Key(
                "routes", .list(.section(route)),
                "What to do with HTTP requests. The most specific match wins: exact host before wildcard, longer path before shorter, more conditions before fewer, then the order in the file.",
                example: "routes:\n  - { name: all, match: { path: /* }, service: web }"),
            Key(
                "routes-defaults", .section(routeDefaults),
                "What all routes have unless they say otherwise: everything of a route that is not about which requests it takes or who answers them. Maps merge by key, everything else replaces. Precedence: the built-in default, this, the listener's `routes-defaults`, the route's `policies`, the route. A key a route has no use for (`retry` of a redirect) is not inherited.",
                example:
                    "routes-defaults:\n  timeout: { head: 10s }\n  headers: { response: { set: { X-Frame-Options: DENY } } }"
            ),
            Key(
                "policies", .map(.section(policy), of: .name),
                "What several routes have in common, by name. A route names those it wants in `policies`, and so may each `routes-defaults`. Maps merge by key, everything else replaces.",
                example:
                    "policies:\n  slow: { timeout: { head: 60s }, retry: { attempts: 1 } }\n  zip: { compression: on }"
            ),
            errors,
            Key(
                "services", .map(.section(service), of: .name),
                "Named pools of endpoints, or folders of files.",
                example: "services:\n  web: { endpoints: [127.0.0.1:3000] }"),
            Key(
                "client-address", .section(clientAddress),
                "Whose word about the address of the client is believed. It is computed once and used everywhere.",
                example: "client-address: { trusted: [10.0.0.0/8] }"),
            Key(
                "forwarded", .section(Forwarded.definition.section),
                "Which fields tell an endpoint about the client, and both sides about Weir.",
                example: "forwarded: { forwarded: true }"),
            Key(
                "resolver", .section(Resolver.definition.section),
                "How the names of endpoints become addresses. A failed answer never removes an endpoint.",
                example: "resolver: { servers: [127.0.0.53:53] }"),
            Key(
                "telemetry", .section(telemetry), "What Weir records.",
                example: "telemetry: { access-log: { path: stdout } }"),
            Key(
                "admin", .either([.word("off"), .section(admin)]), default: "{ address: \"127.0.0.1:9900\" }",
                "The listener for metrics, health of Weir itself, and the admin API. It has no access control of its own: keep it on an address only operators reach.",
                example: "admin: { address: \"127.0.0.1:9900\" }"),
            Key(
                "drain", .duration(0...86_400_000), default: "30s",
                "Deadline after SIGTERM for the requests that were accepted; connections still open then are closed.",
                example: "drain: 1m"),
        ],
        later: ["cache", "cluster", "certificates", "tls", "includes", "expect"],
        hasExtensions: true)

    static let listener = Section(
        name: "listener",
        keys: [
            Key(
                "address", .oneOrMany(.text(.listenAddress)), required: true,
                "Where to listen. `:8080` is every IPv4 and IPv6 address of the machine; `unix:/path` is a Unix socket, `unix:@name` one in the abstract namespace, which has no file; a link-local address names its interface, `[fe80::1%eth0]:8080`.",
                example: "address: [\"127.0.0.1:8080\", \"[::1]:8080\"]")
        ] + socketAccess + [
            Key(
                "protocol", .choice(["http", "tcp", "udp"], later: ["dns", "redis", "postgres"]),
                default: "http",
                "`http` reads HTTP/1.1 requests and routes each; `tcp` passes bytes to one service (or, with `sni`, to one of several), `udp` datagrams.",
                example: "protocol: tcp"),
            Key(
                "service", .text(.name),
                "The service connections or datagrams go to. Required with `protocol: udp`, and with `tcp` unless there is `sni`; not allowed with `http`.",
                example: "service: postgres"),
            Key(
                "sni", .map(.text(.name), of: .serverNamePattern),
                "Chooses the service of each TLS connection by the server name its ClientHello asks for, and passes its bytes on as they are: Weir needs no certificate. The most specific name wins: exact, then the longest wildcard (`*.example.com` is any name below example.com), then `*`, which also takes clients that name no server, bytes that are no TLS, and after `timeout.hello` clients that say nothing. Other connections are refused. TCP only, instead of `service`.",
                example: "sni: { api.example.com: api, \"*.shop.example.com\": shop, \"*\": web }"),
            Key(
                "proxy-protocol", .choice(["off", "required"]), default: "off",
                "With `required` every connection has to start with a PROXY protocol header (version 1 or 2), which then gives the address of the client; other connections are closed. Anybody who can connect can claim any address: use it only behind a balancer. Not for UDP.",
                example: "proxy-protocol: required"),
            Key(
                "timeout", .section(Listener.Timeout.definition.section),
                "Deadlines towards the client. They measure progress, not totals.",
                example: "timeout: { head: 5s }"),
            Key(
                "min-body-rate", .either([.word("off"), .byteRate(1...1_000_000_000)]), default: "240B/s",
                for: .http,
                "Least average rate of a request body that nobody has answered yet; a slower client is cut off. Not for gRPC calls, nor for bodies without a length where the route says `hold: 0B`. HTTP only.",
                example: "min-body-rate: 1KiB/s"),
            Key(
                "underscores", .choice(["pass", "drop", "refuse"]), default: "pass", for: .http,
                "What becomes of request fields with `_` in their names, which applications behind CGI, WSGI or PHP cannot tell from those with `-`. `pass`: they go on, but for those that read like `X-Forwarded-…`, `X-Real-IP`, a field a rule of the route sets or removes, or one that frames the message. `drop`: none goes on. `refuse`: 400. HTTP only.",
                example: "underscores: drop"),
            Key(
                "limits", .section(Listener.Limits.definition.section), "Bounds on what clients can ask for.",
                example: "limits: { head: 16KiB }"),
            Key(
                "paths", .choice(["normalize", "refuse"]), default: "normalize", for: .http,
                "What becomes of paths that servers read differently. `normalize` resolves dot segments (`/a/../b`), and answers 400 to two slashes in a row and encoded slashes or backslashes where reading them as one slash would lead to another route. `refuse` answers 400 to all of them. Both refuse paths above the root and dot segments in any other spelling. HTTP only.",
                example: "paths: refuse"),
            Key(
                "tls", .section(listenerTLS),
                "Speak TLS with clients. Certificates and keys are files; see `weir cert`.",
                example:
                    "tls:\n  certificates:\n    - { cert: /etc/weir/a.pem, key: /etc/weir/a.key }"),
            Key(
                "http2", .section(listenerHTTP2), for: .http, "HTTP/2 connections of clients. HTTP only.",
                example: "http2: { max-connection-age: 1h }"),
            Key(
                "routes-defaults", .section(routeDefaults), for: .http,
                "What routes have on this listener unless they say otherwise; stands before the `routes-defaults` at the top level. HTTP only.",
                example: "routes-defaults: { timeout: { head: 5s } }"),
            errors,
            Key(
                "udp", .section(Listener.UDP.definition.section), "How datagrams become sessions. UDP only.",
                example: "udp: { responses: 1 }"),
        ],
        later: ["http3", "acme", "policies"])

    /// For listeners and admin alike.
    static let socketAccess = [
        Key(
            "mode", .text(.fileMode),
            "Permission bits of the Unix sockets among the addresses, in octal; connecting needs the right to write. Without it the umask decides.",
            example: "mode: \"0660\""),
        Key(
            "owner", .text(.account),
            "Owner of the Unix sockets among the addresses: name or number. Another one than the user Weir runs as needs CAP_CHOWN.",
            example: "owner: www-data"),
        Key(
            "group", .text(.account),
            "Group of the Unix sockets among the addresses: name or number. Needs CAP_CHOWN, or that the user Weir runs as is in it.",
            example: "group: www-data"),
    ]

    static let listenerHTTP2 = Section(
        name: "http2",
        keys: [
            Key(
                "max-connection-age", .either([.word("none"), .duration(1_000...604_800_000)]),
                default: "none",
                "Age, give or take 10 %, at which a connection is asked to end: the client is told to open no more streams on it, those open are finished, and its next request comes on a new connection, perhaps to another machine.",
                example: "max-connection-age: 1h")
        ])

    static let clientAddress = Section(
        name: "client-address",
        keys: [
            Key(
                "trusted", .oneOrMany(.text(.cidr)), default: "[]",
                "Proxies in front of Weir. X-Forwarded-For is read from right to left as long as the addresses are in these blocks. `unix` is whoever connects to a Unix socket.",
                example: "trusted: [10.0.0.0/8, \"::1\", unix]")
        ])

    static let telemetry = Section(
        name: "telemetry",
        keys: [
            Key(
                "access-log", .either([.word("off"), .section(accessLog)]), default: "off",
                "One line per request. Off costs nothing.",
                example: "access-log: { path: stdout, format: json }")
        ],
        later: ["traces", "metrics", "slo"])

    static let accessLog = Section(
        name: "access-log",
        keys: [
            Key(
                "path", .text(.logPath), default: "stdout", "Where the lines go. Files are appended to.",
                example: "path: /var/log/weir/access.log"),
            Key(
                "format", .choice(["json", "text"]), default: "json",
                "One JSON object, or one line of text, per request.", example: "format: text"),
        ])

    static let admin = Section(
        name: "admin",
        keys: [
            Key(
                "address", .oneOrMany(.text(.listenAddress)), default: "\"127.0.0.1:9900\"",
                "Where the admin listener listens.", example: "address: \"unix:/run/weir-admin.sock\""),
            Key(
                "hosts", .oneOrMany(.text(.hostName)), default: "[]",
                "Names the admin listener may be asked by (the Host field) besides IP addresses, `localhost` and names without a dot.",
                example: "hosts: weir.monitoring.svc.cluster.local"),
        ] + socketAccess,
        later: ["auth", "tls"])

    static let service = Section(
        name: "service",
        keys: [
            Key(
                "balance",
                .choice(
                    BalancingMethodName.allCases.map(\.rawValue),
                    later: ["peak-ewma", "ip-hash", "ring-hash", "rendezvous", "maglev"]),
                default: "least-request",
                "How the endpoint of a request is chosen. `least-request` compares two endpoints picked at random by their requests in flight; all three observe weights.",
                example: "balance: round-robin"),
            Key(
                "endpoints", .list(.either([.text(.endpointAddress), .section(endpoint)])),
                "The addresses traffic can be sent to. Names are resolved again when their TTL ends.",
                example: "endpoints:\n  - 10.0.0.11:8080\n  - { address: app.internal:8080, weight: 2 }"),
            Key(
                "files", .either([.text(.folder), .section(files)]),
                "The folder of files the service answers from, instead of endpoints: its path, or a map.",
                example: "files: { root: /srv/www, index: index.html }"),
            Key(
                "timeout", .section(Service.Timeout.definition.section), "Deadlines towards endpoints.",
                example: "timeout: { connect: 500ms }"),
            Key(
                "connections", .section(Service.Connections.definition.section),
                "The pool of connections each worker keeps per endpoint.",
                example: "connections: { idle: 16 }"),
            Key(
                "retry-budget", .section(Service.RetryBudget.definition.section),
                "Bounds the retries of the whole service, so that they never multiply an overload. Tokens come from requests completed in the last 10 s.",
                example: "retry-budget: { ratio: 10%, floor: 1/s }"),
            Key(
                "protocol", .choice(["http/1.1", "h2"]), default: "http/1.1",
                "The version of HTTP its endpoints speak. `h2` needs endpoints that take HTTP/2 at once: agreed on in the TLS handshake where the service has `tls`, else with prior knowledge. gRPC needs `h2`.",
                example: "protocol: h2"),
            Key(
                "proxy-protocol", .choice(["off", "v1", "v2"]), default: "off",
                "PROXY protocol header sent at the start of each connection to an endpoint. Connections are then not shared between clients.",
                example: "proxy-protocol: v2"),
            Key(
                "tls", .section(serviceTLS),
                "Speak TLS with endpoints. `tls: {}` is enough for endpoints whose names are in certificates of a public CA.",
                example: "tls: { ca: /etc/weir/internal-ca.pem, server-name: api.internal }"),
            Key(
                "quirks", .oneOrMany(.choice(Quirk.allCases.map(\.name.description))),
                default: "[]",
                "Ways in which responses of its endpoints break the standard and are read all the same: spaces behind a chunk's size, the same Content-Length several times, `Transfer-Encoding: identity`. The strict reading comes first, what goes to clients is framed afresh, and each use is counted. HTTP/1.1 only.",
                example: "quirks: [padded-chunk-size]"),
        ],
        exactlyOne: [["endpoints", "files"]],
        later: [
            "health", "outliers", "limits", "discovery", "sticky", "breaker", "panic", "zone", "http2",
        ])

    static let endpoint = Section(
        name: "endpoint",
        keys: [
            Key(
                "address", .text(.endpointAddress), required: true,
                "An IP address or name with a port, or a Unix socket.", example: "address: 10.0.0.11:8080"),
            Key(
                "weight", .integer(1...1000), default: "1",
                "Share of the traffic relative to the other endpoints.", example: "weight: 3"),
        ],
        later: ["zone", "tags", "state", "backup"])

}
