// Deadlines for the answer of an endpoint.

extension Route {
    public struct Timeout: Sendable, Equatable {
        /// From the whole request sent to the head of the response received.
        public var headMs: Int64 = 60_000
        /// Without a byte from or to the endpoint after that.
        public var idleMs: Int64 = 60_000
        /// From the request's head to the last byte of the response; nil is no limit.
        public var totalMs: Int64?
        /// Silence in both directions after an upgrade.
        public var upgradedMs: Int64 = 3_600_000

        public init() {}
    }
}

extension Route.Timeout {
    static let section = Section("timeout", { _ in Route.Timeout() }) {
        Key(
            "head", Duration(1...86_400_000), \.headMs,
            "From the request sent to the head of the response.",
            example: "head: 10s")
        Key(
            "idle", Duration(1...86_400_000), \.idleMs,
            "Without a byte from or to the endpoint once it answers; for gRPC calls from their beginning.",
            example: "idle: 5m")
        Key(
            "total", Duration(1...86_400_000).or("none"), \.totalMs,
            "From the head of the request to the last byte of the response, retries included.",
            example: "total: 30s")
        Key(
            "upgraded", Duration(1...86_400_000), \.upgradedMs,
            "Without a byte in either direction after an upgrade (WebSocket, CONNECT). No other deadline runs then.",
            example: "upgraded: 10m")
    }
}
