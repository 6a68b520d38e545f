// The section `resolver`.

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
    static let definition = Definition(
        "resolver", Self(),
        [
            Setting(
                "servers", Several(ResolverAddress()), \.servers,
                "DNS servers to ask; none means those of /etc/resolv.conf.",
                example: "servers: [127.0.0.53:53]"),
            Setting(
                "ttl-min", Time(100...86_400_000), \.ttlMinMs,
                "An answer is kept at least this long, whatever its TTL.",
                example: "ttl-min: 5s"),
            Setting(
                "ttl-max", Time(100...86_400_000), \.ttlMaxMs,
                "An answer is kept at most this long, whatever its TTL.",
                example: "ttl-max: 1m"),
            Setting(
                "timeout", Time(1...60_000), \.timeoutMs,
                "Deadline of one query.",
                example: "timeout: 500ms"),
        ])
}
