// The one table of the floors: which module stands where. A module imports only from floors below
// its own, or from those named beside it.

struct Floor {
    let number: Int
    let modules: [String]
}

enum Floors {
    static let all = [
        Floor(
            number: 0,
            modules: [
                "CLinux", "CYAML", "CPCRE2", "CAres", "CNGHTTP2", "COpenSSL", "CZlib", "CBrotli", "CZstd",
                "CCurl",
            ]),
        Floor(number: 1, modules: ["Addresses", "Reactor", "NamedFiles"]),
        Floor(
            number: 2,
            modules: [
                "HTTPModel", "HTTP1", "HTTP2", "JSON", "WebSocket", "ProxyProtocol", "TLS", "HTTPClient",
            ]),
        Floor(
            number: 3,
            modules: ["Balancing", "Resilience", "Expressions", "Routing", "Files", "Compression", "GRPC"]),
        Floor(number: 4, modules: ["Telemetry", "Proxy"]),
        Floor(number: 5, modules: ["Configuration", "Control"]),
        Floor(number: 6, modules: ["Admin", "weir"]),
    ]

    /// Imports within a floor, and from it upwards in the row only.
    static let neighbours: [String: Set<String>] = [
        "Reactor": ["Addresses"],
        "HTTP1": ["HTTPModel"],
        "HTTP2": ["HTTPModel", "HTTP1"],
        "GRPC": ["Resilience"],
        "Routing": ["Expressions"],
        "Proxy": ["Telemetry"],
        "Control": ["Configuration"],
        "weir": ["Admin"],
    ]

    /// Below its own floor, and still not for it: decisions and codecs take values, not sockets.
    static let forbidden: [String: Set<String>] = [
        "HTTPModel": ["Reactor"], "HTTP1": ["Reactor"], "HTTP2": ["Reactor"],
        "JSON": ["Reactor"], "WebSocket": ["Reactor"], "ProxyProtocol": ["Reactor"],
        "TLS": ["Reactor"],
        "Balancing": ["Reactor", "HTTPModel", "HTTP1"], "Resilience": ["Reactor", "HTTPModel", "HTTP1"],
        "Expressions": ["Reactor", "HTTP1"], "Routing": ["Reactor", "HTTP1"], "Files": ["Reactor", "HTTP1"],
        "Compression": ["Reactor", "HTTP1"], "GRPC": ["Reactor", "HTTP1"],
        "Configuration": ["Proxy", "Telemetry", "Reactor"],
    ]

    /// Which C library each may call: exactly one wrapper each.
    static let wrappers: [String: Set<String>] = [
        "CLinux": ["Reactor", "Proxy", "weir"],
        "CYAML": ["Configuration"],
        "CPCRE2": ["Routing", "Configuration"],
        "CAres": ["Control"],
        "CNGHTTP2": ["HTTP2"],
        "COpenSSL": ["TLS"],
        "CCurl": ["HTTPClient"],
        "CZlib": ["Compression"],
        "CBrotli": ["Compression"],
        "CZstd": ["Compression"],
    ]

    /// Not ours, and allowed everywhere.
    static let system: Set<String> = ["Glibc", "Synchronization"]

    static func number(of module: String) -> Int? {
        all.first { $0.modules.contains(module) }?.number
    }
}
