// How names of endpoints become addresses.

/// How names of endpoints become addresses.
public struct Resolver: Sendable, Equatable {
    /// "ip:port" each; empty means those of /etc/resolv.conf.
    public var servers: [Address] = []
    /// Shortest and longest time an answer is kept, whatever its TTL says.
    public var ttlMinMs: Int64 = 1_000
    public var ttlMaxMs: Int64 = 300_000
    /// Deadline of one query.
    public var timeoutMs: Int64 = 2_000

    public init() {}
}

extension Resolver {
    static let section = Section("resolver", { _ in Resolver() }) {
        Key(
            "servers", OneOrMany(AddressForm(.resolver)), \.servers,
            "DNS servers to ask; none means those of /etc/resolv.conf.",
            example: "servers: [127.0.0.53:53]")
        Key(
            "ttl-min", Duration(100...86_400_000), \.ttlMinMs,
            "An answer is kept at least this long, whatever its TTL.",
            example: "ttl-min: 5s")
        Key(
            "ttl-max", Duration(100...86_400_000), \.ttlMaxMs,
            "An answer is kept at most this long, whatever its TTL.",
            example: "ttl-max: 1m")
        Key(
            "timeout", Duration(1...60_000), \.timeoutMs,
            "Deadline of one query.",
            example: "timeout: 500ms")
    }
}

extension CrossCheck {
    func resolver(_ check: inout SchemaCheck) {
        let resolver = configuration.resolver
        guard resolver.ttlMinMs > resolver.ttlMaxMs,
            let node = root["resolver"]?["ttl-min"] ?? root["resolver"]?["ttl-max"]
        else { return }
        check.report(
            "ttl-min is longer than ttl-max", node.origin,
            "expected at most \(Units.duration(resolver.ttlMaxMs))")
    }
}
