// What endpoints are told about clients, and both sides about Weir.

/// Which fields tell the endpoint about the client and the client about Weir.
public struct Forwarded: Sendable, Equatable {
    /// Send X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.
    public var xForwarded = true
    /// Send Forwarded (RFC 7239).
    public var forwarded = false
    /// Add Via (RFC 9110 §7.6.3) to requests.
    public var via = true

    public init() {}
}

extension Forwarded {
    static let section = Section("forwarded", { _ in Forwarded() }) {
        Key(
            "x-forwarded", Flag(), \.xForwarded,
            "Send X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host to endpoints. Without it those of trusted proxies pass as they are, and nobody else's do.",
            example: "x-forwarded: false")
        Key(
            "forwarded", Flag(), \.forwarded,
            "Send Forwarded (RFC 7239) to endpoints.",
            example: "forwarded: true")
        Key(
            "via", Flag(), \.via,
            "Add Via (RFC 9110 §7.6.3) to requests.",
            example: "via: false")
    }
}
